"""The page of measured results, and what it is made from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import report
import results
import stored


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    workloads = {
        "score, 1 thread": {
            "peer": {"median": 0.5, "best": 0.4, "AUC": 0.9},
            "imondrian depth": {"median": 0.25, "best": 0.2, "per item": 2.5e-6, "AUC": 0.95},
        },
        "score, 2 threads": {"imondrian depth": {"median": 0.125, "best": 0.1}},
    }
    told = {"measured": "2026-01-02", "machine": "A CPU, level avx2", "versions": "python 3.11.7, peer 1.0, other 2.0"}
    (tmp_path / "some.json").write_text(json.dumps({**told, "command": "pytest bench", "workloads": workloads}))
    stored.store_table(tmp_path / "made.json", ["a", "b"], [["1", "2"]], measured="2026-01-03", command="python x.py")
    return tmp_path


def cells(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]


def test_the_page_is_as_its_sources_have_it() -> None:
    assert results.main(["--check"]) == 0, "run `make results`"


def test_workloads_side_by_side(kept: Path) -> None:
    text = results.fill("before\n\n{{compare some: ^score}}\n\nafter\n", kept)
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    table = cells(text)
    assert table[0] == ["", "imondrian depth", "peer"]
    assert table[2:] == [["score, 1 thread", "250 ms", "2x"], ["score, 2 threads", "125 ms", ""]]
    assert "*2026-01-02; A CPU, level avx2; python 3.11.7, peer 1.0: `pytest bench`*" in text


def test_libraries_of_one_workload(kept: Path) -> None:
    table = cells(results.fill("{{list some: 1 thread}}", kept))
    assert table[0] == ["score, 1 thread", "median", "ratio", "per item", "AUC"]
    assert table[2:] == [
        ["imondrian depth", "250 ms", "1.00x", "2.5 us", "0.950"],
        ["peer", "500 ms", "2.00x", "", "0.900"],
    ]


def test_a_table_as_it_was_stored(kept: Path) -> None:
    text = results.fill("{{table made}}", kept)
    assert cells(text)[2:] == [["1", "2"]]
    assert text.endswith("*2026-01-03: `python x.py`*")


def test_what_is_not_stored_is_said(kept: Path) -> None:
    with pytest.raises(ValueError, match=r"no stored workload matches 'fit'; there are score, 1 thread"):
        results.fill("{{compare some: fit}}", kept)


def test_timings_are_kept_and_joined_on_the_same_machine_only(tmp_path: Path) -> None:
    def run(group: str, cpu: str) -> dict:
        stats = {"median": 0.123456, "min": 0.1, "iqr": 0.0, "rounds": 3}
        benchmark = {"group": group, "name": "t", "stats": stats, "extra_info": {"library": "imondrian", "items": 10}}
        info = {
            "cpu": {"brand_raw": cpu, "count": 2},
            "instruction_set": "level avx2 of AVX2",
            "command": "pytest b --benchmark-json=x",
        }
        return {
            "datetime": "2026-01-02T03",
            "machine_info": {**info, "versions": {"numpy": "2"}},
            "benchmarks": [benchmark],
        }

    source, target = tmp_path / "run.json", tmp_path / "kept.json"
    for group, cpu, expected in (("a", "X", {"a"}), ("b", "X", {"a", "b"}), ("c", "Y", {"c"})):
        source.write_text(json.dumps(run(group, cpu)))
        assert report.main([str(source), "--store", str(target)]) == 0
        content = json.loads(target.read_text())
        assert set(content["workloads"]) == expected
    assert content["workloads"]["c"]["imondrian"] == {"median": 0.1235, "best": 0.1, "per item": 0.01235}
    assert content["machine"] == "Y, 2 cores, level avx2 of AVX2"
    assert content["command"] == "pytest b"

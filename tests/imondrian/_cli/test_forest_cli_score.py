"""``imondrian score``: what comes out is what the estimator gives, from any format and in any number of pieces."""

import gzip
import json
import re
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("click", reason="needs click: pip install 'imondrian[cli]'")
pytest.importorskip("rich", reason="needs rich: pip install 'imondrian[cli]'")
pytest.importorskip("pyarrow", reason="needs pyarrow: pip install 'imondrian[cli]'")

import pyarrow as pa
from cases.score_command import NAMES, as_table, column, fitted, make, run, score, write_csv, write_parquet
from pyarrow import csv, feather, parquet

from imondrian import IsolationMondrianForest
from imondrian._cli.score import detector
from imondrian._cli.score import scored_rows as passes
from imondrian._cli.score.bottom_k import Smallest
from imondrian._cli.tables import reading as tables

pytestmark = pytest.mark.usefixtures("in_folder")

ROOT = Path(__file__).resolve().parents[3]


def write_feather(table):
    feather.write_feather(table, "in.feather", compression="lz4", chunksize=900)
    return "in.feather"


def write_stream(table):
    with pa.ipc.new_stream("in.arrows", table.schema) as writer:
        writer.write_table(table)
    return "in.arrows"


def write_gzip(table):
    Path(write_csv(table)).rename("plain.csv")
    Path("in.csv.gz").write_bytes(gzip.compress(Path("plain.csv").read_bytes()))
    return "in.csv.gz"


def write_german(table):
    text = "\n".join(
        ";".join("" if v is None else str(v).replace(".", ",") for v in row.values()) for row in table.to_pylist()
    )
    Path("in.txt").write_text(";".join(f'"{name}"' for name in table.column_names) + "\n" + text + "\n")
    return "in.txt"


def write_without_header(table):
    csv.write_csv(table, "in.tsv", csv.WriteOptions(include_header=False, delimiter="\t"))
    return "in.tsv"


@pytest.mark.parametrize(
    "write, options",
    [
        (write_parquet, ()),
        (write_feather, ()),
        (write_stream, ()),
        (write_csv, ()),
        (write_gzip, ()),
        (write_german, ()),
        (write_without_header, ("--no-header",)),
    ],
)
def test_scores_are_those_of_the_estimator(write, options):
    X = make(700)
    found = score(write(as_table(X)), "--seed", "3", *options)
    forest = fitted(X, random_state=3)
    assert column(found, "row").tolist() == list(range(1, 701))
    np.testing.assert_array_equal(column(found, "score"), -forest.score_samples(X))
    np.testing.assert_array_equal(column(found, "p_value"), forest.p_values(X))
    np.testing.assert_array_equal(column(found, "outlier"), forest.predict(X) < 0)


@pytest.mark.parametrize(
    "options, parameters",
    [
        (("--trees", "100"), {"n_estimators": 100}),
        (
            ("--trees", "30", "--max-samples", "64", "--score", "depth", "--contamination", "0.1"),
            {"n_estimators": 30, "max_samples": 64, "score": "depth", "contamination": 0.1},
        ),
        (("--trees", "7", "--score", "insertion", "-j", "3"), {"n_estimators": 7, "score": "insertion"}),
    ],
)
def test_options_are_parameters_of_the_estimator(options, parameters):
    X = np.random.default_rng(0).normal(size=(7100, 3))  # enough to leave rows over: split calibration
    found = score(write_parquet(as_table(X)), *options)
    forest = fitted(X, **parameters)
    assert forest.calibration_ == "split"
    np.testing.assert_array_equal(column(found, "score"), -forest.score_samples(X))
    np.testing.assert_array_equal(column(found, "p_value"), forest.p_values(X))
    np.testing.assert_array_equal(column(found, "outlier"), forest.predict(X) < 0)


def test_single_precision_is_kept():
    X = make(900, dtype=np.float32)
    found = score(write_parquet(as_table(X)))
    forest = fitted(X)
    assert forest.forest_.dtype == np.float32
    np.testing.assert_array_equal(column(found, "score"), -forest.score_samples(X))


def test_the_pieces_do_not_matter(monkeypatch):
    """Neither how a file is read nor in how many files it is, nor whether it is sampled."""
    X = make(4000)
    monkeypatch.setattr(detector, "LEFT_OVER", 400)
    options = ("--trees", "10", "--max-samples", "32")  # a sample of 720 rows
    whole = score(write_parquet(as_table(X)), *options)
    monkeypatch.setattr(tables, "_BATCH_ROWS", 77)
    monkeypatch.setattr(passes, "_IN_MEMORY", 1000)
    monkeypatch.setattr(passes, "_CHUNK", 130)
    assert score("in.parquet", *options).equals(whole)
    assert score(write_csv(as_table(X)), *options).equals(whole)
    parquet.write_table(as_table(X[:1234]), "a.parquet")
    parquet.write_table(as_table(X[1234:]).select([2, 0, 1]), "b.parquet")  # columns are found by name
    parts = score("a.parquet", "b.parquet", *options)
    assert parts.drop_columns(["file", "row"]).equals(whole.drop_columns(["row"]))
    assert column(parts, "row").tolist() == [*range(1, 1235), *range(1, 2767)]
    assert parts.column("file").to_pylist() == ["a.parquet"] * 1234 + ["b.parquet"] * 2766


def test_a_sample_is_uniform_and_its_p_values_hold(monkeypatch):
    """Rows that are like those of the file are rarely given a small p-value, though only a sample was fitted to."""
    monkeypatch.setattr(detector, "LEFT_OVER", 500)
    alarms = []
    for seed in range(40):
        X = np.random.default_rng([seed, 1]).normal(size=(3000, 3))
        parquet.write_table(as_table(X[:2000]), "in.parquet")
        parquet.write_table(as_table(X[2000:]), "new.parquet")
        score("in.parquet", "--trees", "10", "--max-samples", "16", "--seed", seed, "--save", "m.forest")
        p = column(score("new.parquet", "--model", "m.forest"), "p_value")
        alarms.append([(p <= a).mean() for a in (0.02, 0.1, 0.3)])
    # P(p <= a) <= a; the mean over 40 files has a deviation of about sqrt(a (1 - a) / 150 / 40) for 150+ rows left over
    for a, rate in zip((0.02, 0.1, 0.3), np.mean(alarms, axis=0), strict=True):
        assert abs(rate - a) < 0.006 + 4 * np.sqrt(a * (1 - a) / 150 / 40)


def test_smallest_keeps_each_row_as_likely():
    held = np.zeros(60)
    for seed in range(4000):
        rng, kept = np.random.default_rng(seed), Smallest(7)
        for piece in np.split(np.arange(60), np.sort(rng.integers(0, 61, 4))):
            kept.push(rng.random(len(piece)), piece)
        _, rows = kept.rows()
        assert len(rows) == 7 and (np.diff(rows) > 0).all() and kept.n_seen == 60
        held[rows] += 1
    expected = 4000 * 7 / 60
    assert ((held - expected) ** 2 / expected).sum() * 59 / 53 < 98.3  # chi-squared, 59 degrees, 0.001


def test_smallest_is_the_beginning_of_a_stable_sort():
    rng = np.random.default_rng(0)
    for size in (1, 5, 40, 300):
        keys = rng.integers(0, 30, 200).astype(float)
        kept = Smallest(size)
        for k in range(0, 200, 17):
            kept.push(keys[k : k + 17], np.arange(200)[k : k + 17])
        assert kept.rows()[1].tolist() == sorted(np.argsort(keys, kind="stable")[:size].tolist())


def test_top_are_the_most_anomalous_with_reasons():
    X = make(600)
    table = as_table(X, id=[f"r{k}" for k in range(600)])
    write_parquet(table)
    everything = score("in.parquet", "-k", "id", "--explain-top", "100")
    order = np.argsort(-column(everything, "score"), kind="stable")
    for output in ("top.csv", "top.arrow", "top.parquet"):
        top = score("in.parquet", "--keep", "id", "--top", "30", output=output)
        assert column(top, "row").tolist() == (order[:30] + 1).tolist()
        assert top.column("id").to_pylist() == [f"r{k}" for k in order[:30]]
    assert top.equals(everything.take(order[:30]))
    given = np.array([reason is not None for reason in everything.column("reason_1").to_pylist()])
    assert given.sum() == 100 and given[order[:100]].all()


def test_all_columns_are_kept_as_they_stood_and_text_is_no_feature(tmp_path):
    X = np.abs(make(300)).round(3)
    tags = [f'"{k}; {"naïve" if k % 2 else ""}"' for k in range(300)]
    days = [f"2026-01-{k % 28 + 1:02}" for k in range(300)]
    lines = [f"{tag},{a},{b},{day},{c}" for tag, (a, b, c), day in zip(tags, X, days, strict=True)]
    Path("in.csv").write_text("\n".join(["tag,alpha,beta,day,gamma delta", *lines]) + "\n", encoding="utf-8")
    found = score("in.csv", "--keep-all", "--reasons", "0")
    assert found.column_names == ["row", "tag", "alpha", "beta", "day", "gamma delta", "score", "p_value", "outlier"]
    assert found.column("tag").to_pylist() == [tag.strip('"') for tag in tags]
    assert found.column("day").cast(pa.string()).to_pylist() == days
    for name, values in zip(NAMES, X.T, strict=True):
        given = found.column(name).to_pylist()
        assert np.array_equal([float("nan" if value == "nan" else value) for value in given], values, equal_nan=True)
    without = score("in.csv", "--exclude", "tag,day", "--reasons", "0")
    assert found.select(without.column_names).equals(without)  # those that are copied are features all the same
    some = score("in.csv", "--keep-all", "--columns", "alpha", "--reasons", "0", "--top", "7")
    alone = score("in.csv", "--columns", "alpha", "--reasons", "0", "--top", "7")
    assert some.num_columns == 9 and some.select(alone.column_names).equals(alone)


def test_lists_and_objects_are_kept_as_json():
    rows = [{"a": float(k * k), "at": {"x": None, "ü": [k, True]}, "tags": ['b"c', k], "ok": k > 3} for k in range(40)]
    Path("in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    found = score("in.jsonl", "--keep-all", "--reasons", "0")
    for name in ("at", "tags", "ok"):
        assert [json.loads(text) for text in found.column(name).to_pylist()] == [row[name] for row in rows]


def test_reasons_are_the_largest_contributions():
    X = make(700)
    top = score(write_parquet(as_table(X)), "--top", "20", "--reasons", "2")
    parts = -fitted(X).explain(X[column(top, "row") - 1], by_direction=True)
    for k, part in enumerate(parts):
        sizes = {
            f"{NAMES[j]}: {side} ({part[j, s]:+.3f})": part[j, s]
            for j in range(3)
            for s, side in enumerate(("low", "high"))
        }
        best = [*sorted((name for name in sizes if sizes[name] > 0), key=sizes.get, reverse=True), None][:2]
        assert [top.column(f"reason_{i}")[k].as_py() for i in (1, 2)] == best
    assert "reason_1" not in score("in.parquet", "--reasons", "0").column_names
    assert "reason_1" not in score("in.parquet", "--explain-top", "0").column_names


def test_reasons_in_words_are_the_estimators():
    X = make(700)
    top = score(write_parquet(as_table(X)), "--top", "20", "--words")
    assert "reason_1" not in top.column_names
    named = fitted(X).why(X[column(top, "row") - 1])
    assert top.column("why").to_pylist() == [
        re.sub(r"feature (\d)", lambda found: NAMES[int(found[1])], text) for text in named
    ]
    assert "why" not in score("in.parquet", "--words", "--reasons", "0").column_names


def test_columns_can_be_chosen():
    X = make(800)
    day = np.datetime64("2024-01-01") + np.arange(800)
    write_csv(as_table(X, day=day, name=["a,b"] * 800))
    forest = fitted(X[:, [2, 0]])
    expected = -forest.score_samples(X[:, [2, 0]])
    np.testing.assert_array_equal(column(score("in.csv", "-c", "gamma delta,alpha"), "score"), expected)
    np.testing.assert_array_equal(column(score("in.csv", "-c", "gamma delta", "-c", "alpha"), "score"), expected)
    expected = -fitted(X[:, [0, 2]]).score_samples(X[:, [0, 2]])
    for options in (
        ("-x", "beta,day", "-x", "name"),
        ("-x", "beta", "--numeric-only"),
        ("-x", "beta", "-k", "day,name"),
    ):
        np.testing.assert_array_equal(column(score("in.csv", *options), "score"), expected)
    assert score("in.csv", "-x", "beta", "-k", "day,name").column("name").to_pylist() == ["a,b"] * 800


def test_truth_values_whole_numbers_and_missing_ones():
    rng = np.random.default_rng(0)
    flags, counts, empty = rng.random(600) < 0.5, rng.integers(0, 9, 600), np.full(600, np.nan)
    X = np.column_stack([flags, counts, empty]).astype(float)
    X[5, 1] = np.nan
    table = pa.table(
        {
            "flag": flags.tolist(),
            "count": [None if k == 5 else int(v) for k, v in enumerate(counts)],
            "empty": pa.nulls(600),
        }
    )
    expected = -fitted(X).score_samples(X)
    for write in (write_parquet, write_csv, write_feather):
        np.testing.assert_array_equal(column(score(write(table)), "score"), expected)
    text = Path("in.csv").read_text().replace("\n,", "\n?,")
    Path("in.csv").write_text(text.replace("false,", "false,", 1))
    np.testing.assert_array_equal(column(score("in.csv", "--missing", "?"), "score"), expected)


@pytest.mark.parametrize("layout", ["parquet", "feather"])
def test_columns_of_every_type(layout):
    """Odd names and numbers of any kind are taken; what is kept comes out as it went in."""
    rng = np.random.default_rng(0)
    half, big = rng.normal(size=200).astype(np.float16), np.arange(200).astype(np.uint64) + 2**63
    X = np.column_stack([half, np.arange(200) / 4, big, np.tile([1.5, 2.5], 100)]).astype(float)
    table = pa.table(
        {
            "a.b": half,
            '"q,z"': [Decimal(k) / 4 for k in range(200)],
            "u": big,
            "numbers": pa.array([1.5, 2.5] * 100).dictionary_encode(),
            "kind": pa.array(["p", "q", None, "q"] * 50).dictionary_encode(),
            "time": pa.array(np.arange(200), pa.timestamp("ms")),
        }
    )
    path = f"in.{layout}"
    (
        parquet.write_table(table, path, row_group_size=30)
        if layout == "parquet"
        else feather.write_feather(table, path, chunksize=30)
    )
    for output in ("o.parquet", "o.arrow"):
        found = score(path, "-k", "time,kind", output=output)
        np.testing.assert_array_equal(column(found, "score"), -fitted(X).score_samples(X))
        assert found.column("kind").to_pylist() == ["p", "q", None, "q"] * 50
        assert found.column("time").equals(table.column("time"))
    assert score(path, "-c", 'a.b,"""q,z"""', "-x", "a.b").num_rows == 200


def test_infinite_values_by_option():
    X = make(400)
    X[17, 1] = np.inf
    write_parquet(as_table(X))
    missing = np.where(np.isinf(X), np.nan, X)
    expected = -fitted(missing).score_samples(missing)
    np.testing.assert_array_equal(column(score("in.parquet", "--infinite", "missing"), "score"), expected)
    kept = np.delete(X, 17, axis=0)
    expected = -fitted(kept).score_samples(kept)
    found = score("in.parquet", "--infinite", "drop", "-k", "alpha", "-x", "")
    np.testing.assert_array_equal(column(found, "score"), expected)
    assert column(found, "row").tolist() == [k for k in range(1, 401) if k != 18]


def test_very_wide_tables():
    X = np.random.default_rng(0).normal(size=(40, 6000))
    table = pa.table({f"x{j}": X[:, j] for j in range(6000)})
    expected = -fitted(X).score_samples(X)
    for write in (write_parquet, write_csv):
        np.testing.assert_array_equal(column(score(write(table), "--explain-top", "1"), "score"), expected)


def test_wide_rows_are_sampled_sparingly():
    assert detector.sample_size(100, 256, 10) == 25600 + detector.LEFT_OVER
    assert detector.sample_size(100, 256, 10_000) == 6710  # 0.5 GB
    assert detector.sample_size(100, 256, 10**7) == 256


def test_a_column_of_row_numbers_is_noticed(capsys):
    X = make(100)
    csv.write_csv(pa.table({"": np.arange(100), "a": X[:, 0]}), "in.csv")
    run("score", "in.csv", "--trees", "5", "-o", "out.csv")
    assert "a column without a name is taken for a feature" in capsys.readouterr().err
    run("score", "in.csv", "--trees", "5", "-o", "out.csv", "--exclude", "")
    assert "without a name" not in capsys.readouterr().err


def test_a_saved_forest_scores_other_files():
    X, new = make(500), make(300, seed=1)
    first = score(write_parquet(as_table(X)), "--save", "m.forest", "--seed", "5")
    parquet.write_table(as_table(new).select([1, 0, 2]), "new.parquet")
    found = score("new.parquet", "--model", "m.forest")
    loaded, forest = IsolationMondrianForest.load("m.forest"), fitted(X, random_state=5)
    assert loaded.feature_names_in_.tolist() == NAMES and loaded.max_samples_ == forest.max_samples_
    assert loaded.offset_ == forest.offset_ and loaded.n_features_in_ == 3
    np.testing.assert_array_equal(column(found, "score"), -forest.score_samples(new))
    np.testing.assert_array_equal(column(found, "p_value"), forest.p_values(new))
    assert score("in.parquet", "-m", "m.forest").equals(first)
    forest.save("bare.forest")  # without names: all columns with numbers are taken in order
    assert score("in.parquet", "-m", "bare.forest").equals(first)
    loaded.partial_fit(as_table(make(300, seed=2)).to_pandas())
    loaded.save("streamed.forest")
    found = score("new.parquet", "-m", "streamed.forest")
    del loaded.feature_names_in_
    np.testing.assert_array_equal(column(found, "p_value"), loaded.p_values(new))


def test_standard_output(capfdbinary):
    X = make(300)
    path = write_csv(as_table(X))
    expected = Path("expected.csv")
    score(path, output=str(expected))
    run("score", path, "-q", "-f", "csv", "--trees", "20")
    assert capfdbinary.readouterr().out == expected.read_bytes()
    run("score", path, "--trees", "20")  # no terminal: CSV, and notes on standard error
    captured = capfdbinary.readouterr()
    assert captured.out == expected.read_bytes() and b"300 rows scored by 3 columns" in captured.err
    run("score", path, "-f", "table", "-n", "7", "-q")
    captured = capfdbinary.readouterr()
    lines = captured.out.decode().splitlines()
    assert "7 of 300 rows" in lines[0] and len(lines) == 9 and lines[1].split()[:2] == ["row", "score"]
    assert captured.err == b""


def test_neither_scikit_learn_nor_pandas_is_imported():
    """They take longer to import, and more memory, than most files to score."""
    write_parquet(as_table(make(300)))
    code = (
        "import sys; from imondrian.cli import main; main(['score', 'in.parquet', '-o', 'out.csv']); "
        "print([name for name in ('sklearn', 'pandas', 'scipy', 'joblib', 'matplotlib') if name in sys.modules])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        check=True,
    )
    assert ended.stdout.strip() == "[]"

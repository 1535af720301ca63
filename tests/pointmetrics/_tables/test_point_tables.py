"""Tables for papers: their means are those of the pairs, and their markup says what the numbers do."""

import csv
import io
import math
import re

import numpy as np
import pytest

import pointmetrics as pm
from pointmetrics._tables.grid import Column, scale
from pointmetrics._tables.table import Row, Table

RNG = np.random.default_rng(5)
TRUTH = {"car": RNG.random((3, 40, 3)), "a_b & c%": RNG.random((1, 40, 3))}
METHODS = {
    name: {group: clouds + RNG.normal(size=clouds.shape) * noise for group, clouds in TRUTH.items()}
    for name, noise in (("ours", 0.01), ("x_base", 0.03))
}


def distances(x, y):
    """Return cd-l1 by its formula."""
    gaps = np.sqrt(((x[:, None] - y[None]) ** 2).sum(-1))
    return (gaps.min(1).mean() + gaps.min(0).mean()) / 2


def expected_means(method):
    by_class = {g: [distances(x, y) for x, y in zip(METHODS[method][g], TRUTH[g], strict=True)] for g in TRUTH}
    means = {group: np.mean(values) for group, values in by_class.items()}
    means["mean over classes"] = np.mean(list(means.values()))
    means["mean over pairs"] = np.mean(np.concatenate(list(by_class.values())))
    return means


def tabulars(text):
    """Return the rows of cells of each block, and refuse what LaTeX would."""
    blocks = []
    for spec, body in re.findall(r"\\begin\{tabular\}\{(l?r+)\}\n(.*?)\\end\{tabular\}", text, re.DOTALL):
        rows = []
        for line in body.splitlines():
            if line.startswith((r"\toprule", r"\midrule", r"\bottomrule", r"\cmidrule")):
                continue
            assert line.endswith(r" \\")
            bare = re.sub(r"\\[_&%#${}]", "", line)
            assert not set("_%#") & set(bare.replace("$", "")) and bare.count("$") % 2 == 0
            assert line.count("{") - line.count(r"\{") == line.count("}") - line.count(r"\}")
            cells = re.split(r"(?<!\\)&", line[:-3])
            spans = sum(int(n) - 1 for n in re.findall(r"\\multicolumn\{(\d+)\}", line))
            assert len(cells) + spans == len(spec)
            rows.append([cell.strip() for cell in cells])
        blocks.append(rows)
    assert text.count(r"\begin{tabular}") == len(blocks)
    return blocks


def test_means_are_those_of_the_formula_over_classes_and_pairs():
    table = pm.table(METHODS, TRUTH, metrics=["cd-l1"], scale=1e3)
    assert table.classes == list(TRUTH) and table.methods == ["ours", "x_base"]
    for method in METHODS:
        for over, mean in expected_means(method).items():
            assert table.mean(method, "cd-l1", over) == pytest.approx(1e3 * mean, rel=1e-9)
    assert expected_means("ours")["mean over classes"] != expected_means("ours")["mean over pairs"]


def test_latex_names_scales_escapes_and_puts_the_best_in_bold():
    text = pm.table(METHODS, TRUTH, metrics=["cd-l1", "f-score@0.05"], scale=1e3).to_latex()
    first, second = tabulars(text)
    assert first[0][1] == r"\multicolumn{4}{c}{cd-l1 $\times 10^{3}$ $\downarrow$}"
    assert second[0][1] == r"\multicolumn{4}{c}{f-score@0.05 $\uparrow$}"
    assert first[1] == ["method", "car", r"a\_b \& c\%", "mean over classes", "mean over pairs"]
    assert [row[0] for row in first[2:]] == ["ours", r"x\_base"]
    for block in (first, second):
        assert all(cell.startswith(r"\textbf{") for cell in block[2][1:])
        assert not any("textbf" in cell for cell in block[3])
    shown = [float(re.sub(r"\\textbf|[{}]", "", cell)) for cell in first[2][1:]]
    assert shown == pytest.approx([1e3 * mean for mean in expected_means("ours").values()], rel=5e-3)


def test_one_method_has_classes_as_rows_and_nothing_in_bold():
    table = pm.table({"ours": METHODS["ours"]}, TRUTH, metrics=["cd-l1", "emd"])
    (rows,) = tabulars(table.to_latex())
    assert [row[0] for row in rows] == ["class", "car", r"a\_b \& c\%", "mean over classes", "mean over pairs"]
    assert "textbf" not in table.to_latex() and "**" not in table.to_markdown() and "*" not in str(table)


def test_without_classes_metrics_are_the_columns():
    plain = {name: clouds["car"] for name, clouds in METHODS.items()}
    table = pm.table(plain, TRUTH["car"], metrics=["cd-l1", "hausdorff"])
    (rows,) = tabulars(table.to_latex())
    assert rows[0] == ["method", r"cd-l1 $\downarrow$", r"hausdorff $\downarrow$"] and len(rows) == 3
    lines = table.to_markdown().splitlines()
    assert lines[0] == "| method | cd-l1 ↓ | hausdorff ↓ |" and lines[1] == "|---|---:|---:|"
    assert re.fullmatch(r"\| ours \| \*\*[\d.]+\*\* \| \*\*[\d.]+\*\* \|", lines[2])
    assert lines[3].startswith("| x\\_base | ") and "**" not in lines[3]


def test_ties_are_bold_together_also_those_that_only_print_alike():
    values = {"a": 0.10001, "b": 0.10002, "c": 0.2}
    table = Table([Column("m")], [Row(name, "", "p", {"m": value}) for name, value in values.items()], list(values))
    assert table.to_markdown().count("**") == 4
    assert table.to_markdown(5).count("**") == 2
    best = Table([Column("m", high_is_good=True)], table.rows, list(values))
    assert "**0.200**" in best.to_markdown()


@pytest.mark.parametrize(
    ("factor", "plain", "latex"),
    [
        (1.0, "", ""),
        (1e3, " x1e3", r" $\times 10^{3}$"),
        (1e-2, " x1e-2", r" $\times 10^{-2}$"),
        (500.0, " x500", r" $\times 500$"),
    ],
)
def test_scales_are_named(factor, plain, latex):
    assert scale(factor, "plain") == plain and scale(factor, "latex") == latex


def test_decimals_leave_three_digits_of_the_least():
    rows = [Row("a", "", "p", {"m": 0.00123456}), Row("b", "", "p", {"m": 12.3456})]
    table = Table([Column("m")], rows, ["a", "b"])
    assert "0.00123" in table.to_markdown() and "12.34560" in table.to_markdown()
    assert "| 12.3 |" in table.to_markdown(decimals=1)
    for bad in (-1, 1.5, True, 40):
        with pytest.raises(ValueError, match="decimals must be an int from 0 to 17"):
            table.to_latex(bad)


def test_values_that_are_infinite_or_zero_can_be_printed():
    rows = [Row("a", "", "p", {"m": math.inf}), Row("b", "", "p", {"m": 0.0})]
    table = Table([Column("m", high_is_good=True)], rows, ["a", "b"])
    assert r"\textbf{$\infty$}" in table.to_latex() and "0.000" in str(table)


def test_csv_and_dict_have_all_digits():
    table = pm.table(METHODS, TRUTH, metrics=["cd-l1"], scale={"cd-l1": 100})
    rows = list(csv.DictReader(io.StringIO(table.to_csv())))
    assert [(row["method"], row["over"], row["pairs"]) for row in rows[:2]] == [
        ("ours", "car", "3"),
        ("ours", "a_b & c%", "1"),
    ]
    for row in rows:
        assert float(row["cd-l1 x1e2"]) == table.mean(row["method"], "cd-l1", row["over"])
        assert table.to_dict()["means"][row["method"]]["cd-l1"][row["over"]] == float(row["cd-l1 x1e2"])
    assert table.to_dict()["columns"][0] == {
        "title": "cd-l1 x1e2",
        "metric": "cd-l1",
        "unit": "length",
        "scale": 100.0,
        "better": "lower",
    }


def test_folders_give_the_same_as_clouds(tmp_path):
    for name, classes in {**METHODS, "truth": TRUTH}.items():
        for group, clouds in classes.items():
            for i, cloud in enumerate(clouds):
                (tmp_path / name / group).mkdir(parents=True, exist_ok=True)
                pm.io.write_points(tmp_path / name / group / f"{i}.npy", cloud)
    calls = []
    from_files = pm.table(
        {name: tmp_path / name for name in METHODS},
        str(tmp_path / "truth"),
        metrics=["cd-l1", "emd"],
        progress=lambda *state: calls.append(state),
    )
    assert calls == [(i, 8) for i in range(1, 9)]
    in_memory = pm.table(METHODS, TRUTH, metrics=["cd-l1", "emd"])
    assert sorted(from_files.classes) == sorted(TRUTH)
    for method in METHODS:
        for metric in ("cd-l1", "emd"):
            for over in from_files.places:
                assert from_files.mean(method, metric, over) == in_memory.mean(method, metric, over)
    assert pm.table(tmp_path / "ours", tmp_path / "truth").methods == ["ours"]
    (tmp_path / "ours" / "car" / "1.npy").unlink()
    with pytest.raises(ValueError, match=r"lacks 1 of the clouds of .*truth, such as car/1"):
        pm.table(tmp_path / "ours", tmp_path / "truth")
    with pytest.raises(ValueError, match=r"there is no folder .*nowhere"):
        pm.table(tmp_path / "nowhere", tmp_path / "truth")


@pytest.mark.parametrize(
    ("methods", "truth", "options", "message"),
    [
        ({"m": {"car": TRUTH["car"]}}, TRUTH, {}, "m and truth must have the same classes, but one alone has a_b"),
        ({"m": TRUTH["car"][:2]}, TRUTH["car"], {}, "m and truth must hold equally many clouds, got 2 and 3"),
        ({"m": TRUTH["car"][0]}, TRUTH["car"], {}, "m and truth must be sets of clouds"),
        ({"m": "folder"}, TRUTH["car"], {}, "m and truth must both be folders"),
        ({}, TRUTH["car"], {}, "methods must name at least one"),
        ({"m": TRUTH["car"]}, TRUTH["car"], {"metrics": "cd-l1"}, "metrics must be a sequence"),
        ({"m": TRUTH["car"]}, TRUTH["car"], {"metrics": ["cd"]}, "metric must be dcd.*got 'cd'"),
        ({"m": TRUTH["car"]}, TRUTH["car"], {"scale": {"emd": 2}}, "scale must name metrics of the table .* 'emd'"),
        ({"m": TRUTH["car"]}, TRUTH["car"], {"scale": 0}, "scale must be finite and above 0, got 0 for cd-l1"),
    ],
)
def test_mistakes_are_named(methods, truth, options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        pm.table(methods, truth, **options)


def test_an_unknown_mean_names_those_there_are():
    with pytest.raises(ValueError, match=r"methods are ours, x_base, metrics cd-l1, .* mean over pairs"):
        pm.table(METHODS, TRUTH, metrics=["cd-l1"]).mean("theirs", "cd-l1")


def test_bad_clouds_are_named_by_pair_and_method():
    bad = {"car": TRUTH["car"][:, :, :2], "a_b & c%": TRUTH["a_b & c%"]}
    with pytest.raises(ValueError, match="car/0 of m and car/0 of truth must have the same dimension"):
        pm.table({"m": bad}, TRUTH)

"""What is made of ``-X importtime``, and one round of the script."""

from __future__ import annotations

import import_time
import pytest

PRINTED = """\
import time: self [us] | cumulative | imported package
import time:       500 |        500 | site
import time:       100 |        100 |     numpy._core
import time:       200 |        300 |   numpy
import time:        40 |         40 |   imondrian._core
import time:        60 |        400 | imondrian
import time:        30 |         30 |   sklearn
import time:        10 |         40 | imondrian._estimator
"""


def test_imports_are_summed_up_from_the_package_on() -> None:
    found = import_time.read_importtime(PRINTED, "imondrian")
    assert found.total == pytest.approx(440e-6)
    assert found.own == pytest.approx(110e-6)
    assert found.modules == 6
    assert import_time.read_importtime(PRINTED, "numpy").modules == 6
    with pytest.raises(ValueError, match="river was not imported"):
        import_time.read_importtime(PRINTED, "river")


def test_a_round_of_the_script(capsys: pytest.CaptureFixture[str]) -> None:
    import_time.main(["--rounds", "1", "--only", "import imondrian", "import pointmetrics"])
    printed = capsys.readouterr().out.splitlines()
    header, _, *rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in printed]
    assert header == ["statement", "median", "own", "modules"]
    assert [row[0] for row in rows] == ["`import imondrian`", "`import pointmetrics`"]
    for _, total, own, modules in rows:
        assert own.endswith(" ms") and total.endswith(" ms")
        assert 0 < float(own.split()[0]) <= float(total.split()[0])
        assert int(modules) >= 2

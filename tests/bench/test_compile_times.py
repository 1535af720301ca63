"""The measurement of what first calls compile: its calls run, its table says what is within the limit."""

import compile_times
import numpy as np
import pytest

from imondrian._kit.kernel_source import OPTIONS
from pointmetrics._backends.cuda.kernel_source import instance_of


@pytest.mark.parametrize("name", compile_times.calls(np))
def test_calls_run(name):
    result = compile_times.calls(np)[name]()
    value = result[0] if isinstance(result, tuple) else getattr(result, "one_nna", result)
    assert np.isfinite(np.asarray(value, dtype=float)).all()


def test_the_table_tells_what_takes_too_long():
    instances = [instance_of("segments", np.dtype(np.float32), 3), instance_of("search", np.dtype(np.float32), 0)]
    text = compile_times.table({"quick": instances, "slow": instances}, {"quick": [0.5, 1.0], "slow": [0.25, 2.8]})
    quick, slow = (line.split("|")[2:-1] for line in text.splitlines()[2:])
    assert [cell.strip() for cell in quick] == ["2", "1.50 s", "search 1.00 s", "yes"]
    assert [cell.strip() for cell in slow] == ["2", "3.05 s", "search 2.80 s", "**no**"]


def test_sources_are_compiled_one_by_one():
    nvrtc = pytest.importorskip("cupy", reason="needs CuPy, not a device").cuda.nvrtc
    try:
        nvrtc.getVersion()
    except RuntimeError as error:
        pytest.skip(f"needs NVRTC: {error}")
    instance = instance_of("segments", np.dtype(np.float32), 3)
    seconds = compile_times.seconds_to_compile([("segments", instance.source)] * 2, (*OPTIONS, "-arch=sm_90"))
    assert len(seconds) == 2 and min(seconds) > 0

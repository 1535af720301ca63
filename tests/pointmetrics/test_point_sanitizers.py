"""The native core under sanitizers: out of bounds, undefined behaviour, data races."""

import pytest
from native_build import check_sanitized


@pytest.mark.slow
@pytest.mark.parametrize("sanitizer", ["address,undefined", "thread"])
def test_the_core_is_clean(sanitizer, tmp_path):
    # The hot loops are one large unit, which takes half a minute at -O1.
    check_sanitized("pointmetrics", sanitizer, tmp_path, "-O1", {"baseline.cpp": ["-O0"]})

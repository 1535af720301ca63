"""The native core under sanitizers: out of bounds, undefined behaviour, data races."""

import pytest
from native_build import check_sanitized


@pytest.mark.slow
@pytest.mark.parametrize("sanitizer", ["address,undefined", "thread"])
def test_the_core_is_clean(sanitizer, tmp_path):
    check_sanitized("imondrian", sanitizer, tmp_path, "-O0")

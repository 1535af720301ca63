# The instruction set in use, for the binding of either core.

cdef extern from "nativekit/isa.hpp" namespace "nativekit" nogil:
    cdef enum class Level(int):
        kBaseline

    Level limit_level(int most)
    const char* level_name()
    const char* vector_name()


def limit_instruction_set(int most):
    """Use at most the baseline (0), AVX2 (1) or AVX-512 (2); return what is used from now on. For tests."""
    return <int>limit_level(most)


def instruction_set():
    """Return the level in use, as IMONDRIAN_ISA names it, and what its vectors are called."""
    return level_name().decode(), vector_name().decode()


def _heed_environment():
    from os import environ

    levels = ("baseline", "avx2", "avx512")
    wanted = environ.get("IMONDRIAN_ISA", "")
    if wanted and wanted not in levels:
        raise ValueError(f"the environment variable IMONDRIAN_ISA must be one of {', '.join(levels)}, got {wanted!r}")
    if wanted:
        limit_level(levels.index(wanted))


_heed_environment()

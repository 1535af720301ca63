# distutils: language = c++
"""Hand numpy arrays to the native core. Callers have checked shapes, dtypes and contiguity.

One file of native/binding/ a kind of function. Each is called with C-contiguous arrays of the documented dtype and does no
checking of its own beyond picking float32 or float64.
"""

cimport numpy as cnp
from libc.stdint cimport int32_t, int64_t
from libcpp cimport bool as cbool

cnp.import_array()


cdef extern from "core.hpp" namespace "pointmetrics" nogil:
    double _max_magnitude "pointmetrics::max_magnitude"[T](const T* values, int64_t n)


ctypedef cbool (*Ask)() noexcept nogil


cdef extern from "nativekit/interrupt.hpp" namespace "nativekit" nogil:
    cdef cppclass Watch:
        Watch()
        void open(Ask)


cdef extern from "Python.h":
    # Declared without `except`: the error stays set until the native call has ended.
    int PyErr_CheckSignals()
    void PyErr_SetNone(object)


cdef bint _all_stop = False


cdef cbool _ask_python() noexcept with gil:
    """Whether a signal's handler raised, which only the main thread hears of, or all calls are to stop."""
    if PyErr_CheckSignals() != 0:
        return True
    if _all_stop:
        PyErr_SetNone(KeyboardInterrupt)
    return _all_stop


def stop_calls(bint stop):
    """Have the native calls of all threads end with KeyboardInterrupt, until this is called with False."""
    global _all_stop
    _all_stop = stop


cdef int _begin(Watch* watch) except -1:
    """Let the call be stopped from here on; a short one is never asked, so that what is to stop must not begin."""
    if _all_stop:
        raise KeyboardInterrupt
    watch.open(&_ask_python)
    return 0


cdef int _raise(int status) except -1:
    if status == 2:
        return -1  # with the error of the signal's handler
    if status == 1:
        raise MemoryError("the native core could not allocate its scratch memory")
    return 0


def max_magnitude(cnp.ndarray values):
    """Return the largest absolute value; not finite where any value is not."""
    cdef int64_t n = cnp.PyArray_SIZE(values)
    cdef void* data = cnp.PyArray_DATA(values)
    cdef double most
    cdef bint single = cnp.PyArray_TYPE(values) == cnp.NPY_FLOAT32
    with nogil:
        most = _max_magnitude(<const float*> data, n) if single else _max_magnitude(<const double*> data, n)
    return most


include "native/binding/nearest.pxi"
include "native/binding/balls.pxi"
include "native/binding/distortion.pxi"
include "native/binding/mesh.pxi"
include "native/binding/pairs.pxi"
include "native/binding/emd.pxi"

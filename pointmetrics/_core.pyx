# distutils: language = c++
"""Hand numpy arrays to the native core. Callers have checked shapes, dtypes and contiguity.

One section a function. Each is called with C-contiguous arrays of the documented dtype and does no
checking of its own beyond picking float32 or float64.
"""

cimport numpy as cnp
from libc.stdint cimport int32_t, int64_t

cnp.import_array()


cdef extern from "core.hpp" namespace "pointmetrics" nogil:
    double _max_magnitude "pointmetrics::max_magnitude"[T](const T* values, int64_t n)


cdef int _raise(int status) except -1:
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

# Nearest neighbours

cdef extern from "core.hpp" namespace "pointmetrics" nogil:
    cdef cppclass NearestJob[T]:
        const T* x
        const int64_t* x_offsets
        const T* y
        const int64_t* y_offsets
        int64_t n_pairs
        int d
        int n_threads
        const char* index
        T* sq_x
        int32_t* id_x
        T* sq_y
        int32_t* id_y

    int _nearest "pointmetrics::nearest"[T](const NearestJob[T]& job)
    int64_t _prepared_size "pointmetrics::prepared_size"[T](int64_t n, int d)
    int _prepare "pointmetrics::prepare"[T](const T* points, int64_t n, int d, char* memory)

ctypedef fused real:
    float
    double


cdef int _run_nearest(real* x, cnp.ndarray x_offsets, cnp.ndarray y, cnp.ndarray y_offsets, char* index,
                      int n_threads, tuple results) except -1:
    cdef NearestJob[real] job
    cdef int status
    job.x = x
    job.x_offsets = <const int64_t*> cnp.PyArray_DATA(x_offsets)
    job.y = <const real*> cnp.PyArray_DATA(y)
    job.y_offsets = <const int64_t*> cnp.PyArray_DATA(y_offsets)
    job.n_pairs = cnp.PyArray_DIM(x_offsets, 0) - 1
    job.d = <int> cnp.PyArray_DIM(y, 1)
    job.n_threads = n_threads
    job.index = index
    job.sq_x = <real*> cnp.PyArray_DATA(<cnp.ndarray> results[0])
    job.id_x = <int32_t*> cnp.PyArray_DATA(<cnp.ndarray> results[1])
    job.sq_y = NULL
    job.id_y = NULL
    if results[2] is not None:
        job.sq_y = <real*> cnp.PyArray_DATA(<cnp.ndarray> results[2])
        job.id_y = <int32_t*> cnp.PyArray_DATA(<cnp.ndarray> results[3])
    cdef Watch watch
    _begin(&watch)
    with nogil:
        status = _nearest(job)
    return _raise(status)


def nearest(cnp.ndarray x, cnp.ndarray x_offsets, cnp.ndarray y, cnp.ndarray y_offsets, bint both,
            int n_threads, cnp.ndarray index=None):
    """Return squared distances and int32 ids of nearest neighbours, x to y and (where ``both``) y to x.

    ``index`` is what :func:`prepare` made of the one cloud that y repeats for every cloud of x.
    """
    cdef cnp.npy_intp n_x = cnp.PyArray_DIM(x, 0)
    cdef cnp.npy_intp n_y = cnp.PyArray_DIM(y, 0)
    cdef int kind = cnp.PyArray_TYPE(x)
    cdef char* memory = NULL
    if index is not None:
        memory = <char*> cnp.PyArray_DATA(index)
    results = (cnp.PyArray_EMPTY(1, &n_x, kind, 0), cnp.PyArray_EMPTY(1, &n_x, cnp.NPY_INT32, 0),
               cnp.PyArray_EMPTY(1, &n_y, kind, 0) if both else None,
               cnp.PyArray_EMPTY(1, &n_y, cnp.NPY_INT32, 0) if both else None)
    if kind == cnp.NPY_FLOAT32:
        _run_nearest(<float*> cnp.PyArray_DATA(x), x_offsets, y, y_offsets, memory, n_threads, results)
    else:
        _run_nearest(<double*> cnp.PyArray_DATA(x), x_offsets, y, y_offsets, memory, n_threads, results)
    return results


def prepare(cnp.ndarray points):
    """Index a cloud ``(n, d)``; return the index as uint8 memory, to be given to :func:`nearest`."""
    cdef int64_t n = cnp.PyArray_DIM(points, 0)
    cdef int d = <int> cnp.PyArray_DIM(points, 1)
    cdef bint single = cnp.PyArray_TYPE(points) == cnp.NPY_FLOAT32
    cdef void* data = cnp.PyArray_DATA(points)
    cdef cnp.npy_intp size = 64 + (_prepared_size[float](n, d) if single else _prepared_size[double](n, d))
    cdef cnp.ndarray memory = cnp.PyArray_EMPTY(1, &size, cnp.NPY_UINT8, 0)
    cdef Py_ssize_t shift = -(<Py_ssize_t> cnp.PyArray_DATA(memory)) % 64
    cdef cnp.ndarray index = memory[shift : size - 64 + shift]
    cdef char* at = <char*> cnp.PyArray_DATA(index)
    cdef int status
    cdef Watch watch
    _begin(&watch)
    with nogil:
        status = _prepare(<const float*> data, n, d, at) if single else _prepare(<const double*> data, n, d, at)
    _raise(status)
    return index


include "nativekit/isa.pxi"

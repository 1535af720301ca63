# All pairs of two sets of clouds

cdef extern from "core.hpp" namespace "pointmetrics" nogil:
    cdef cppclass PairwiseJob[T]:
        const T* x
        const int64_t* x_offsets
        int64_t n_x
        const T* y
        const int64_t* y_offsets
        int64_t n_y
        const int64_t* pairs
        int64_t n_pairs
        int d
        int power
        int n_threads
        double* forth
        double* back

    int _pairwise "pointmetrics::pairwise"[T](const PairwiseJob[T]& job)


cdef int _run_pairwise(real* x, cnp.ndarray x_offsets, cnp.ndarray y, cnp.ndarray y_offsets, cnp.ndarray pairs,
                       int power, int n_threads, cnp.ndarray forth, cnp.ndarray back) except -1:
    cdef PairwiseJob[real] job
    cdef int status
    job.x = x
    job.x_offsets = <const int64_t*> cnp.PyArray_DATA(x_offsets)
    job.n_x = cnp.PyArray_DIM(x_offsets, 0) - 1
    job.y = <const real*> cnp.PyArray_DATA(y)
    job.y_offsets = <const int64_t*> cnp.PyArray_DATA(y_offsets)
    job.n_y = cnp.PyArray_DIM(y_offsets, 0) - 1
    job.pairs = <const int64_t*> cnp.PyArray_DATA(pairs)
    job.n_pairs = cnp.PyArray_DIM(pairs, 0)
    job.d = <int> cnp.PyArray_DIM(y, 1)
    job.power = power
    job.n_threads = n_threads
    job.forth = <double*> cnp.PyArray_DATA(forth)
    job.back = <double*> cnp.PyArray_DATA(back)
    cdef Watch watch
    _begin(&watch)
    with nogil:
        status = _pairwise(job)
    return _raise(status)


def pairwise(cnp.ndarray x, cnp.ndarray x_offsets, cnp.ndarray y, cnp.ndarray y_offsets, cnp.ndarray pairs,
             int power, int n_threads):
    """Return float64 sums of distance^power from x to y and from y to x for each pair of ``pairs`` (p, 2) int64."""
    cdef cnp.npy_intp n = cnp.PyArray_DIM(pairs, 0)
    cdef cnp.ndarray forth = cnp.PyArray_EMPTY(1, &n, cnp.NPY_FLOAT64, 0)
    cdef cnp.ndarray back = cnp.PyArray_EMPTY(1, &n, cnp.NPY_FLOAT64, 0)
    if cnp.PyArray_TYPE(x) == cnp.NPY_FLOAT32:
        _run_pairwise(<float*> cnp.PyArray_DATA(x), x_offsets, y, y_offsets, pairs, power, n_threads, forth, back)
    else:
        _run_pairwise(<double*> cnp.PyArray_DATA(x), x_offsets, y, y_offsets, pairs, power, n_threads, forth, back)
    return forth, back

# Errors to points and to planes

cdef extern from "core.hpp" namespace "pointmetrics" nogil:
    cdef cppclass Distortion:
        double sum_sq
        double max_sq
        double sum_plane
        double max_plane

    cdef cppclass DistortionJob[T]:
        const T* x
        int64_t n_x
        const double* x_normals
        const T* y
        int64_t n_y
        const double* y_normals
        int d
        cbool drop
        int n_threads
        Distortion* forth
        Distortion* back
        int64_t* counts

    int _distortion "pointmetrics::distortion"[T](const DistortionJob[T]& job)
    int _distinct "pointmetrics::distinct"[T](const T* points, int64_t n, int d, int64_t* rows, int64_t* n_rows)


cdef int _run_distortion(real* x, cnp.ndarray x_normals, cnp.ndarray y, cnp.ndarray y_normals, int64_t n_x, bint drop,
                         int n_threads, Distortion* out, int64_t* counts) except -1:
    cdef DistortionJob[real] job
    cdef int status
    job.x = x
    job.n_x = n_x
    job.x_normals = NULL
    job.y = <const real*> cnp.PyArray_DATA(y)
    job.n_y = cnp.PyArray_DIM(y, 0)
    job.y_normals = NULL
    if x_normals is not None:
        job.x_normals = <const double*> cnp.PyArray_DATA(x_normals)
        job.y_normals = <const double*> cnp.PyArray_DATA(y_normals)
    job.d = <int> cnp.PyArray_DIM(y, 1)
    job.drop = drop
    job.n_threads = n_threads
    job.forth = out
    job.back = out + 1
    job.counts = counts
    cdef Watch watch
    _begin(&watch)
    with nogil:
        status = _distortion(job)
    return _raise(status)


def distortion(cnp.ndarray x, cnp.ndarray x_normals, cnp.ndarray y, cnp.ndarray y_normals, bint drop, int n_threads):
    """Return, from x to y and from y to x, how many points count, and of their squared errors sum and largest: to the
    nearest point, and along its normal.

    Normals are float64 ``(n, 3)``, or None of both clouds: then the latter are 0. Of points that coincide one counts,
    the first, if ``drop``. At most 16 dimensions.
    """
    cdef Distortion out[2]
    cdef int64_t counts[2]
    cdef int64_t n = cnp.PyArray_DIM(x, 0)
    if cnp.PyArray_TYPE(x) == cnp.NPY_FLOAT32:
        _run_distortion(<float*> cnp.PyArray_DATA(x), x_normals, y, y_normals, n, drop, n_threads, out, counts)
    else:
        _run_distortion(<double*> cnp.PyArray_DATA(x), x_normals, y, y_normals, n, drop, n_threads, out, counts)
    return tuple(
        (counts[side], out[side].sum_sq, out[side].max_sq, out[side].sum_plane, out[side].max_plane)
        for side in range(2)
    )


def distinct(cnp.ndarray points):
    """Return the rows, int64 and rising, of the first of all points that coincide."""
    cdef cnp.npy_intp n = cnp.PyArray_DIM(points, 0)
    cdef cnp.ndarray rows = cnp.PyArray_EMPTY(1, &n, cnp.NPY_INT64, 0)
    cdef int64_t* at = <int64_t*> cnp.PyArray_DATA(rows)
    cdef int d = <int> cnp.PyArray_DIM(points, 1)
    cdef void* data = cnp.PyArray_DATA(points)
    cdef bint single = cnp.PyArray_TYPE(points) == cnp.NPY_FLOAT32
    cdef int64_t n_rows = 0
    cdef int status
    cdef Watch watch
    _begin(&watch)
    with nogil:
        if single:
            status = _distinct(<const float*> data, n, d, at, &n_rows)
        else:
            status = _distinct(<const double*> data, n, d, at, &n_rows)
    _raise(status)
    return rows[:n_rows]

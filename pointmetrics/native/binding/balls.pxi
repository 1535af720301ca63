# Farthest points, and what lies in balls and cylinders

cdef extern from "core.hpp" namespace "pointmetrics" nogil:
    cdef cppclass FarthestJob[T]:
        const T* points
        const int64_t* offsets
        int64_t n_clouds
        int d
        int64_t k
        int64_t start
        int n_threads
        int64_t* chosen

    cdef cppclass BallJob[T]:
        const T* points
        int64_t n
        const T* centres
        int64_t n_centres
        int d
        const double* sq_radii
        int n_threads
        int64_t* counts
        const int64_t* offsets
        int64_t* ids

    cdef cppclass DiskJob[T]:
        const T* points
        int64_t n
        const int64_t* near
        int n_near
        const int64_t* seeds
        int64_t n_seeds
        const double* radii
        int n_radii
        double ideal
        int n_threads
        int64_t* counts
        double* clutter
        const int64_t* offsets
        int64_t* ids
        int64_t* nearest
        double* distances

    cdef cppclass MomentJob:
        const double* points
        int64_t n
        const double* centres
        int64_t n_centres
        double radius
        int n_threads
        int64_t* counts
        double* sums

    cdef cppclass CylinderJob:
        const double* points
        int64_t n
        const double* cores
        const double* axes
        int64_t n_cores
        double radius
        double half_length
        int n_threads
        int64_t* count
        double* mean
        double* sq_dev

    int _farthest "pointmetrics::farthest"[T](const FarthestJob[T]& job)
    int _balls "pointmetrics::balls"[T](const BallJob[T]& job)
    int _disks "pointmetrics::disks"[T](const DiskJob[T]& job)
    int _ball_moments "pointmetrics::ball_moments"(const MomentJob& job)
    int _cylinders "pointmetrics::cylinders"(const CylinderJob& job)


cdef int _run_farthest(real* points, cnp.ndarray offsets, int d, int64_t start, int n_threads,
                       cnp.ndarray chosen) except -1:
    cdef FarthestJob[real] job
    cdef int status
    job.points = points
    job.offsets = <const int64_t*> cnp.PyArray_DATA(offsets)
    job.n_clouds = cnp.PyArray_DIM(chosen, 0)
    job.d = d
    job.k = cnp.PyArray_DIM(chosen, 1)
    job.start = start
    job.n_threads = n_threads
    job.chosen = <int64_t*> cnp.PyArray_DATA(chosen)
    cdef Watch watch
    _begin(&watch)
    with nogil:
        status = _farthest(job)
    return _raise(status)


def farthest(cnp.ndarray points, cnp.ndarray offsets, int64_t k, int64_t start, int n_threads):
    """Return k points of each cloud, int64 ``(b, k)``: ``start``, then always the farthest from all before it."""
    cdef int d = <int> cnp.PyArray_DIM(points, 1)
    cdef cnp.npy_intp shape[2]
    shape[0] = cnp.PyArray_DIM(offsets, 0) - 1
    shape[1] = k
    cdef cnp.ndarray chosen = cnp.PyArray_EMPTY(2, shape, cnp.NPY_INT64, 0)
    if cnp.PyArray_TYPE(points) == cnp.NPY_FLOAT32:
        _run_farthest(<float*> cnp.PyArray_DATA(points), offsets, d, start, n_threads, chosen)
    else:
        _run_farthest(<double*> cnp.PyArray_DATA(points), offsets, d, start, n_threads, chosen)
    return chosen


cdef int _run_balls(real* points, int64_t n, cnp.ndarray centres, cnp.ndarray sq_radii, int n_threads, int64_t* counts,
                    int64_t* offsets, int64_t* ids) except -1:
    cdef BallJob[real] job
    cdef int status
    job.points = points
    job.n = n
    job.centres = <const real*> cnp.PyArray_DATA(centres)
    job.n_centres = cnp.PyArray_DIM(centres, 0)
    job.d = <int> cnp.PyArray_DIM(centres, 1)
    job.sq_radii = <const double*> cnp.PyArray_DATA(sq_radii)
    job.n_threads = n_threads
    job.counts = counts
    job.offsets = offsets
    job.ids = ids
    cdef Watch watch
    _begin(&watch)
    with nogil:
        status = _balls(job)
    return _raise(status)


def balls(cnp.ndarray points, cnp.ndarray centres, cnp.ndarray sq_radii, int n_threads, cnp.ndarray offsets=None):
    """Count the points in the ball of each centre, int64 ``(m,)``; with ``offsets`` ``(m + 1,)`` list them, packed.

    ``sq_radii`` are float64 ``(m,)``.
    """
    cdef cnp.npy_intp size = cnp.PyArray_DIM(centres, 0) if offsets is None else offsets[-1]
    cdef cnp.ndarray out = cnp.PyArray_EMPTY(1, &size, cnp.NPY_INT64, 0)
    cdef int64_t n = cnp.PyArray_DIM(points, 0)
    cdef int64_t* counts = NULL
    cdef int64_t* at = NULL
    cdef int64_t* ids = NULL
    if offsets is None:
        counts = <int64_t*> cnp.PyArray_DATA(out)
    else:
        at = <int64_t*> cnp.PyArray_DATA(offsets)
        ids = <int64_t*> cnp.PyArray_DATA(out)
    if cnp.PyArray_TYPE(points) == cnp.NPY_FLOAT32:
        _run_balls(<float*> cnp.PyArray_DATA(points), n, centres, sq_radii, n_threads, counts, at, ids)
    else:
        _run_balls(<double*> cnp.PyArray_DATA(points), n, centres, sq_radii, n_threads, counts, at, ids)
    return out


cdef int _run_disks(real* points, cnp.ndarray near, cnp.ndarray seeds, cnp.ndarray radii, double ideal, int n_threads,
                    tuple results, cnp.ndarray offsets) except -1:
    cdef DiskJob[real] job
    cdef int status
    job.points = points
    job.n = cnp.PyArray_DIM(near, 0)
    job.near = <const int64_t*> cnp.PyArray_DATA(near)
    job.n_near = <int> cnp.PyArray_DIM(near, 1)
    job.seeds = <const int64_t*> cnp.PyArray_DATA(seeds)
    job.n_seeds = cnp.PyArray_DIM(seeds, 0)
    job.radii = <const double*> cnp.PyArray_DATA(radii)
    job.n_radii = <int> cnp.PyArray_DIM(radii, 0)
    job.ideal = ideal
    job.n_threads = n_threads
    job.counts = <int64_t*> cnp.PyArray_DATA(<cnp.ndarray> results[0])
    job.clutter = <double*> cnp.PyArray_DATA(<cnp.ndarray> results[1])
    job.offsets = NULL
    if offsets is not None:
        job.offsets = <const int64_t*> cnp.PyArray_DATA(offsets)
        job.ids = <int64_t*> cnp.PyArray_DATA(<cnp.ndarray> results[2])
        job.nearest = <int64_t*> cnp.PyArray_DATA(<cnp.ndarray> results[3])
        job.distances = <double*> cnp.PyArray_DATA(<cnp.ndarray> results[4])
    cdef Watch watch
    _begin(&watch)
    with nogil:
        status = _disks(job)
    return _raise(status)


def disks(cnp.ndarray points, cnp.ndarray near, cnp.ndarray seeds, cnp.ndarray radii, double ideal, int n_threads,
          cnp.ndarray offsets=None):
    """Return, of the disk of each radius about each seed, how many points it holds and their clutter, ``(m, r)``.

    ``near`` int64 ``(n, k)`` are points near to each, nearest first. Clutter is the sum of ``(d - e)^2 / e``, with d the
    distance of a point to its nearest in the disk and ``e = sqrt(ideal radius^2 / count)``. With ``offsets``
    ``(m r + 1,)`` also list the points of each disk, their nearest, and the distances between.
    """
    cdef cnp.npy_intp shape[2]
    shape[0] = cnp.PyArray_DIM(seeds, 0)
    shape[1] = cnp.PyArray_DIM(radii, 0)
    results = (cnp.PyArray_EMPTY(2, shape, cnp.NPY_INT64, 0), cnp.PyArray_EMPTY(2, shape, cnp.NPY_FLOAT64, 0))
    cdef cnp.npy_intp size
    if offsets is not None:
        size = offsets[-1]
        results += (cnp.PyArray_EMPTY(1, &size, cnp.NPY_INT64, 0), cnp.PyArray_EMPTY(1, &size, cnp.NPY_INT64, 0),
                    cnp.PyArray_EMPTY(1, &size, cnp.NPY_FLOAT64, 0))
    if cnp.PyArray_TYPE(points) == cnp.NPY_FLOAT32:
        _run_disks(<float*> cnp.PyArray_DATA(points), near, seeds, radii, ideal, n_threads, results, offsets)
    else:
        _run_disks(<double*> cnp.PyArray_DATA(points), near, seeds, radii, ideal, n_threads, results, offsets)
    return results


def ball_moments(cnp.ndarray points, cnp.ndarray centres, double radius, int n_threads):
    """Return count and sums of x, y, z, xx, xy, xz, yy, yz, zz about each centre of the points in its ball.

    All are float64 ``(n, 3)``; sums are ``(m, 9)``.
    """
    cdef cnp.npy_intp shape[2]
    shape[0] = cnp.PyArray_DIM(centres, 0)
    shape[1] = 9
    counts = cnp.PyArray_EMPTY(1, shape, cnp.NPY_INT64, 0)
    sums = cnp.PyArray_EMPTY(2, shape, cnp.NPY_FLOAT64, 0)
    cdef MomentJob job
    cdef int status
    job.points = <const double*> cnp.PyArray_DATA(points)
    job.n = cnp.PyArray_DIM(points, 0)
    job.centres = <const double*> cnp.PyArray_DATA(centres)
    job.n_centres = shape[0]
    job.radius = radius
    job.n_threads = n_threads
    job.counts = <int64_t*> cnp.PyArray_DATA(<cnp.ndarray> counts)
    job.sums = <double*> cnp.PyArray_DATA(<cnp.ndarray> sums)
    cdef Watch watch
    _begin(&watch)
    with nogil:
        status = _ball_moments(job)
    _raise(status)
    return counts, sums


def cylinders(cnp.ndarray points, cnp.ndarray cores, cnp.ndarray axes, double radius, double half_length,
              int n_threads):
    """Return count, mean and sum of squared deviations along unit ``axes`` of the points in each core's cylinder.

    All are float64 ``(n, 3)``.
    """
    cdef cnp.npy_intp n = cnp.PyArray_DIM(cores, 0)
    count = cnp.PyArray_EMPTY(1, &n, cnp.NPY_INT64, 0)
    mean = cnp.PyArray_EMPTY(1, &n, cnp.NPY_FLOAT64, 0)
    sq_dev = cnp.PyArray_EMPTY(1, &n, cnp.NPY_FLOAT64, 0)
    cdef CylinderJob job
    cdef int status
    job.points = <const double*> cnp.PyArray_DATA(points)
    job.n = cnp.PyArray_DIM(points, 0)
    job.cores = <const double*> cnp.PyArray_DATA(cores)
    job.axes = <const double*> cnp.PyArray_DATA(axes)
    job.n_cores = n
    job.radius = radius
    job.half_length = half_length
    job.n_threads = n_threads
    job.count = <int64_t*> cnp.PyArray_DATA(<cnp.ndarray> count)
    job.mean = <double*> cnp.PyArray_DATA(<cnp.ndarray> mean)
    job.sq_dev = <double*> cnp.PyArray_DATA(<cnp.ndarray> sq_dev)
    cdef Watch watch
    _begin(&watch)
    with nogil:
        status = _cylinders(job)
    _raise(status)
    return count, mean, sq_dev

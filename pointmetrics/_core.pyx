# distutils: language = c++
"""Hand numpy arrays to the native core. Callers have checked shapes, dtypes and contiguity.

One section a function. Each is called with C-contiguous arrays of the documented dtype and does no
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


# Distance to a mesh

cdef extern from "core.hpp" namespace "pointmetrics" nogil:
    cdef cppclass Mesh:
        const double* vertices
        const int32_t* faces
        int64_t n_faces

    int _nearest_on_mesh "pointmetrics::nearest_on_mesh"(
        const double* points, int64_t n, const Mesh& mesh, int n_threads, double* sq_dist, int32_t* face,
        double* barycentric)


def nearest_on_mesh(cnp.ndarray points, cnp.ndarray vertices, cnp.ndarray faces, int n_threads):
    """Return squared distance, int32 face and barycentric coordinates of each point's closest surface point.

    ``points`` and ``vertices`` are float64, ``faces`` int32 and within range.
    """
    cdef cnp.npy_intp shape[2]
    shape[0] = cnp.PyArray_DIM(points, 0)
    shape[1] = 3
    sq_dist = cnp.PyArray_EMPTY(1, shape, cnp.NPY_FLOAT64, 0)
    face = cnp.PyArray_EMPTY(1, shape, cnp.NPY_INT32, 0)
    barycentric = cnp.PyArray_EMPTY(2, shape, cnp.NPY_FLOAT64, 0)
    cdef const double* at = <const double*> cnp.PyArray_DATA(points)
    cdef double* sq_out = <double*> cnp.PyArray_DATA(<cnp.ndarray> sq_dist)
    cdef int32_t* face_out = <int32_t*> cnp.PyArray_DATA(<cnp.ndarray> face)
    cdef double* barycentric_out = <double*> cnp.PyArray_DATA(<cnp.ndarray> barycentric)
    cdef Mesh mesh
    cdef int status
    mesh.vertices = <const double*> cnp.PyArray_DATA(vertices)
    mesh.faces = <const int32_t*> cnp.PyArray_DATA(faces)
    mesh.n_faces = cnp.PyArray_DIM(faces, 0)
    cdef Watch watch
    _begin(&watch)
    with nogil:
        status = _nearest_on_mesh(at, shape[0], mesh, n_threads, sq_out, face_out, barycentric_out)
    _raise(status)
    return sq_dist, face, barycentric


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


# Earth mover's distance

from libcpp.vector cimport vector


cdef extern from "emd/emd.hpp" namespace "pointmetrics::emd" nogil:
    cdef enum Cost "pointmetrics::emd::Cost":
        pass

    cdef cppclass EmdJob "pointmetrics::emd::Job":
        const double* x
        const double* y
        const int64_t* offsets
        int64_t n_pairs
        int d
        Cost cost
        double tol
        int n_threads
        double* upper
        double* lower
        unsigned char* converged
        int32_t* assignment
        double* prices

    cdef cppclass TransportJob "pointmetrics::emd::TransportJob":
        const double* x
        const double* y
        const int64_t* x_offsets
        const int64_t* y_offsets
        const int64_t* x_mass
        const int64_t* y_mass
        int64_t n_pairs
        int d
        Cost cost
        double tol
        int n_threads
        double* upper
        double* lower
        unsigned char* converged

    cdef cppclass Plan "pointmetrics::emd::Plan":
        vector[int32_t] source
        vector[int32_t] target
        vector[int64_t] mass

    int _solve_emd "pointmetrics::emd::solve"(const EmdJob& job)
    int _transport "pointmetrics::emd::transport"(const TransportJob& job, vector[Plan]& plans)


def assign(cnp.ndarray x, cnp.ndarray y, cnp.ndarray offsets, bint squared, double tol, int n_threads):
    """Solve the assignment of each pair of clouds of one size; float64 points, int64 offsets of both.

    Return ``upper, lower, converged`` a pair and ``assignment`` (int32), ``prices`` a point.
    """
    cdef EmdJob job
    cdef int status
    cdef cnp.npy_intp n_pairs = cnp.PyArray_DIM(offsets, 0) - 1
    cdef cnp.npy_intp total = cnp.PyArray_DIM(x, 0)
    cdef cnp.ndarray upper = cnp.PyArray_EMPTY(1, &n_pairs, cnp.NPY_FLOAT64, 0)
    cdef cnp.ndarray lower = cnp.PyArray_EMPTY(1, &n_pairs, cnp.NPY_FLOAT64, 0)
    cdef cnp.ndarray converged = cnp.PyArray_EMPTY(1, &n_pairs, cnp.NPY_BOOL, 0)
    cdef cnp.ndarray assignment = cnp.PyArray_EMPTY(1, &total, cnp.NPY_INT32, 0)
    cdef cnp.ndarray prices = cnp.PyArray_EMPTY(1, &total, cnp.NPY_FLOAT64, 0)
    job.x = <const double*> cnp.PyArray_DATA(x)
    job.y = <const double*> cnp.PyArray_DATA(y)
    job.offsets = <const int64_t*> cnp.PyArray_DATA(offsets)
    job.n_pairs = n_pairs
    job.d = <int> cnp.PyArray_DIM(x, 1)
    job.cost = <Cost> (1 if squared else 0)
    job.tol = tol
    job.n_threads = n_threads
    job.upper = <double*> cnp.PyArray_DATA(upper)
    job.lower = <double*> cnp.PyArray_DATA(lower)
    job.converged = <unsigned char*> cnp.PyArray_DATA(converged)
    job.assignment = <int32_t*> cnp.PyArray_DATA(assignment)
    job.prices = <double*> cnp.PyArray_DATA(prices)
    cdef Watch watch
    _begin(&watch)
    with nogil:
        status = _solve_emd(job)
    _raise(status)
    return upper, lower, converged, assignment, prices


cdef tuple _plan_arrays(const Plan& plan):
    cdef cnp.npy_intp size = plan.mass.size()
    cdef cnp.npy_intp k
    cdef cnp.ndarray source = cnp.PyArray_EMPTY(1, &size, cnp.NPY_INT64, 0)
    cdef cnp.ndarray target = cnp.PyArray_EMPTY(1, &size, cnp.NPY_INT64, 0)
    cdef cnp.ndarray mass = cnp.PyArray_EMPTY(1, &size, cnp.NPY_INT64, 0)
    for k in range(size):
        (<int64_t*> cnp.PyArray_DATA(source))[k] = plan.source[k]
        (<int64_t*> cnp.PyArray_DATA(target))[k] = plan.target[k]
        (<int64_t*> cnp.PyArray_DATA(mass))[k] = plan.mass[k]
    return source, target, mass


def transport(cnp.ndarray x, cnp.ndarray x_offsets, cnp.ndarray x_mass, cnp.ndarray y, cnp.ndarray y_offsets,
              cnp.ndarray y_mass, bint squared, double tol, int n_threads):
    """Solve the transportation problem of each pair; float64 points, int64 offsets and masses.

    Return ``upper, lower, converged`` a pair and one ``(source, target, mass)`` of int64 arrays a pair.
    """
    cdef TransportJob job
    cdef int status
    cdef vector[Plan] plans
    cdef cnp.npy_intp n_pairs = cnp.PyArray_DIM(x_offsets, 0) - 1
    cdef cnp.ndarray upper = cnp.PyArray_EMPTY(1, &n_pairs, cnp.NPY_FLOAT64, 0)
    cdef cnp.ndarray lower = cnp.PyArray_EMPTY(1, &n_pairs, cnp.NPY_FLOAT64, 0)
    cdef cnp.ndarray converged = cnp.PyArray_EMPTY(1, &n_pairs, cnp.NPY_BOOL, 0)
    job.x = <const double*> cnp.PyArray_DATA(x)
    job.y = <const double*> cnp.PyArray_DATA(y)
    job.x_offsets = <const int64_t*> cnp.PyArray_DATA(x_offsets)
    job.y_offsets = <const int64_t*> cnp.PyArray_DATA(y_offsets)
    job.x_mass = <const int64_t*> cnp.PyArray_DATA(x_mass)
    job.y_mass = <const int64_t*> cnp.PyArray_DATA(y_mass)
    job.n_pairs = n_pairs
    job.d = <int> cnp.PyArray_DIM(x, 1)
    job.cost = <Cost> (1 if squared else 0)
    job.tol = tol
    job.n_threads = n_threads
    job.upper = <double*> cnp.PyArray_DATA(upper)
    job.lower = <double*> cnp.PyArray_DATA(lower)
    job.converged = <unsigned char*> cnp.PyArray_DATA(converged)
    cdef Watch watch
    _begin(&watch)
    with nogil:
        status = _transport(job, plans)
    _raise(status)
    return upper, lower, converged, [_plan_arrays(plans[k]) for k in range(plans.size())]

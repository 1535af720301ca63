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

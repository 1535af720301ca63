# What is usual among the points of a forest (native/score/usual.hpp).


cdef extern from "score/usual.hpp" namespace "imondrian::usual" nogil:
    int kKnownSize
    void c_row_masses "imondrian::usual::row_masses"(const View&, double*)
    void c_compare "imondrian::usual::compare"[T](const T*, int64_t, const double*, int64_t, const double*, int64_t,
                                                  double*) except +
    cbool c_range "imondrian::usual::range"[T](const T*, int64_t, const double*, int64_t, int64_t, double, double*,
                                               double*) except +


def row_masses(ForestView forest):
    """Return the mass of each stored row in all trees, (n_rows,)."""
    mass = np.empty(forest.view.n_rows)
    cdef double* out = <double*>cnp.PyArray_DATA(<cnp.ndarray>mass)
    with nogil:
        c_row_masses(forest.view, out)
    return mass


cdef int64_t check_points(cnp.ndarray points, cnp.ndarray mass, int64_t d) except -1:
    if points.ndim != 2 or points.dtype not in (np.float32, np.float64) or not points.flags.c_contiguous:
        raise ValueError("points must be a contiguous array of floats of shape (n, width)")
    if points.shape[1] < d:
        raise ValueError(f"points must have at least {d} features, got {points.shape[1]}")
    weights_of(mass, points.shape[0])
    return points.shape[0]


def compare(cnp.ndarray points, cnp.ndarray mass, cnp.ndarray row):
    """Return what is known of each feature among points (n, width) of these masses, (d, 5).

    The mass of those that have a value, that have a lower one than the row (d,), and none higher; the least, the largest.
    """
    cdef int64_t d = row.shape[0], n = check_points(points, mass, d), width = points.shape[1]
    cdef const double* x = weights_of(row, d)
    cdef const double* w = weights_of(mass, n)
    cdef const void* at = cnp.PyArray_DATA(points)
    cdef cbool is64 = points.dtype == np.float64
    known = np.empty((d, kKnownSize))
    cdef double* out = <double*>cnp.PyArray_DATA(<cnp.ndarray>known)
    with nogil:
        if is64:
            c_compare[double](<const double*>at, width, w, n, x, d, out)
        else:
            c_compare[float](<const float*>at, width, w, n, x, d, out)
    return known


def usual_range(cnp.ndarray points, cnp.ndarray mass, int64_t feature, double tail):
    """Return the values of a feature that have a share ``tail`` of the mass below, and above; None where none is known."""
    cdef int64_t n = check_points(points, mass, feature + 1), width = points.shape[1]
    cdef const double* w = weights_of(mass, n)
    cdef const void* at = cnp.PyArray_DATA(points)
    cdef double low = 0.0, high = 0.0
    cdef cbool is64 = points.dtype == np.float64, known
    if feature < 0:
        raise ValueError(f"feature must not be negative, got {feature}")
    with nogil:
        if is64:
            known = c_range[double](<const double*>at, width, w, n, feature, tail, &low, &high)
        else:
            known = c_range[float](<const float*>at, width, w, n, feature, tail, &low, &high)
    return (low, high) if known else None

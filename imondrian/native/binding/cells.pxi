# Cells of a forest, and walks over a few of its cuts: what verdicts are spread by.

cdef extern from "score/cells.hpp" namespace "imondrian::cells" nogil:
    cdef struct Cuts:
        const int32_t* root
        const int32_t* feature
        const double* threshold
        const int32_t* child
        const uint8_t* heavier
        const double* value
        const uint8_t* nominal
        int64_t n_trees

    void c_find_cells "imondrian::cells::find_cells"(const View&, cbool, const void*, int64_t, double, int32_t*)
    Status c_sum_values "imondrian::cells::sum_values"(const Cuts&, cbool, const void*, int64_t, int64_t, double*, int)


def find_cells(ForestView forest, cnp.ndarray X, double most):
    """Return the first node on each row's way down each tree that holds at most ``most``, or ~leaf: (n, trees)."""
    cdef const void* x = rows_of(forest, X)
    cdef int64_t n = X.shape[0]
    if (forest.columns["header"][:, 1] < 1).any():
        raise ValueError("a tree without points has no cells")
    cells = np.empty((n, forest.view.n_trees), np.int32)
    cdef int32_t* out = <int32_t*>cnp.PyArray_DATA(<cnp.ndarray>cells)
    with nogil:
        c_find_cells(forest.view, forest.is64, x, n, most, out)
    return cells


def sum_values(dict cuts, cnp.ndarray X, int n_threads):
    """Return what the leaves that rows end in are worth, summed over the trees of ``cuts``, (n,): see cells.hpp.

    The columns are trusted to describe trees over the features of X.
    """
    if X.ndim != 2 or not X.flags.c_contiguous or X.dtype not in (np.float64, np.float32):
        raise ValueError("X must be a contiguous array of floats of shape (n, d)")
    k, n_trees = len(cuts["feature"]), len(cuts["root"])
    cdef Cuts view
    view.root = <const int32_t*>pointer(cuts, "root", np.int32, (n_trees,))
    view.feature = <const int32_t*>pointer(cuts, "feature", np.int32, (k,))
    view.threshold = <const double*>pointer(cuts, "threshold", np.float64, (k,))
    view.child = <const int32_t*>pointer(cuts, "child", np.int32, (k, 2))
    view.heavier = <const uint8_t*>pointer(cuts, "heavier", np.uint8, (k,))
    view.nominal = NULL
    if "nominal" in cuts:
        view.nominal = <const uint8_t*>pointer(cuts, "nominal", np.uint8, (k,))
    view.value = <const double*>pointer(cuts, "value", np.float64, (len(cuts["value"]),))
    view.n_trees = n_trees
    cdef cbool is64 = X.dtype == np.float64
    cdef const void* x = cnp.PyArray_DATA(X)
    cdef int64_t n = X.shape[0], d = X.shape[1]
    found = np.empty(n)
    cdef double* out = <double*>cnp.PyArray_DATA(<cnp.ndarray>found)
    cdef Status status
    cdef Watch watch
    watch.open(asker())
    with nogil:
        status = c_sum_values(view, is64, x, n, d, out, n_threads)
    raise_status(status)
    return found

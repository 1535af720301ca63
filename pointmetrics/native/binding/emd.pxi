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

# distutils: language = c++
"""Thin binding of the native core: fill a view, release the GIL, call, turn the status into an error."""

import os
import threading

import numpy as np

cimport numpy as cnp
from libc.math cimport NAN, isinf
from libc.stdint cimport int32_t, int64_t, uint64_t
from libcpp cimport bool as cbool
from libcpp.memory cimport make_shared, shared_ptr

cnp.import_array()

ctypedef cbool (*Ask)() noexcept nogil


cdef extern from "nativekit/interrupt.hpp" namespace "nativekit" nogil:
    cdef cppclass Watch:
        Watch()
        void open(Ask)


cdef extern from "core.hpp" namespace "imondrian" nogil:
    cdef enum class Status(int):
        kOk
        kNoMemory
        kNoRoom
        kInterrupted

    cdef enum class Score(int):
        kDepth
        kInsertion
        kSpacing

    cdef struct Fault:
        int invariant
        int64_t tree
        int64_t slot

    cdef cppclass View "imondrian::ForestView":
        int64_t n_trees, capacity, n_features, width, n_rows
        int32_t* feature
        void* threshold
        int32_t* child
        int32_t* parent
        double* time
        double* mass
        void* lower
        void* upper
        int32_t* leaf_parent
        double* leaf_mass
        int32_t* leaf_point
        int32_t* header
        uint64_t* rng
        void* rate
        int scaled
        int32_t* bag
        double* clean
        double* leaf_clean
        double* recent
        void* points
        double* mean_depth
        double* mean_spacing
        int memory
        double decay
        int64_t window
        int32_t* member_leaf
        double* member_key
        int64_t* stream
        int32_t* refs
        int32_t* free_rows
        int64_t* n_free_rows
        int64_t* drawn

    double hidden_depth_of(double mass)
    cbool c_no_infinity "imondrian::no_infinity"(cbool, const void*, int64_t, int)
    cbool c_any_missing "imondrian::any_missing"(cbool, const void*, int64_t)
    Status c_fit "imondrian::fit"(const View&, cbool, const void*, int64_t, const double*, int64_t, cbool, cbool,
                                  int)
    Status c_draw_rows "imondrian::draw_rows"(const View&, int64_t, const double*, int64_t, int)
    void c_spacing_excess "imondrian::spacing_excess"(const View&, const double*, int64_t, double*)
    Status c_draw_bags "imondrian::draw_bags"(const View&, cbool, int64_t, const int32_t*)
    Status c_fill_boxes "imondrian::fill_boxes"(const View&, cbool, int)
    Status c_learn "imondrian::learn"(const View&, cbool, const void*, int64_t, const double*, Score, double*,
                                      double*, int64_t*, int)
    Status c_forget "imondrian::forget"(const View&, cbool, const void*, int64_t, cbool, int64_t*, int)
    Status c_score "imondrian::score"(const View&, cbool, const void*, int64_t, Score, double*, double*, int)
    Status c_drawn_ways "imondrian::drawn_ways"(const View&, cbool, Score, int32_t*, double*)
    Status c_explain "imondrian::explain"(const View&, cbool, const void*, int64_t, Score, double*, double*, double*,
                                          int)
    Status c_audit "imondrian::audit"(const View&, cbool, Fault*, int)


cdef extern from "base/rwlock.hpp" namespace "imondrian" nogil:
    cdef enum class Entry(int):
        kIn
        kBusy
        kSelf
        kTorn
        kInterrupted

    cdef cppclass CGate "imondrian::Gate":
        uint64_t forks
        Entry try_read()
        Entry try_write()
        Entry read(Ask)
        Entry write(Ask)
        void end_read()
        void end_write()
        void forget_others()


cdef extern from "Python.h":
    int PyErr_CheckSignals()  # declared without `except`: the error stays set until the native call has ended
    unsigned long PyThread_get_thread_ident() nogil


include "nativekit/isa.pxi"

HEADER_SIZE = 6
PACK_BYTES = 32
STREAM_SIZE = 5
BAG_SIZE = 5
RECENT_SIZE = 1026
TREES_ABREAST = 8

_INVARIANTS = {
    1: "nodes and leaves do not form one tree",
    2: "a link between parent and child is broken",
    3: "masses do not add up",
    4: "a box is not the union of its children's",
    5: "split times do not increase downward",
    6: "a cut does not separate its children",
    7: "used and free slots do not add up",
    8: "a leaf or member points at nothing",
    9: "a number is not finite",
    10: "a rate is not finite, or a side has none",
    11: "a bag holds what is no feature, or one twice",
    12: "clean masses do not add up",
    13: "recent scores are damaged",
}


# -- signals and forks -----------------------------------------------------------------------------

cdef unsigned long main_thread = threading.main_thread().ident
cdef uint64_t forks = 0  # behind this process


def _note_fork():
    global main_thread, forks
    main_thread = PyThread_get_thread_ident()  # the thread that forked is the child's only one
    forks += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)


cdef cbool ask_python() noexcept with gil:
    return PyErr_CheckSignals() != 0


cdef Ask asker() noexcept:
    """What asks whether a signal has come, or NULL: only the main thread hears of signals."""
    return &ask_python if PyThread_get_thread_ident() == main_thread else NULL


def hears_signals():
    """Return whether a native call made here can be interrupted."""
    return asker() != NULL


cdef int hear_signals() except -1:
    """Raise what a signal's handler raises: what came during the last moments of a call can still be undone."""
    return -1 if PyErr_CheckSignals() != 0 else 0


cdef int raise_status(Status status) except -1:
    if status == Status.kInterrupted:
        return -1  # with the error of the signal's handler
    if status == Status.kNoMemory:
        raise MemoryError("not enough memory for the forest's scratch space")
    return 0


cdef void* pointer(dict columns, str name, object dtype, tuple shape, bint optional=False) except? NULL:
    """Address of a column, which must be exactly what its name promises: the core trusts it."""
    column = columns.get(name)
    if column is None and optional:
        return NULL
    if not isinstance(column, np.ndarray):
        raise ValueError(f"column {name!r} must be an array, got {type(column).__name__}")
    if column.dtype != dtype or column.shape != shape or not column.flags.c_contiguous:
        raise ValueError(f"column {name!r} must be a contiguous {np.dtype(dtype)} array of shape {shape}, "
                         f"got {column.dtype} {column.shape}")
    return cnp.PyArray_DATA(<cnp.ndarray>column)


cdef class ForestView:
    """The native view of a forest's columns. Keeps them alive; never owns or copies them.

    Owns what follows from them that rows with missing values need, from the first such row on, if ``keeps_means``.
    """

    cdef View view
    cdef cbool is64
    cdef readonly dict columns
    cdef readonly object dtype
    cdef object means
    cdef public cbool keeps_means

    def __cinit__(self, dict columns, int n_features, int memory, double decay, bint scaled):
        self.columns = columns
        points, feature = columns["points"], columns["feature"]
        if not isinstance(points, np.ndarray) or points.ndim != 2 or points.dtype not in (np.float32, np.float64):
            raise ValueError("column 'points' must be a float32 or float64 array of shape (rows, width)")
        if not isinstance(feature, np.ndarray) or feature.ndim != 2:
            raise ValueError("column 'feature' must be an array of shape (trees, capacity)")
        t, k = feature.shape
        rows, width = points.shape
        lanes = PACK_BYTES // points.dtype.itemsize
        if n_features < 1 or width < n_features or width % lanes or t < 1 or k < 1:
            raise ValueError(f"a forest of {t} trees, {k} slots and {n_features} features cannot have rows of {width}")
        kind = self.dtype = points.dtype
        self.is64 = kind == np.float64
        self.view.n_trees, self.view.capacity, self.view.n_features = t, k, n_features
        self.view.width, self.view.n_rows = width, rows
        self.view.feature = <int32_t*>pointer(columns, "feature", np.int32, (t, k))
        self.view.threshold = pointer(columns, "threshold", kind, (t, k))
        self.view.child = <int32_t*>pointer(columns, "child", np.int32, (t, k, 2))
        self.view.parent = <int32_t*>pointer(columns, "parent", np.int32, (t, k))
        self.view.time = <double*>pointer(columns, "time", np.float64, (t, k))
        self.view.mass = <double*>pointer(columns, "mass", np.float64, (t, k))
        self.view.lower = pointer(columns, "lower", kind, (t, k, width), True)
        self.view.upper = pointer(columns, "upper", kind, (t, k, width), True)
        self.view.leaf_parent = <int32_t*>pointer(columns, "leaf_parent", np.int32, (t, k))
        self.view.leaf_mass = <double*>pointer(columns, "leaf_mass", np.float64, (t, k))
        self.view.leaf_point = <int32_t*>pointer(columns, "leaf_point", np.int32, (t, k))
        self.view.header = <int32_t*>pointer(columns, "header", np.int32, (t, HEADER_SIZE))
        self.view.rng = <uint64_t*>pointer(columns, "rng", np.uint64, (t, 4))
        self.view.rate = pointer(columns, "rate", kind, (t, width))
        self.view.scaled = scaled
        self.view.points = pointer(columns, "points", kind, (rows, width))
        plain = "clean" not in columns
        groups = -(-t // TREES_ABREAST)
        self.view.bag = <int32_t*>pointer(columns, "bag", np.int32, (t, BAG_SIZE), plain)
        self.view.clean = <double*>pointer(columns, "clean", np.float64, (t, k), plain)
        self.view.leaf_clean = <double*>pointer(columns, "leaf_clean", np.float64, (t, k), plain)
        self.view.recent = <double*>pointer(columns, "recent", np.float64, (groups + 1, RECENT_SIZE), plain)
        self._fill_stream(columns, t, rows, memory, decay)

    def _fill_stream(self, dict columns, int t, int rows, int memory, double decay):
        self.view.memory, self.view.decay = memory, decay
        member = columns.get("member_leaf")
        if (memory != 0) != (member is not None):
            raise ValueError("a bounded forest, and no other, must have the column 'member_leaf'")
        window = 0
        if member is not None:
            if not isinstance(member, np.ndarray) or member.ndim != 2 or not 1 <= member.shape[1] < self.view.capacity:
                raise ValueError("column 'member_leaf' must have shape (trees, window)")
            window = member.shape[1]
        self.view.window = window
        self.view.member_leaf = <int32_t*>pointer(columns, "member_leaf", np.int32, (t, window), memory == 0)
        self.view.member_key = <double*>pointer(columns, "member_key", np.float64, (t, window), memory != 2)
        self.view.stream = <int64_t*>pointer(columns, "stream", np.int64, (t, STREAM_SIZE))
        self.view.refs = <int32_t*>pointer(columns, "refs", np.int32, (rows,), True)
        self.view.free_rows = <int32_t*>pointer(columns, "free_rows", np.int32, (rows,), True)
        self.view.n_free_rows = <int64_t*>pointer(columns, "n_free_rows", np.int64, (1,), True)

    @property
    def means_bytes(self):
        """Bytes of the means, or those that they would take."""
        return self.view.n_trees * self.view.capacity * (8 if self.view.clean == NULL else 16)

    @property
    def means_held(self):
        """Bytes of the means that are there."""
        return 0 if self.means is None else self.means.nbytes

    cdef int see(self, cnp.ndarray X) except -1:
        """Make room for means if rows with missing values ask for them."""
        if self.means is not None or not self.keeps_means:
            return 0
        if not c_any_missing(self.is64, cnp.PyArray_DATA(X), X.size):
            return 0
        kinds = 1 if self.view.clean == NULL else 2
        means = np.full((kinds, self.view.n_trees, self.view.capacity), np.nan)
        self.view.mean_depth = <double*>cnp.PyArray_DATA(<cnp.ndarray>means)
        if kinds == 2:
            self.view.mean_spacing = self.view.mean_depth + self.view.n_trees * self.view.capacity
        self.means = means
        return 0


cdef const void* rows_of(ForestView forest, cnp.ndarray X) except? NULL:
    if X.ndim != 2 or X.dtype != forest.dtype or not X.flags.c_contiguous or X.shape[1] != forest.view.n_features:
        raise ValueError(f"X must be a contiguous {forest.dtype} array of shape (n, {forest.view.n_features})")
    return cnp.PyArray_DATA(X)


cdef const double* weights_of(object weight, int64_t n) except? NULL:
    if weight is None:
        return NULL
    if weight.dtype != np.float64 or weight.shape != (n,) or not weight.flags.c_contiguous:
        raise ValueError(f"sample_weight must be a contiguous float64 array of shape ({n},)")
    return <const double*>cnp.PyArray_DATA(<cnp.ndarray>weight)


def hidden_depth(double mass):
    """Return c(mass), the expected depth a leaf of that mass hides."""
    return hidden_depth_of(mass)


def no_infinity(cnp.ndarray X, int n_threads):
    """Return whether a contiguous float32 or float64 array has no infinite value; missing ones (NaN) are fine."""
    if X.dtype not in (np.float32, np.float64) or not X.flags.c_contiguous:
        raise ValueError("X must be a contiguous float32 or float64 array")
    cdef cbool is64 = X.dtype == np.float64
    cdef const void* x = cnp.PyArray_DATA(X)
    cdef int64_t n = X.size
    cdef cbool none
    with nogil:
        none = c_no_infinity(is64, x, n, n_threads)
    return none


def row_of(dict x, dict places):
    """Return the values of x as a float64 row (1, len(places)), NaN where it has none or None.

    None where there is more to say or to ask (``_numbers.py``): a key without a place, a value that is no finite number
    of the usual types.
    """
    cdef cnp.npy_intp shape[2]
    shape[0], shape[1] = 1, len(places)
    row = cnp.PyArray_EMPTY(2, shape, cnp.NPY_FLOAT64, 0)
    cdef double* values = <double*>cnp.PyArray_DATA(<cnp.ndarray>row)
    cdef int64_t place
    cdef double number
    for place in range(shape[1]):
        values[place] = NAN
    for key, value in x.items():
        place = places.get(key, -1)
        if not 0 <= place < shape[1]:
            return None
        if value is None:
            continue
        if type(value) is float or isinstance(value, (float, np.floating)):
            number = value
        elif isinstance(value, int):
            try:
                number = value
            except OverflowError:
                return None
        elif isinstance(value, np.integer) and not isinstance(value, np.timedelta64):
            number = value
        else:
            return None
        if isinf(number):
            return None
        values[place] = number
    return row


cdef int64_t* drawn_of(ForestView forest, object drawn, int64_t n_sample) except NULL:
    if drawn.dtype != np.int64 or drawn.shape != (forest.view.n_trees, n_sample) or not drawn.flags.c_contiguous:
        raise ValueError("drawn must be a contiguous int64 array (trees, n_sample)")
    return <int64_t*>cnp.PyArray_DATA(<cnp.ndarray>drawn)


def fit(ForestView forest, cnp.ndarray X, weight, int64_t n_sample, bint own_rows, int n_threads, drawn=None,
        bint already_drawn=False):
    """Build every tree from (a subsample of) the rows of X; write down in ``drawn`` which rows those are.

    With ``already_drawn`` they are read from ``drawn``, and X is what ``draw_rows`` drew, in the order of the numbers.
    """
    cdef const void* x = rows_of(forest, X)
    cdef int64_t n = X.shape[0]
    cdef const double* w = weights_of(weight, n)
    if forest.view.n_rows < (forest.view.n_trees * n_sample if own_rows else n) or forest.view.capacity < min(n, n_sample):
        raise ValueError("the forest's columns are too small for this sample")
    if already_drawn and (drawn is None or not own_rows or n < n_sample or drawn.min() < 0 or drawn.max() >= n):
        raise ValueError("rows already drawn must be rows of X, and the trees' own")
    cdef View view = forest.view
    view.drawn = NULL
    if drawn is not None:
        if n_sample >= n and not already_drawn:
            raise ValueError("rows are only drawn when n_sample is below n")
        view.drawn = drawn_of(forest, drawn, n_sample)
    cdef Status status
    cdef Watch watch
    watch.open(asker())
    with nogil:
        status = c_fit(view, forest.is64, x, n, w, n_sample, own_rows, already_drawn, n_threads)
    raise_status(status)


def draw_rows(ForestView forest, int64_t n, weight, drawn, int n_threads):
    """Draw which rows of n each tree gets, as ``fit`` would, into ``drawn`` (trees, n_sample)."""
    cdef int64_t n_sample = drawn.shape[1]
    cdef const double* w = weights_of(weight, n)
    if not 0 < n_sample < n:
        raise ValueError("rows are only drawn when n_sample is below n")
    cdef View view = forest.view
    view.drawn = drawn_of(forest, drawn, n_sample)
    cdef Status status
    cdef Watch watch
    watch.open(asker())
    with nogil:
        status = c_draw_rows(view, n, w, n_sample, n_threads)
    raise_status(status)


def draw_bags(ForestView forest, int64_t known, order=None):
    """Draw which features every other tree sees; again when features beyond the first ``known`` have come.

    ``order`` (n_features,), int32: the features in that order, if it is not that of their places.
    """
    if forest.view.bag == NULL:
        raise ValueError("the forest has no bags")
    cdef int64_t n = forest.view.n_features
    if order is None:
        order = np.arange(n, dtype=np.int32)
    if order.dtype != np.int32 or not order.flags.c_contiguous or not np.array_equal(np.sort(order), np.arange(n)):
        raise ValueError(f"order must name {n} features")
    raise_status(c_draw_bags(forest.view, forest.is64, known, <const int32_t*>cnp.PyArray_DATA(<cnp.ndarray>order)))


def fill_boxes(ForestView forest, int n_threads):
    """Compute the boxes of a forest that kept none."""
    cdef Status status
    cdef Watch watch
    watch.open(asker())
    with nogil:
        status = c_fill_boxes(forest.view, forest.is64, n_threads)
    raise_status(status)


def learn(ForestView forest, cnp.ndarray X, weight, int score, depth, norm, int n_threads, bint interruptible=False):
    """Learn rows in order; with the arrays depth and norm, score each one before it is learnt.

    Return how many were learnt: fewer than n once the store is full, the rest can follow when it has grown.
    What an ``interruptible`` call leaves when a signal ends it is no forest: the caller has kept the old columns.
    """
    cdef const void* x = rows_of(forest, X)
    cdef int64_t n = X.shape[0]
    cdef const double* w = weights_of(weight, n)
    cdef double* depth_out = <double*>weights_of(depth, n)
    cdef double* norm_out = <double*>weights_of(norm, n)
    if (depth_out == NULL) != (norm_out == NULL) or forest.view.lower == NULL or forest.view.refs == NULL:
        raise ValueError("the forest is not ready to learn")
    if depth is not None or forest.view.clean != NULL:
        forest.see(X)
    cdef Status status
    cdef int64_t learnt = 0
    cdef Watch watch
    watch.open(asker() if interruptible else NULL)
    with nogil:
        status = c_learn(forest.view, forest.is64, x, n, w, <Score>score, depth_out, norm_out, &learnt, n_threads)
    if status != Status.kNoRoom:
        raise_status(status)
    if interruptible:
        hear_signals()
    return learnt


def forget(ForestView forest, cnp.ndarray X, bint remove, int n_threads, bint interruptible=False):
    """Return how many trees hold each row, repeats counted; with ``remove``, take each out of them once.

    ``interruptible`` as for ``learn``.
    """
    cdef const void* x = rows_of(forest, X)
    cdef int64_t n = X.shape[0]
    holders = np.zeros(n, dtype=np.int64)
    cdef int64_t* out = <int64_t*>cnp.PyArray_DATA(<cnp.ndarray>holders)
    if remove and (forest.view.lower == NULL or forest.view.refs == NULL):
        raise ValueError("the forest is not ready to forget")
    cdef Status status
    cdef Watch watch
    watch.open(asker() if interruptible or not remove else NULL)
    with nogil:
        status = c_forget(forest.view, forest.is64, x, n, remove, out, n_threads)
    raise_status(status)
    if interruptible:
        hear_signals()
    return holders


def score(ForestView forest, cnp.ndarray X, int score, int n_threads):
    """Return the mean depth of each row (n,) and the trees' mean c(mass)."""
    cdef const void* x = rows_of(forest, X)
    cdef int64_t n = X.shape[0]
    depth = np.empty(n, dtype=np.float64)
    cdef double* out = <double*>cnp.PyArray_DATA(<cnp.ndarray>depth)
    cdef double norm = 0.0
    if score == <int>Score.kInsertion and forest.view.lower == NULL:
        raise ValueError("the insertion score needs boxes")
    if score == <int>Score.kSpacing and forest.view.clean == NULL:
        raise ValueError("the spacing score needs clean masses")
    forest.see(X)
    cdef Status status
    cdef Watch watch
    watch.open(asker())
    with nogil:
        status = c_score(forest.view, forest.is64, x, n, <Score>score, out, &norm, n_threads)
    raise_status(status)
    return depth, norm


def drawn_ways(ForestView forest, int score):
    """Return the child that rows without a value take from each node (trees, k), and what that gains on average."""
    shape = (forest.view.n_trees, forest.view.capacity)
    child, gain = np.zeros(shape, np.int32), np.zeros(shape)
    cdef int32_t* children = <int32_t*>cnp.PyArray_DATA(<cnp.ndarray>child)
    cdef double* gains = <double*>cnp.PyArray_DATA(<cnp.ndarray>gain)
    if score == <int>Score.kSpacing and forest.view.clean == NULL:
        raise ValueError("the spacing score needs clean masses")
    cdef Status status
    cdef Watch watch
    watch.open(asker())
    with nogil:
        status = c_drawn_ways(forest.view, forest.is64, <Score>score, children, gains)
    raise_status(status)
    return child, gain


def explain(ForestView forest, cnp.ndarray X, int score, int n_threads):
    """Return each feature's contribution from below and above (n, d, 2), each row's value (n,), and the expected one."""
    cdef const void* x = rows_of(forest, X)
    cdef int64_t n = X.shape[0]
    contributions = np.empty((n, forest.view.n_features, 2))
    value = np.empty(n)
    cdef double* out = <double*>cnp.PyArray_DATA(<cnp.ndarray>contributions)
    cdef double* value_out = <double*>cnp.PyArray_DATA(<cnp.ndarray>value)
    cdef double expected = 0.0
    if score == <int>Score.kInsertion and forest.view.lower == NULL:
        raise ValueError("the insertion score needs boxes")
    if score == <int>Score.kSpacing and forest.view.clean == NULL:
        raise ValueError("the spacing score needs clean masses")
    cdef Status status
    cdef Watch watch
    watch.open(asker())
    with nogil:
        status = c_explain(forest.view, forest.is64, x, n, <Score>score, out, value_out, &expected, n_threads)
    raise_status(status)
    return contributions, value, expected


def spacing_excess(ForestView forest, cnp.ndarray value):
    """Return how far mean log spacings (n,) are above the usual: -1 at the median, 0 where the unusual begins."""
    cdef const double* spacing = weights_of(value, value.shape[0])
    if forest.view.clean == NULL:
        raise ValueError("the spacing score needs clean masses")
    out = np.empty(value.shape[0])
    cdef double* excess = <double*>cnp.PyArray_DATA(<cnp.ndarray>out)
    c_spacing_excess(forest.view, spacing, value.shape[0], excess)
    return out


def audit(ForestView forest, int n_threads):
    """Raise ValueError naming tree, slot and invariant unless every column is consistent."""
    cdef Fault fault
    fault.invariant = 0
    cdef Status status
    cdef Watch watch
    watch.open(asker())
    with nogil:
        status = c_audit(forest.view, forest.is64, &fault, n_threads)
    raise_status(status)
    if fault.invariant:
        place = f"node {fault.slot}" if fault.slot >= 0 else f"leaf {-fault.slot - 1}"
        raise ValueError(f"damaged forest: tree {fault.tree}, {place}: {_INVARIANTS[fault.invariant]} "
                         f"(invariant I{fault.invariant})")


cdef int enter(CGate* gate, bint write) except -1:
    # Under Python's lock, so that one thread does it.
    if gate.forks != forks:
        gate.forget_others()
        gate.forks = forks
    cdef Entry entry = gate.try_write() if write else gate.try_read()
    cdef Ask ask
    if entry == Entry.kBusy:
        ask = asker()
        with nogil:
            entry = gate.write(ask) if write else gate.read(ask)
    if entry == Entry.kIn:
        return 0
    if entry == Entry.kInterrupted:
        return -1  # with the error of the signal's handler
    if entry == Entry.kTorn:
        raise RuntimeError("this process was forked while another thread was changing the model: what is here is half "
                           "changed. Fork while no thread learns, or load the model in the child")
    raise RuntimeError("the model is in use by a call of this very thread, which a signal's handler (or a callback) has "
                       "interrupted: what it asks for would wait for itself")


cdef int leave(CGate* gate, bint write) except -1:
    if gate.forks != forks:
        gate.forget_others()
        gate.forks = forks
    if write:
        gate.end_write()
    else:
        gate.end_read()
    return 0


cdef class Reading:
    """Context in which a gate's model is read: with other readers, but no update."""

    cdef shared_ptr[CGate] gate

    def __enter__(self):
        enter(self.gate.get(), False)

    def __exit__(self, *error):
        leave(self.gate.get(), False)


cdef class Updating:
    """Context in which a gate's model is changed: alone."""

    cdef shared_ptr[CGate] gate

    def __enter__(self):
        enter(self.gate.get(), True)

    def __exit__(self, *error):
        leave(self.gate.get(), True)


cdef class Gate:
    """Lets any number of threads read a model, or one change it; the others wait. Not reentrant.

    A copied or unpickled gate is a new one, with nobody inside.
    """

    cdef readonly Reading reading
    cdef readonly Updating updating

    def __cinit__(self):
        cdef shared_ptr[CGate] gate = make_shared[CGate]()
        gate.get().forks = forks
        self.reading, self.updating = Reading(), Updating()
        self.reading.gate = self.updating.gate = gate

    def __reduce__(self):
        return Gate, ()

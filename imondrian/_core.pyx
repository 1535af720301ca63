# distutils: language = c++
"""Thin binding of the native core: fill a view, release the GIL, call, turn the status into an error."""

import os
import threading

import numpy as np

cimport numpy as cnp
from libc.math cimport NAN, isinf
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
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
        void* lower
        int32_t* bag
        double* clean
        double* nominal
        int32_t* refs
        double* clock
        int scaled, edition
        double* mean_depth
        double* mean_spacing
        int memory
        double decay
        int64_t window
        int64_t* drawn
        const void* nominal_mask
        const int32_t* nominal_features
        int64_t n_nominal
        int64_t* levels

    double hidden_depth_of(double mass)
    cbool c_is_wide "imondrian::is_wide"(const View&)
    int bag_size_of(const View&)
    int64_t c_level_words "imondrian::level_words"(int64_t)
    void c_count_levels "imondrian::count_levels"(const View&, cbool, int)
    cbool c_no_infinity "imondrian::no_infinity"(cbool, const void*, int64_t, int)
    cbool c_any_missing "imondrian::any_missing"(cbool, const void*, int64_t)
    Status c_fit "imondrian::fit"(const View&, cbool, const void*, int64_t, const double*, int64_t, cbool, cbool,
                                  int)
    Status c_draw_rows "imondrian::draw_rows"(const View&, int64_t, const double*, int64_t, int)
    void c_spacing_excess "imondrian::spacing_excess"(const View&, const double*, int64_t, double*)
    Status c_draw_bags "imondrian::draw_bags"(const View&, cbool, int64_t, const int32_t*)
    Status c_fill_boxes "imondrian::fill_boxes"(const View&, cbool, int)
    Status c_learn "imondrian::learn"(const View&, cbool, const void*, int64_t, const double*, const double*, Score,
                                      double*, double*, int64_t*, int)
    Status c_forget "imondrian::forget"(const View&, cbool, const void*, int64_t, cbool, int64_t*, int)
    Status c_score "imondrian::score"(const View&, cbool, const void*, int64_t, Score, double*, double*, int)
    Status c_drawn_ways "imondrian::drawn_ways"(const View&, cbool, Score, int32_t*, double*)
    Status c_explain "imondrian::explain"(const View&, cbool, const void*, int64_t, Score, double*, double*, double*,
                                          int)
    Status c_audit "imondrian::audit"(const View&, cbool, Fault*, int)


include "nativekit/isa.pxi"
include "native/binding/signals.pxi"

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
    14: "a nominal feature is damaged",
    15: "the clock of a window by age, or the ages in it, are damaged",
}


cdef int raise_status(Status status) except -1:
    if status == Status.kInterrupted:
        return -1  # with the error of the signal's handler
    if status == Status.kNoMemory:
        raise MemoryError("not enough memory for the forest's scratch space")
    return 0


include "native/binding/columns.pxi"


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


def row_of(dict x, dict places, const uint8_t[::1] nominal=None, word=None):
    """Return the values of x as a float64 row (1, len(places)), NaN where it has none or None.

    ``nominal`` is 1 for features that are categories, of which ``word`` makes numbers, and 2 for numbers among which
    there were truth values. None where there is more to say or to ask (``_forest/numbers.py``): a key without a place,
    a value that is no finite number, or category, of the usual types.
    """
    cdef cnp.npy_intp shape[2]
    shape[0], shape[1] = 1, len(places)
    row = cnp.PyArray_EMPTY(2, shape, cnp.NPY_FLOAT64, 0)
    cdef double* values = <double*>cnp.PyArray_DATA(<cnp.ndarray>row)
    cdef int64_t place
    cdef double number
    cdef bint mixed = nominal is not None
    if mixed and nominal.shape[0] != shape[1]:
        raise ValueError("nominal must be as long as places")
    for place in range(shape[1]):
        values[place] = NAN
    for key, value in x.items():
        place = places.get(key, -1)
        if not 0 <= place < shape[1]:
            return None
        if value is None:
            continue
        if mixed and nominal[place] == 1:
            if type(value) is not str and type(value) is not bool:
                return None
            number = word(value)
        elif type(value) is float or isinstance(value, (float, np.floating)):
            number = value
        elif isinstance(value, int):
            if type(value) is bool and not (mixed and nominal[place] == 2):
                return None
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


def learn(ForestView forest, cnp.ndarray X, weight, int score, depth, norm, int n_threads, bint interruptible=False,
          stamp=None):
    """Learn rows in order; with the arrays depth and norm, score each one before it is learnt.

    A window by age needs ``stamp``: when each row came, in seconds.

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
    cdef const double* stamps = weights_of(stamp, n)
    if (stamps == NULL) != (forest.view.clock == NULL):
        raise ValueError("windows by age, and no others, need the times of rows")
    if depth is not None or forest.view.clean != NULL:
        forest.see(X)
    forest.keep_levels(n_threads)
    cdef Status status
    cdef int64_t learnt = 0
    cdef Watch watch
    watch.open(asker() if interruptible else NULL)
    with nogil:
        status = c_learn(forest.view, forest.is64, x, n, w, stamps, <Score>score, depth_out, norm_out, &learnt, n_threads)
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
    if score == <int>Score.kSpacing:
        forest.keep_levels(n_threads)
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
    if n > 0:
        forest.keep_means()
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


include "native/binding/cells.pxi"
include "native/binding/usual.pxi"
include "native/binding/rwlock.pxi"

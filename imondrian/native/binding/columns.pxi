# The columns of a forest: their table (native/columns.hpp) for Python, and the core's view of them.

from collections import namedtuple
from functools import lru_cache


cdef extern from "base/column_table.hpp" namespace "imondrian" nogil:
    cdef struct ColumnText:
        const char* name
        const char* type
        const char* of
        const char* when
        const char* kept
        const char* holds
        const char* where
        int each, empty, since

    const ColumnText* kColumns
    int kColumnCount, kPackBytes, kUselessBits, kWidth, kBag, kTreesAbreast, kRecentSize, kEdition
    int kRoot, kLeaves, kNodeMark, kLeafMark, kHeaderSize, kHeld, kBlank, kHorizon
    void set_column(View&, int, void*)


PACK_BYTES, TREES_ABREAST, RECENT_SIZE, EDITION = kPackBytes, kTreesAbreast, kRecentSize, kEdition
USELESS_BITS = kUselessBits
ROOT, LEAVES, NODE_MARK, LEAF_MARK, HEADER_SIZE = kRoot, kLeaves, kNodeMark, kLeafMark, kHeaderSize
HELD, BLANK, HORIZON = kHeld, kBlank, kHorizon

_TYPES = {"i32": np.dtype(np.int32), "i64": np.dtype(np.int64), "u64": np.dtype(np.uint64), "f64": np.dtype(np.float64)}


class Column(namedtuple("Column", ("name", "type", "of", "each", "when", "kept", "holds", "empty", "where", "since"))):
    """A row of the table in ``native/columns.hpp``, which says what its words mean."""

    __slots__ = ()

    @property
    def padded(self):
        """Whether a place has a value for every feature, and padding."""
        return self.each == kWidth

    def dtype(self, real):
        """Return the type of its values in a forest of precision ``real``."""
        return real if self.type == "real" else _TYPES[self.type]

    def values(self, int64_t width, int64_t bag):
        """Return how many values a place has, in a forest with rows and bags of these sizes."""
        return width if self.each == kWidth else bag if self.each == kBag else self.each

    def shape(self, int64_t trees, int64_t slots, int64_t width, int64_t rows, int64_t window, int64_t bag):
        """Return its shape in a forest of that size."""
        each = self.values(width, bag)
        of = self.of
        if of == "node" or of == "leaf":
            places = (trees, slots)
        elif of == "tree":
            places = (trees,)
        elif of == "member":
            places = (trees, window)
        elif of == "row":
            places = (rows,)
        elif of == "group":
            places = (1 + (trees + kTreesAbreast - 1) // kTreesAbreast,)
        else:
            return (each,)
        return places if self.each == 1 else (*places, each)


cdef tuple _columns():
    cdef int i
    cdef const ColumnText* text
    found = []
    for i in range(kColumnCount):
        text = kColumns + i
        words = (text.name, text.type, text.of, text.when, text.kept, text.holds, text.where)
        name, type_, of, when, kept, holds, where = (word.decode("ascii") for word in words)
        found.append(Column(name, type_, of, text.each, when, kept, holds, text.empty, where, text.since))
    return tuple(found)


COLUMNS = _columns()


def is_wide(int64_t n_features, int edition=EDITION):
    """Return whether forests of so many features also count distances to the nearest clean points."""
    cdef View view
    view.n_features, view.edition = n_features, edition
    return c_is_wide(view)


def bag_size(int64_t n_features, int edition=EDITION):
    """Return the room of a tree's bag in forests of so many features."""
    cdef View view
    view.n_features, view.edition = n_features, edition
    return bag_size_of(view)


def level_words(int64_t capacity):
    """Return the words of 64 bits that a tree of so many leaves needs for the levels of a nominal feature."""
    return c_level_words(capacity)


def kinds_of(columns):
    """Return the kinds of columns (``When``) of which at least one is there."""
    return frozenset([column.when for column in COLUMNS if column.name in columns])


@lru_cache(256)
def columns_of(kinds, real, trees, slots, width, rows, window, bag):
    """Return number, name, type, shape and initial value of the columns of some kinds in a forest of that size."""
    return tuple([
        (i, column.name, column.dtype(real), column.shape(trees, slots, width, rows, window, bag), column.empty)
        for i, column in enumerate(COLUMNS)
        if column.when in kinds
    ])


cdef void* pointer(dict columns, str name, object dtype, tuple shape) except? NULL:
    """Address of a column, which must be exactly what its name promises: the core trusts it."""
    column = columns.get(name)
    if not isinstance(column, np.ndarray):
        raise ValueError(f"column {name!r} must be an array, got {type(column).__name__}")
    if column.dtype != dtype or column.shape != shape or not column.flags.c_contiguous:
        raise ValueError(f"column {name!r} must be a contiguous {np.dtype(dtype)} array of shape {shape}, "
                         f"got {column.dtype} {column.shape}")
    return cnp.PyArray_DATA(<cnp.ndarray>column)


cdef class ForestView:
    """The native view of a forest's columns. Keeps them alive; never owns or copies them.

    Owns what follows from them that rows with missing values and reasons need, from the first such row on, if
    ``keeps_means``.
    """

    cdef View view
    cdef cbool is64
    cdef readonly dict columns
    cdef readonly object dtype
    cdef object means
    cdef object nominal_mask, nominal_features, levels
    cdef public cbool keeps_means

    def __cinit__(self, dict columns, int n_features, int memory, double decay, bint scaled, int edition=EDITION):
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
        self.dtype = points.dtype
        self.is64 = self.dtype == np.float64
        self.view.n_trees, self.view.capacity, self.view.n_features = t, k, n_features
        self.view.width, self.view.n_rows = width, rows
        self.view.scaled, self.view.edition, self.view.memory, self.view.decay = scaled, edition, memory, decay
        self.view.window = self._window(columns, memory)
        self._point(columns)
        self._tell_kinds(columns)

    def _window(self, dict columns, int memory):
        member = columns.get("member_leaf")
        if (memory != 0) != (member is not None):
            raise ValueError("a bounded forest, and no other, must have the column 'member_leaf'")
        if (memory == 2) != ("member_key" in columns):
            raise ValueError("a reservoir, and no other forest, must have the column 'member_key'")
        if ("member_time" in columns) != ("clock" in columns and memory == 1) or ("clock" in columns and memory == 0):
            raise ValueError("a window by age, and no other forest, must have the columns of its time")
        if member is None:
            return 0
        if not isinstance(member, np.ndarray) or member.ndim != 2 or not 1 <= member.shape[1] < self.view.capacity:
            raise ValueError("column 'member_leaf' must have shape (trees, window)")
        return member.shape[1]

    def _point(self, dict columns):
        cdef View* view = &self.view
        told = columns_of(
            kinds_of(columns), self.dtype, view.n_trees, view.capacity, view.width, view.n_rows, view.window,
            bag_size_of(view[0])
        )
        for i, name, dtype, shape, _ in told:
            set_column(self.view, i, pointer(columns, name, dtype, shape))

    def _tell_kinds(self, dict columns):
        if self.view.nominal == NULL:
            return
        if self.view.edition < 1:
            raise ValueError("a forest of edition 0 cannot have nominal features")
        nominal = columns["nominal"] > 0
        bits = np.dtype(f"u{self.dtype.itemsize}")
        self.nominal_features = np.flatnonzero(nominal).astype(np.int32)
        self.nominal_mask = np.where(nominal, np.iinfo(bits).max, 0).astype(bits)
        self.view.n_nominal = len(self.nominal_features)
        self.view.nominal_features = <const int32_t*>cnp.PyArray_DATA(<cnp.ndarray>self.nominal_features)
        self.view.nominal_mask = cnp.PyArray_DATA(<cnp.ndarray>self.nominal_mask)

    @property
    def means_bytes(self):
        """Bytes of the means, or those that they would take."""
        return self.view.n_trees * self.view.capacity * (8 if self.view.clean == NULL else 16)

    @property
    def means_held(self):
        """Bytes of the means that are there."""
        return 0 if self.means is None else self.means.nbytes

    @property
    def levels_held(self):
        """Bytes of the tables of levels that are there."""
        return 0 if self.levels is None else self.levels.nbytes

    cdef int keep_levels(self, int n_threads) except -1:
        """Count the levels of nominal features, for spacings; the core keeps the tables up."""
        if self.levels is not None or self.view.n_nominal == 0 or self.view.clean == NULL:
            return 0
        words = self.view.n_trees * self.view.n_nominal * c_level_words(self.view.capacity)
        levels = np.zeros(words, np.int64)
        cdef View view = self.view
        view.levels = <int64_t*>cnp.PyArray_DATA(<cnp.ndarray>levels)
        c_count_levels(view, self.is64, n_threads)
        self.levels = levels
        self.view.levels = view.levels
        return 0

    cdef int see(self, cnp.ndarray X) except -1:
        """Make room for means if rows with missing values ask for them."""
        if self.means is not None or not self.keeps_means:
            return 0
        if not c_any_missing(self.is64, cnp.PyArray_DATA(X), X.size):
            return 0
        return self.keep_means()

    cdef int keep_means(self) except -1:
        """Make room for means, if they may be kept."""
        if self.means is not None or not self.keeps_means:
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

// A Mondrian tree over a set of rows, from the root down (Lakshminarayanan, Roy and Teh 2014,
// Algorithms 1-2, with infinite lifetime). Cuts depend on boxes alone, never on the rows' order or
// on repeats, and the generator is read in preorder: equal sets give equal trees. Rows without a value
// of the feature that is cut follow the side where most rows that have one went (by mass; ties: left).
#pragma once

#include <algorithm>
#include <limits>
#include <vector>

#include "nativekit/interrupt.hpp"
#include "tree/box.hpp"
#include "tree/slots.hpp"

namespace imondrian::NK_ISA {

template <class T>
struct BuildScratch {
  struct Task {
    std::int32_t begin, end, parent;
    std::int32_t side;
    double time;
    std::int32_t* rows;  // the buffer its rows are in; partitioning moves them to the other
  };
  std::vector<std::int32_t> other;
  std::vector<Task> stack;
  std::vector<T> lower, upper;
  std::vector<std::int32_t> leaf_of;  // where each row went, from first_row on; filled in unless empty
  std::int32_t first_row = 0;
  bool loose = false;  // whether boxes saw values that no leaf kept

  // Take all memory that a build over n rows needs.
  void prepare(std::size_t n, std::size_t width) {
    other.resize(n);
    stack.reserve(n);
    lower.resize(width);
    upper.resize(width);
  }
};

// The box of n rows over kPacks packs of features, of any kind where `mask` is not null.
template <int kPacks, class T>
NK_INLINE void mixed_bounding_packs(const T* points, const std::int32_t* rows, std::int64_t n, std::int64_t width,
                                    const T* mask, T* lower, T* upper) {
  using P = Pack<T>;
  constexpr T kMissing = std::numeric_limits<T>::quiet_NaN();
  P lo[kPacks], hi[kPacks], kind[kPacks];
  for (int k = 0; k < kPacks; ++k) {
    lo[k] = hi[k] = P::of(kMissing);
    kind[k] = P::load(mask + k * P::kLanes);
  }
  for (std::int64_t i = 0; i < n; ++i) {
    const T* row = points + rows[i] * width;
    for (int k = 0; k < kPacks; ++k) {
      const P x = P::load(row + k * P::kLanes);
      lo[k] = mixed_lower<T>(kind[k], x, lo[k]);
      hi[k] = mixed_upper<T>(kind[k], x, hi[k]);
    }
  }
  for (int k = 0; k < kPacks; ++k) {
    lo[k].store(lower + k * P::kLanes);
    hi[k].store(upper + k * P::kLanes);
  }
}

// The box of n rows over kPacks packs of features, in one pass over the rows. Missing values are
// passed over; a feature without any value gets NaN.
template <int kPacks, class T>
NK_INLINE void bounding_packs(const T* points, const std::int32_t* rows, std::int64_t n, std::int64_t width, T* lower,
                              T* upper) {
  using P = Pack<T>;
  constexpr T kInfinity = std::numeric_limits<T>::infinity();
  constexpr T kMissing = std::numeric_limits<T>::quiet_NaN();
  P lo[kPacks], hi[kPacks];
  for (int k = 0; k < kPacks; ++k) {
    lo[k] = P::of(kInfinity);
    hi[k] = P::of(-kInfinity);
  }
  for (std::int64_t i = 0; i < n; ++i) {
    const T* row = points + rows[i] * width;
    for (int k = 0; k < kPacks; ++k) {
      const P x = P::load(row + k * P::kLanes);
      lo[k] = smaller(x, lo[k]);
      hi[k] = larger(x, hi[k]);
    }
  }
  for (int k = 0; k < kPacks; ++k) {
    unless_equal(lo[k], kInfinity, kMissing).store(lower + k * P::kLanes);
    unless_equal(hi[k], -kInfinity, kMissing).store(upper + k * P::kLanes);
  }
}

template <class T>
NK_INLINE void bounding_box(const T* points, const std::int32_t* rows, std::int64_t n, std::int64_t width, T* lower,
                            T* upper) {
  constexpr int kLanes = Pack<T>::kLanes;
  switch (width / kLanes) {  // four packs of bounds fit in the registers of every target
    case 1:
      return bounding_packs<1>(points, rows, n, width, lower, upper);
    case 2:
      return bounding_packs<2>(points, rows, n, width, lower, upper);
    case 3:
      return bounding_packs<3>(points, rows, n, width, lower, upper);
    case 4:
      return bounding_packs<4>(points, rows, n, width, lower, upper);
  }
  for (std::int64_t j = 0; j < width; j += kLanes) {
    bounding_packs<1>(points + j, rows, n, width, lower + j, upper + j);
  }
}

template <class T>
void bounding_box(const Tree<T>& tree, const std::int32_t* rows, std::int64_t n, T* lower, T* upper) {
  if (!tree.kinds.any()) return bounding_box(tree.points, rows, n, tree.width, lower, upper);
  constexpr int kLanes = Pack<T>::kLanes;
  std::int64_t j = 0;
  for (; j + 2 * kLanes <= tree.width; j += 2 * kLanes) {
    mixed_bounding_packs<2>(tree.points + j, rows, n, tree.width, tree.kinds.mask + j, lower + j, upper + j);
  }
  if (j < tree.width) {
    mixed_bounding_packs<1>(tree.points + j, rows, n, tree.width, tree.kinds.mask + j, lower + j, upper + j);
  }
}

// Whether a value lies right of a cut; never if it is missing.
template <class T>
struct Above {
  T threshold;
  bool operator()(T value) const { return value > threshold; }
};
template <class T>
struct WithBit {
  int bit;
  bool operator()(T value) const { return (value == value) & has_bit(value, bit); }
};
// Call body(is_right) with what tells the sides of v's cut.
template <class T, class Body>
NK_INLINE auto with_cut(const Tree<T>& tree, std::int32_t v, const Body& body) {
  const T threshold = tree.threshold[v];
  return tree.kinds.is_nominal(tree.feature[v]) ? body(WithBit<T>{static_cast<int>(threshold)})
                                                : body(Above<T>{threshold});
}

// Copy rows that go left to the front of `to`, the others to its back; returns how many went left.
// Branch-free: half of the branches would be missed. Missing values go to `missing_right`'s side, and are
// counted.
template <class T, class IsRight>
NK_INLINE std::int32_t partition(const T* points, const std::int32_t* rows, std::int32_t n, std::int64_t width,
                                 std::int64_t feature, const IsRight& is_right, bool missing_right, std::int32_t* to,
                                 std::int32_t& n_missing) {
  std::int32_t n_left = 0, missing = 0;
  for (std::int32_t i = 0; i < n; ++i) {
    const std::int32_t row = rows[i];
    const T value = points[std::int64_t{row} * width + feature];
    const bool goes_right = is_right(value) | ((value != value) & missing_right);
    to[n_left] = row;
    to[n - 1 - i + n_left] = row;
    n_left += !goes_right;
    missing += value != value;
  }
  n_missing = missing;
  return n_left;
}

// Whether the rows that have a value of the feature lie mostly right of the cut, by mass.
template <class T, class IsRight>
NK_INLINE bool mostly_right(const T* points, const std::int32_t* rows, std::int32_t n, std::int64_t width,
                            std::int64_t feature, const IsRight& is_right, const double* row_mass) {
  double left = 0.0, right = 0.0;
  for (std::int32_t i = 0; i < n; ++i) {
    const T value = points[std::int64_t{rows[i]} * width + feature];
    const double mass = row_mass ? row_mass[rows[i]] : 1.0;
    const bool goes_right = is_right(value);
    left += ((value == value) & !goes_right) ? mass : 0.0;
    right += goes_right ? mass : 0.0;
  }
  return right > left;
}

// The row with the most values, of rows that agree where they have any: the first of its kind, so that
// the rows' order does not matter.
template <class T>
NK_INLINE std::int32_t fullest(const T* points, const std::int32_t* rows, std::int32_t n, std::int64_t width) {
  std::int32_t best = 0;
  for (std::int32_t i = 1; i < n; ++i) {
    const T* x = points + std::int64_t{rows[i]} * width;
    const T* held = points + std::int64_t{rows[best]} * width;
    std::int64_t more = 0, first = -1;  // values more than `held` has; the first place where one is missing
    for (std::int64_t j = width - 1; j >= 0; --j) {
      const bool has = x[j] == x[j], had = held[j] == held[j];
      more += has - had;
      first = has != had ? j : first;
    }
    if (more > 0 || (more == 0 && first >= 0 && x[first] == x[first])) best = i;
  }
  return best;
}

// Whether rows that share a leaf differ all the same: in values that others of them miss.
template <class T>
NK_INLINE bool differ(const T* points, const std::int32_t* rows, std::int32_t n, std::int64_t width) {
  const T* first = points + std::int64_t{rows[0]} * width;
  bool any = false;
  for (std::int32_t i = 1; i < n; ++i) {
    const T* row = points + std::int64_t{rows[i]} * width;
    for (std::int64_t j = 0; j < width; ++j) {
      any |= (row[j] != first[j]) & ((row[j] == row[j]) | (first[j] == first[j]));
    }
  }
  return any;
}

// A leaf for rows that all coincide, but for missing values.
template <class T>
NK_INLINE std::int32_t build_leaf(Tree<T>& tree, const std::int32_t* rows, std::int32_t n, const double* row_mass,
                                  BuildScratch<T>& scratch) {
  double mass = n;
  if (row_mass) {
    mass = 0.0;
    for (std::int32_t i = 0; i < n; ++i) mass += row_mass[rows[i]];
  }
  std::int32_t kept = 0;
  if (n > 1 && differ(tree.points, rows, n, tree.width)) {
    scratch.loose = true;
    kept = fullest(tree.points, rows, n, tree.width);
  }
  const std::int32_t leaf = take_leaf(tree, rows[kept], mass);
  for (std::int32_t i = 0; i < n && !scratch.leaf_of.empty(); ++i) scratch.leaf_of[rows[i] - scratch.first_row] = leaf;
  return ~leaf;
}

// Boxes of a tree fresh from a build, whose nodes are numbered in preorder, from its leaves' points (I4).
template <class T>
NK_INLINE void tighten(Tree<T>& tree) {
  for (std::int32_t v = tree.header[kNodeMark] - 1; v >= 0; --v) unite_children(tree, v);
}

// Nodes are numbered in preorder, so children come after their parents.
template <class T>
NK_INLINE void sum_masses(Tree<T>& tree) {
  for (std::int32_t v = tree.header[kNodeMark] - 1; v >= 0; --v) {
    tree.mass[v] = tree.mass_of(tree.child[2 * v]) + tree.mass_of(tree.child[2 * v + 1]);
  }
}

// Give nodes the sums of their leaves' clean masses. Those of the leaves were added up in another order than their
// masses, so that rounding may have put them above.
template <class T>
NK_INLINE void sum_clean(Tree<T>& tree) {
  for (std::int32_t s = 0; s < tree.header[kLeafMark]; ++s) {
    tree.leaf_clean[s] = std::min(tree.leaf_clean[s], tree.leaf_mass[s]);
  }
  for (std::int32_t v = tree.header[kNodeMark] - 1; v >= 0; --v) {
    tree.clean[v] = tree.clean_of(tree.child[2 * std::int64_t{v}]) + tree.clean_of(tree.child[2 * std::int64_t{v} + 1]);
  }
}

// Link v under its parent.
template <class T>
NK_INLINE void hang(Tree<T>& tree, std::int32_t v, std::int32_t parent, std::int32_t side) {
  tree.parent_of(v) = parent;
  if (parent == kNobody) {
    tree.header[kRoot] = v;
  } else {
    tree.child[2 * std::int64_t{parent} + side] = v;
  }
}

// Draw what node v cuts of a box with sides, and where.
template <class T>
void draw_mixed_cut(Tree<T>& tree, std::int32_t v, const T* lo, const T* hi, double rate, Rng& rng) {
  const MixedSides<T> sides{{lo, hi, tree.rate}, tree.kinds};
  const std::int64_t f = draw_feature(sides, tree.n_features, rate, rng.uniform());
  const double u = rng.uniform();
  tree.feature[v] = static_cast<std::int32_t>(f);
  tree.threshold[v] = tree.kinds.is_nominal(f) ? static_cast<T>(draw_bit(bits_between(lo[f], hi[f]), u))
                                               : draw_threshold(lo[f], hi[f], u);
}

// Draw node v's cut of a box with sides, which cuts hit at `rate`.
template <class T>
NK_INLINE void draw_cut(Tree<T>& tree, std::int32_t v, double born, const T* lo, const T* hi, double rate, Rng& rng) {
  tree.time[v] = later(born, rng.exponential(), rate);
  if (tree.kinds.any()) return draw_mixed_cut(tree, v, lo, hi, rate, rng);
  const std::int64_t f = draw_feature(Sides<T>{lo, hi, tree.rate}, tree.n_features, rate, rng.uniform());
  tree.feature[v] = static_cast<std::int32_t>(f);
  tree.threshold[v] = draw_threshold(lo[f], hi[f], rng.uniform());
}

// Copy the rows that v's cut parts to the front and the back of `to`; returns how many go left.
template <class T>
NK_INLINE std::int32_t part_rows(const Tree<T>& tree, std::int32_t v, const std::int32_t* rows, std::int32_t n,
                                 const double* row_mass, std::int32_t* to) {
  const std::int64_t width = tree.width, f = tree.feature[v];
  return with_cut(tree, v, [&](const auto& is_right) {
    std::int32_t n_missing = 0;
    const std::int32_t n_left = partition(tree.points, rows, n, width, f, is_right, false, to, n_missing);
    if (n_missing == 0 || !mostly_right(tree.points, rows, n, width, f, is_right, row_mass)) return n_left;
    return partition(tree.points, rows, n, width, f, is_right, true, to, n_missing);
  });
}

// Build `tree` over n >= 1 rows of its points; uses up `rows`. row_mass (by row of points) may be
// null: every row weighs 1. Boxes are written when the tree keeps them.
template <class T>
NK_INLINE void build_tree(Tree<T>& tree, std::int32_t* rows, std::int32_t n, const double* row_mass,
                          BuildScratch<T>& scratch) {
  const std::int64_t width = tree.width;
  scratch.prepare(static_cast<std::size_t>(n), static_cast<std::size_t>(width));
  clear(tree);
  Rng rng(tree.rng);
  std::int32_t* const other = scratch.other.data();
  auto& stack = scratch.stack;
  stack.clear();
  scratch.loose = false;
  nativekit::Paced pace(1 << 20);
  stack.push_back({0, n, kNobody, 0, 0.0, rows});
  while (!stack.empty()) {
    auto task = stack.back();
    stack.pop_back();
    while (true) {  // down the left side: preorder
      const std::int32_t count = task.end - task.begin;
      const std::int32_t* own = task.rows + task.begin;
      pace.did(count * width);
      T* lo = scratch.lower.data();
      T* hi = scratch.upper.data();
      double rate = 0.0;
      if (count > 1) {
        if (tree.lower) {
          lo = tree.lower + tree.header[kNodeMark] * width;
          hi = tree.upper + tree.header[kNodeMark] * width;
        }
        bounding_box(tree, own, count, lo, hi);
        rate = cut_rate(tree, lo, hi);
      }
      if (!(rate > 0.0)) {
        hang(tree, build_leaf(tree, own, count, row_mass, scratch), task.parent, task.side);
        break;
      }
      const std::int32_t v = tree.header[kNodeMark]++;
      hang(tree, v, task.parent, task.side);
      draw_cut(tree, v, task.time, lo, hi, rate, rng);
      tree.mass[v] = count;
      const std::int32_t f = tree.feature[v];
      if (count == 2) {  // a third of all nodes: no need to partition
        const bool swap = tree.is_right(v, tree.points[own[0] * width + f]);
        hang(tree, build_leaf(tree, own + swap, 1, row_mass, scratch), v, 0);
        hang(tree, build_leaf(tree, own + !swap, 1, row_mass, scratch), v, 1);
        break;
      }
      std::int32_t* to = task.rows == rows ? other : rows;
      const std::int32_t middle = task.begin + part_rows(tree, v, own, count, row_mass, to + task.begin);
      if (task.end - middle == 1) {
        hang(tree, build_leaf(tree, to + middle, 1, row_mass, scratch), v, 1);
      } else {
        stack.push_back({middle, task.end, v, 1, tree.time[v], to});
      }
      task = {task.begin, middle, v, 0, tree.time[v], to};
    }
  }
  if (row_mass) sum_masses(tree);
  if (scratch.loose && tree.lower) tighten(tree);
}

// Boxes from the points up, for a tree that kept none. I4 makes them exact, not approximate.
template <class T>
NK_INLINE void compute_boxes(Tree<T>& tree) {
  if (tree.empty() || Tree<T>::is_leaf(tree.root())) return;
  const std::int64_t width = tree.width;
  std::vector<std::int32_t> order{tree.root()};
  for (std::size_t i = 0; i < order.size(); ++i) {
    for (int side = 0; side < 2; ++side) {
      const std::int32_t c = tree.child[2 * std::int64_t{order[i]} + side];
      if (c >= 0) order.push_back(c);
    }
  }
  nativekit::Paced pace(1 << 20);
  for (std::size_t i = order.size(); i-- > 0;) {
    pace.did(2 * width);
    const std::int64_t v = order[i];
    unite_children(tree, static_cast<std::int32_t>(v));
  }
}

}  // namespace imondrian::NK_ISA

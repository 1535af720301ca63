// A Mondrian tree over a set of rows, from the root down (Lakshminarayanan, Roy and Teh 2014,
// Algorithms 1-2, with infinite lifetime). Cuts depend on boxes alone, never on the rows' order or
// on repeats, and the generator is read in preorder: equal sets give equal trees.
#pragma once

#include <algorithm>
#include <limits>
#include <vector>

#include "box.hpp"
#include "pool.hpp"

namespace imondrian {

template <class T>
struct BuildScratch {
  struct Task {
    std::int32_t begin, end, parent;
    int side;
    double time;
  };
  std::vector<std::int32_t> right;
  std::vector<Task> stack;
  std::vector<T> lower, upper;
};

// Missing values are passed over; a feature without any value gets NaN.
template <class T>
NK_INLINE void bounding_box(const T* points, const std::int32_t* rows, std::int64_t n,
                            std::int64_t width, T* lower, T* upper) {
  using P = Pack<T>;
  constexpr T kInfinity = std::numeric_limits<T>::infinity();
  constexpr T kMissing = std::numeric_limits<T>::quiet_NaN();
  for (std::int64_t j = 0; j < width; j += P::kLanes) {
    P lo = P::of(kInfinity), hi = P::of(-kInfinity);
    for (std::int64_t i = 0; i < n; ++i) {
      const P x = P::load(points + std::int64_t{rows[i]} * width + j);
      lo = smaller(x, lo);
      hi = larger(x, hi);
    }
    unless_equal(lo, kInfinity, kMissing).store(lower + j);
    unless_equal(hi, -kInfinity, kMissing).store(upper + j);
  }
}

// Rows that go left first; returns how many. Branch-free: half of the branches would be missed.
template <class T>
NK_INLINE std::int32_t partition(const T* points, std::int32_t* rows, std::int32_t n,
                                 std::int64_t width, std::int64_t feature, T threshold,
                                 std::int32_t* right) {
  std::int32_t n_left = 0, n_right = 0;
  for (std::int32_t i = 0; i < n; ++i) {
    const std::int32_t row = rows[i];
    const bool goes_right = points[std::int64_t{row} * width + feature] > threshold;
    rows[n_left] = row;
    right[n_right] = row;
    n_left += !goes_right;
    n_right += goes_right;
  }
  std::copy(right, right + n_right, rows + n_left);
  return n_left;
}

// Hang a leaf for rows that all coincide under (parent, side).
template <class T>
NK_INLINE std::int32_t build_leaf(Tree<T>& tree, const std::int32_t* rows, std::int32_t n,
                                  const double* row_mass) {
  double mass = n;
  if (row_mass) {
    mass = 0.0;
    for (std::int32_t i = 0; i < n; ++i) mass += row_mass[rows[i]];
  }
  return ~take_leaf(tree, rows[0], mass);
}

// Nodes are numbered in preorder, so children come after their parents.
template <class T>
NK_INLINE void sum_masses(Tree<T>& tree) {
  for (std::int32_t v = tree.header[kNodeMark] - 1; v >= 0; --v) {
    tree.mass[v] = tree.mass_of(tree.child[2 * v]) + tree.mass_of(tree.child[2 * v + 1]);
  }
}

// Build `tree` over n >= 1 rows of its points; permutes `rows`. row_mass (by row of points) may be
// null: every row weighs 1. Boxes are written when the tree keeps them.
template <class T>
NK_INLINE void build_tree(Tree<T>& tree, std::int32_t* rows, std::int32_t n, const double* row_mass,
                          BuildScratch<T>& scratch) {
  clear(tree);
  const std::int64_t width = tree.width;
  Rng rng(tree.rng);
  scratch.right.resize(static_cast<std::size_t>(n));
  scratch.lower.resize(static_cast<std::size_t>(width));
  scratch.upper.resize(static_cast<std::size_t>(width));
  auto& stack = scratch.stack;
  stack.clear();
  typename BuildScratch<T>::Task task{0, n, kNobody, 0, 0.0};
  for (bool more = true; more;) {
    const std::int32_t count = task.end - task.begin;
    std::int32_t* own = rows + task.begin;
    T* lo = scratch.lower.data();
    T* hi = scratch.upper.data();
    double rate = 0.0;
    if (count > 1) {
      if (tree.lower) {
        lo = tree.lower + tree.header[kNodeMark] * width;
        hi = tree.upper + tree.header[kNodeMark] * width;
      }
      bounding_box(tree.points, own, count, width, lo, hi);
      rate = cut_rate(lo, hi, tree.rate, width);
    }
    const bool cut = rate > 0.0;
    const std::int32_t v = cut ? tree.header[kNodeMark]++ : build_leaf(tree, own, count, row_mass);
    tree.parent_of(v) = task.parent;
    if (task.parent == kNobody) {
      tree.header[kRoot] = v;
    } else {
      tree.child[2 * std::int64_t{task.parent} + task.side] = v;
    }
    if (cut) {
      const double time = later(task.time, rng.exponential(), rate);
      const std::int64_t f = draw_feature(
          tree.n_features, rate, rng.uniform(), [&](std::int64_t j, double scale) {
            return (static_cast<double>(hi[j]) * scale - static_cast<double>(lo[j]) * scale) *
                   static_cast<double>(tree.rate[j]);
          });
      const T threshold = draw_threshold(lo[f], hi[f], rng.uniform());
      const std::int32_t n_left = partition(tree.points, own, count, width, f, threshold,
                                            scratch.right.data());
      tree.feature[v] = static_cast<std::int32_t>(f);
      tree.threshold[v] = threshold;
      tree.time[v] = time;
      tree.mass[v] = count;
      stack.push_back({task.begin + n_left, task.end, v, 1, time});
      task = {task.begin, task.begin + n_left, v, 0, time};  // preorder: left before right
    } else {
      more = !stack.empty();
      if (more) {
        task = stack.back();
        stack.pop_back();
      }
    }
  }
  if (row_mass) sum_masses(tree);
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
  for (std::size_t i = order.size(); i-- > 0;) {
    const std::int64_t v = order[i];
    const std::int32_t left = tree.child[2 * v], right = tree.child[2 * v + 1];
    unite_boxes(tree.lower + v * width, tree.upper + v * width, tree.lower_of(left),
                tree.upper_of(left), tree.lower_of(right), tree.upper_of(right), width);
  }
}

}  // namespace imondrian

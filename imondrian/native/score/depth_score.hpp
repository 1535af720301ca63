// Scores of one tree on its own columns: the paper's depth, and the depth under virtual insertion.
#pragma once

#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

#include "core.hpp"
#include "score/means.hpp"
#include "score/survival.hpp"
#include "tree/box.hpp"

namespace imondrian::NK_ISA {

// c(n): the mean depth of an unsuccessful search in a binary search tree of n keys, the expected
// depth that a leaf of mass n hides (Liu, Ting and Zhou 2008, equation 1). Straight line from
// c(1) = 0 to c(2) = 1 for fractional masses.
inline double hidden_depth(double n) {
  constexpr double kEuler = 0.57721566490153286061;
  if (n <= 1.0) return 0.0;
  if (n <= 2.0) return n - 1.0;
  return 2.0 * (std::log(n - 1.0) + kEuler) - 2.0 * (n - 1.0) / n;
}

// Where a walk from the root stands: at `node`, whose parent was cut at `born`.
struct Walk {
  std::int32_t node;
  double born = 0.0;
  double hazard = 0.0;    // insertion score: the chance of getting here uncut is exp(-hazard),
  double expected = 0.0;  // and these chances, summed over the levels above, are the depth so far

  // Pass a node at `distance`, for `lifetime`. A point hangs below a level if it gets there uncut,
  // so its expected depth is the sum of those chances.
  void pass(double distance, double lifetime) {
    expected += hazard > 0.0 ? survival(hazard) : 1.0;
    hazard += distance * lifetime;
  }
  bool gone() const { return !(hazard <= kGone); }
  // End in a leaf of `mass`: at its point, or beside it.
  double end(bool at_point, double mass) const {
    return expected + survival(hazard) * (at_point ? hidden_depth(mass) : 1.0);
  }
};

// The leaf (~slot) of x.
template <class T>
NK_INLINE std::int32_t leaf_under(const Tree<T>& tree, const T* x) {
  std::int32_t v = tree.root();
  while (v >= 0) v = tree.next(v, x);
  return v;
}

// Leaf depth + c(leaf mass) of a walk that passed so many levels.
NK_INLINE double depth_in(double mass, std::int32_t levels) {
  return mass > 1.0 ? levels + hidden_depth(mass) : levels;
}
template <class T>
NK_INLINE double depth_at(const Tree<T>& tree, std::int32_t leaf, std::int32_t levels) {
  return depth_in(tree.leaf_mass[~leaf], levels);
}

// Leaf depth + c(leaf mass).
template <class T>
NK_INLINE double leaf_depth(const Tree<T>& tree, const T* x) {
  std::int32_t v = tree.root(), levels = 0;
  for (; v >= 0; v = tree.next(v, x)) ++levels;
  return depth_at(tree, v, levels);
}

// Levels below a node, on average over the points stored there.
struct LevelsBelow {
  template <class T>
  bool needs(const Tree<T>&, std::int32_t) const {
    return true;
  }
  template <class T>
  NK_INLINE double operator()(const Means<T, LevelsBelow>& means, std::int32_t, std::int32_t child) const {
    return 1.0 + (child < 0 ? hidden_depth(means.tree().leaf_mass[~child]) : means.at(child));
  }
};

template <class T>
using DepthMeans = Means<T, LevelsBelow>;

template <class T>
DepthMeans<T> depth_means(const Tree<T>& tree) {
  return {tree, tree.mean_depth, LevelsBelow{}};
}

// Expected depth of x if it were inserted: at a node reached with probability p and left at
// distance eta for its lifetime, x separates with probability 1 - exp(-eta * lifetime) and would
// hang one below. A point that is already stored keeps its leaf: depth + c(mass). For missing values see means.hpp.
template <class T>
NK_INLINE double insertion_depth(const Tree<T>& tree, const T* x) {
  const std::int64_t width = tree.width;
  Walk walk{tree.root()};
  while (walk.node >= 0) {
    const std::int32_t v = walk.node;
    const std::int64_t at = v * width;
    walk.pass(separation_rate(tree, x, tree.lower + at, tree.upper + at), tree.time[v] - walk.born);
    if (walk.gone()) return walk.expected;
    walk.born = tree.time[v];
    const Step step = step_from(tree, v, x);
    walk.node = step.child;
    if (step.missing) walk.expected -= survival(walk.hazard) * depth_means(tree).gain(v, step.child);
  }
  const T* held = tree.lower_of(walk.node);
  const bool at_point = !(separation_rate(tree, x, held, held) > 0.0);
  return walk.end(at_point, tree.leaf_mass[~walk.node]);
}

// The same of a row without any value: no box is far from it.
template <class T>
NK_INLINE double insertion_depth_of_nothing(const Tree<T>& tree, const T* x) {
  Walk walk{tree.root()};
  while (walk.node >= 0) {
    walk.pass(0.0, 0.0);
    const Step step = step_from(tree, walk.node, x);
    walk.expected -= depth_means(tree).gain(walk.node, step.child);
    walk.node = step.child;
  }
  return walk.end(true, tree.leaf_mass[~walk.node]);
}

template <class T>
NK_INLINE bool has_missing(const T* x, std::int64_t n_features) {
  bool any = false;  // no branches: rows are short, or scanned once
  for (std::int64_t j = 0; j < n_features; ++j) any |= x[j] != x[j];
  return any;
}

// Whether a row lacks values, or all of them.
enum class Lack : int { kNone, kSome, kAll };
template <class T>
NK_INLINE Lack lack_of(const T* x, std::int64_t n_features) {
  bool any = false, all = true;
  for (std::int64_t j = 0; j < n_features; ++j) {
    any |= x[j] != x[j];
    all &= x[j] != x[j];
  }
  return !any ? Lack::kNone : all ? Lack::kAll : Lack::kSome;
}

// Follows a row with missing values (means.hpp) from node to node to its leaf.
template <class T>
class DepthWalk {
 public:
  explicit DepthWalk(const Tree<T>& tree) : tree_(tree), node_(tree.root()) {}

  std::int32_t node() const { return node_; }
  NK_INLINE void pass(std::int32_t child, bool missing) {
    if (missing) gain_ += depth_means(tree_).gain(node_, child);
    node_ = child;
    ++levels_;
  }
  // Leaf depth + c(leaf mass).
  double depth() const { return depth_at(tree_, node_, levels_) - gain_; }

 private:
  const Tree<T>& tree_;
  std::int32_t node_, levels_ = 0;
  double gain_ = 0.0;
};

template <class T>
NK_INLINE double mended_depth(const Tree<T>& tree, const T* x) {
  DepthWalk<T> walk(tree);
  while (walk.node() >= 0) {
    const Step step = step_from(tree, walk.node(), x);
    walk.pass(step.child, step.missing);
  }
  return walk.depth();
}

// The same of a row without any value.
template <class T>
NK_INLINE double depth_of_nothing(const Tree<T>& tree, const T* x) {
  return known_or(tree, tree.mean_depth, [&] { return mended_depth(tree, x); });
}

// Up to kTreesAbreast trees of a forest that rows walk side by side, to hide the latency of each.
template <class T>
class Abreast {
 public:
  Abreast(const ForestView& forest, std::int64_t first)
      : forest_(forest), n_trees_(static_cast<int>(std::min<std::int64_t>(kTreesAbreast, forest.n_trees - first))) {
    for (int k = 0; k < n_trees_; ++k) set(k, first + k);
  }
  Abreast(const ForestView& forest, const std::int64_t* which, int n) : forest_(forest), n_trees_(n) {
    for (int k = 0; k < n_trees_; ++k) set(k, which[k]);
  }

  int n_trees() const { return n_trees_; }
  // Made when it is first asked for: walks alone do without.
  const Tree<T>& tree(int k) const {
    if (!trees_[k]) trees_[k].emplace(forest_, number_[k]);
    return *trees_[k];
  }
  // The leaf (~slot) where the last row ended, unless the tree is empty, the levels above, and its depth + c(mass), or
  // 0.
  std::int32_t leaf(int k) const { return leaf_[k]; }
  std::int32_t levels(int k) const { return levels_[k]; }
  double depth(int k) const {
    return header(k)[kLeaves] == 0 ? 0.0 : depth_in(forest_.leaf_mass[first_[k] + ~leaf_[k]], levels_[k]);
  }

  // Find the leaves of a padded row in the `n` trees numbered in `which`; `missing`: whether it lacks values.
  NK_INLINE void find_leaves(const T* x, bool missing, const int* which, int n) {
    std::int64_t first[kTreesAbreast];
    std::int32_t root[kTreesAbreast], roots = 0;
    for (int r = 0; r < n; ++r) {
      first[r] = first_[which[r]];
      roots |= root[r] = header(which[r])[kRoot];  // -1 where empty
    }
    if (missing || roots < 0) {
      for (int r = 0; r < n; ++r) walk_alone(x, which[r]);
      return;
    }
    std::int32_t leaf[kTreesAbreast], levels[kTreesAbreast] = {};
    if (forest_.n_nominal > 0) {
      walk<0, true>(x, first, root, n, leaf, levels);
    } else if (n == kTreesAbreast) {
      walk<kTreesAbreast, false>(x, first, root, n, leaf, levels);
    } else {
      walk<0, false>(x, first, root, n, leaf, levels);
    }
    for (int r = 0; r < n; ++r) leaf_[which[r]] = leaf[r], levels_[which[r]] = levels[r];
  }
  void find_leaves(const T* x, bool missing) {
    static constexpr int kAll[kTreesAbreast] = {0, 1, 2, 3, 4, 5, 6, 7};
    find_leaves(x, missing, kAll, n_trees_);
  }

  // Leaf depth + c(leaf mass) of a row with missing values by tree, or 0 where it is empty.
  void find_mended_depths(const T* x, double* depth) const {
    std::int32_t roots = 0;
    for (int k = 0; k < n_trees_; ++k) roots |= header(k)[kRoot];
    if (roots < 0 || forest_.n_nominal > 0) {
      for (int k = 0; k < n_trees_; ++k) depth[k] = tree(k).empty() ? 0.0 : mended_depth(tree(k), x);
    } else if (n_trees_ == kTreesAbreast) {
      walk_mended<kTreesAbreast>(x, depth);
    } else {
      walk_mended<0>(x, depth);
    }
  }

 protected:
  const ForestView& forest() const { return forest_; }
  const std::int64_t* first() const { return first_; }

 private:
  // Trees are named by the place of their first slot in the forest's columns; every root is a node.
  template <int kTrees, bool kMixed>
  NK_INLINE void walk(const T* x, const std::int64_t* first, const std::int32_t* root, int n_trees, std::int32_t* leaf,
                      std::int32_t* levels) const {
    const int n = kTrees > 0 ? kTrees : n_trees;  // a constant unrolls the loops
    const T* threshold = static_cast<const T*>(forest_.threshold);
    const Kinds<T> kinds{static_cast<const T*>(forest_.nominal_mask)};
    std::int32_t at[kTreesAbreast];
    for (int r = 0; r < n; ++r) at[r] = root[r];
    for (bool going = true; going;) {
      for (int r = 0; r < n; ++r) levels[r] += at[r] >= 0;
      for (int r = 0; r < n; ++r) {
        const std::int64_t v = first[r] + (at[r] < 0 ? root[r] : at[r]);  // done: wait at the root
        const std::int32_t feature = forest_.feature[v];
        const T value = x[feature];
        const bool right = kMixed ? kinds.is_right(feature, value, threshold[v]) : value > threshold[v];
        const std::int32_t next = forest_.child[2 * v + right];
        at[r] = at[r] < 0 ? at[r] : next;
      }
      std::int32_t all = -1;
      for (int r = 0; r < n; ++r) all &= at[r];
      going = all >= 0;
    }
    for (int r = 0; r < n; ++r) leaf[r] = at[r];
  }

  // mended_depth() of all trees side by side; every root is a node. A branch asks for missing values: a miss now and
  // then costs less than what they need at every step.
  template <int kTrees>
  NK_INLINE void walk_mended(const T* x, double* depth) const {
    const int n = kTrees > 0 ? kTrees : n_trees_;
    const T* const threshold = static_cast<const T*>(forest_.threshold);
    const double* const means = forest_.mean_depth;
    std::int32_t root[kTreesAbreast], at[kTreesAbreast], levels[kTreesAbreast] = {};
    double gain[kTreesAbreast] = {};
    for (int r = 0; r < n; ++r) {
      at[r] = root[r] = header(r)[kRoot];
      const double mean = nativekit::atomic_get(means + first_[r] + root[r]);
      if (mean != mean) depth_means(tree(r)).at(root[r]);  // then all below are known, too
    }
    for (bool going = true; going;) {
      std::int32_t all = -1;
      for (int r = 0; r < n; ++r) {
        const bool live = at[r] >= 0;
        const std::int64_t first = first_[r], v = first + (live ? at[r] : root[r]);  // done: wait at the root
        const T value = x[forest_.feature[v]];
        std::int32_t next = forest_.child[2 * v + (value > threshold[v])];
        if (live & (value != value)) {
          const std::int32_t left = next;
          const double mass = *of_slot(forest_.leaf_mass + first, forest_.mass + first, left);
          if (number_of_cut(forest_.time[v]) * forest_.mass[v] >= mass) next = forest_.child[2 * v + 1];
          double below = nativekit::atomic_get(of_slot(forest_.leaf_mass + first, means + first, next));
          if (next < 0) below = hidden_depth(below);
          gain[r] += 1.0 + below - nativekit::atomic_get(means + v);
        }
        levels[r] += live;
        at[r] = live ? next : at[r];
        all &= at[r];
      }
      going = all >= 0;
    }
    for (int r = 0; r < n; ++r) depth[r] = depth_in(forest_.leaf_mass[first_[r] + ~at[r]], levels[r]) - gain[r];
  }

  void walk_alone(const T* x, int k) {
    levels_[k] = 0;
    if (tree(k).empty()) return;
    std::int32_t v = tree(k).root();
    for (; v >= 0; v = tree(k).next(v, x)) ++levels_[k];
    leaf_[k] = v;
  }

  void set(int k, std::int64_t t) {
    number_[k] = t;
    first_[k] = t * forest_.capacity;
  }
  const std::int32_t* header(int k) const { return forest_.header + number_[k] * kHeaderSize; }

  const ForestView& forest_;
  int n_trees_;
  std::int64_t number_[kTreesAbreast], first_[kTreesAbreast];
  mutable std::optional<Tree<T>> trees_[kTreesAbreast];
  std::int32_t leaf_[kTreesAbreast] = {}, levels_[kTreesAbreast] = {};
};

}  // namespace imondrian::NK_ISA

// The scale of a stream's trees: fixed between renewals, so that learning and forgetting keep their
// exact law, and renewed when the data has moved.
//
// A tree looks at its own points when it holds 8, 16, 32, ... (in an unbounded forest: distinct ones)
// and, once full, whenever four windows of points have passed; trees take turns. Where its scale has
// moved it is built anew from the points it holds: a fresh tree, given the scale. It looks before it
// learns the point that finds it due, so that a weight equals that many copies in a row.
//
// A feature without variation has rate 0. The first point that differs there sets the feature's
// rate and nothing is renewed: where all points agree no box has a side (I10), so that the tree has
// the law of a fresh one for any rate there.
#pragma once

#include <algorithm>
#include <cmath>
#include <new>
#include <vector>

#include "nativekit/atomic.hpp"
#include "score/means.hpp"
#include "stream/remove.hpp"
#include "tree/build.hpp"
#include "tree/levels.hpp"
#include "tree/scale.hpp"

namespace imondrian::NK_ISA {

constexpr std::int64_t kFirstLook = 8;   // points
constexpr std::int64_t kLooksEvery = 4;  // windows
// What counts as moved, in octaves: the root mean square over the features, well beyond the sampling
// noise of 256 points (about 0.1), or any one of them.
constexpr double kMovedTogether = 0.32;  // a factor of 1.25
constexpr double kMovedAlone = 1.0;      // a factor of 2

template <class T>
struct RenewScratch {
  ScaleScratch<T> scale;
  BuildScratch<T> build;
  std::vector<std::int32_t> leaves, stored, rows, moved;
  std::vector<double> mass, clean;
  std::vector<T> rate, bit_rate, points;
};

// Whether fresh rates would cut differently enough from those that there are to be worth a renewal.
class Movement {
 public:
  template <class T>
  void add(const T* rate, const T* fresh, std::int64_t n_features) {
    for (std::int64_t j = 0; j < n_features && !alone_; ++j) {
      if (rate[j] == T(0)) continue;
      const double octaves = std::log2(static_cast<double>(fresh[j])) - std::log2(static_cast<double>(rate[j]));
      alone_ = std::abs(octaves) > kMovedAlone;
      squares_ += octaves * octaves;
      n_ += 1.0;
    }
  }
  bool is_worth() const { return alone_ || squares_ > kMovedTogether * kMovedTogether * n_; }

 private:
  bool alone_ = false;
  double squares_ = 0.0, n_ = 0.0;
};

// The first count of points above `count` at which tree t of n_trees looks. window 0: unbounded.
inline std::int64_t next_look(std::int64_t count, std::int64_t window, std::int64_t t, std::int64_t n_trees) {
  for (std::int64_t size = kFirstLook; window == 0 || size <= window; size *= 2) {
    const std::int64_t at = size + t * (size / 2) / n_trees;  // by turns, so that no point waits for all
    if (at > count) return at;
  }
  const std::int64_t period = kLooksEvery * window, first = window + t * period / n_trees;
  return count < first ? first : first + ((count - first) / period + 1) * period;
}

// The mass of the tree's points that have a value of feature j.
template <class T>
double mass_with(const Tree<T>& tree, std::int64_t j) {
  double mass = 0.0;
  for (std::int32_t s = 0; s < tree.header[kLeafMark]; ++s) {
    if (tree.leaf_point[s] == kFree) continue;
    const T value = tree.points[std::int64_t{tree.leaf_point[s]} * tree.width + j];
    if (value == value) mass += tree.leaf_mass[s];
  }
  return mass;
}

// The rate of a feature in which all of the tree's points agree and x does not: find_rates' formula for
// these values, in which x counts once.
template <class T>
T first_rate(const Tree<T>& tree, T at, T x, std::int64_t j) {
  const double mass = mass_with(tree, j);
  // How far towards x either percentile lies: with fewer than 20 points, the upper one is between them and x.
  const double upper = 1.0 - kTail * mass, lower = std::max(1.0 - (1.0 - kTail) * mass, 0.0);
  double units = upper > lower ? (upper - lower) / kNormalRange : 0.0;
  if (units == 0.0 && tree.edition == 0) units = std::sqrt(mass) / (mass + 1.0);
  if (units == 0.0) units = 1.0 / normal_distance(std::clamp(1.0 / (mass + 1.0), kRarest, 2.0 * kTail));
  return rate_of<T>(2.0 * (units * std::abs(0.5 * static_cast<double>(x) - 0.5 * static_cast<double>(at))));
}

// Gather what a rebuild needs; all that can throw.
template <class T>
void prepare_rebuild(const Tree<T>& tree, RenewScratch<T>& scratch) {
  const std::size_t n = static_cast<std::size_t>(tree.header[kLeaves]), width = static_cast<std::size_t>(tree.width);
  for (auto* column : {&scratch.leaves, &scratch.stored, &scratch.rows, &scratch.build.leaf_of}) column->resize(n);
  scratch.mass.resize(n), scratch.points.resize(n * width);
  scratch.clean.assign(n, 0.0);
  scratch.moved.resize(static_cast<std::size_t>(tree.header[kLeafMark]));
  scratch.build.prepare(n, width);
  std::size_t i = 0;
  for (std::int32_t s = 0; s < tree.header[kLeafMark]; ++s) {
    if (tree.leaf_point[s] == kFree) continue;
    scratch.leaves[i] = s;
    scratch.stored[i] = tree.leaf_point[s];
    scratch.rows[i] = static_cast<std::int32_t>(i);
    scratch.mass[i] = tree.leaf_mass[s];
    if (tree.clean) scratch.clean[i] = tree.leaf_clean[s];
    copy_row(scratch.points.data() + i * width, tree.lower_of(~s), tree.width);
    ++i;
  }
}

// Build the tree anew from the points of its leaves; scratch.moved tells where each old leaf went.
// The points lie side by side in scratch: scattered in the store, a build waits for memory.
template <class T>
NK_INLINE void rebuild(Tree<T>& tree, std::int32_t* refs, RenewScratch<T>& scratch) {
  const std::size_t n = scratch.leaves.size();
  const T* const store = tree.points;
  forget_all_means(tree);
  tree.points = scratch.points.data();
  build_tree(tree, scratch.rows.data(), static_cast<std::int32_t>(n), scratch.mass.data(), scratch.build);
  tree.points = store;
  for (std::size_t i = 0; i < n; ++i) {
    const std::int32_t leaf = scratch.build.leaf_of[i];
    scratch.moved[scratch.leaves[i]] = leaf;
    // What missing values kept apart may have come together: one of the points is held no more.
    if (tree.leaf_point[leaf] != static_cast<std::int32_t>(i)) nativekit::atomic_add(refs + scratch.stored[i], -1);
  }
  for (std::int32_t s = 0; s < tree.header[kLeafMark]; ++s) {
    tree.leaf_point[s] = scratch.stored[tree.leaf_point[s]];
  }
  if (tree.clean) {
    std::fill(tree.leaf_clean, tree.leaf_clean + tree.header[kLeafMark], 0.0);
    for (std::size_t i = 0; i < n; ++i) tree.leaf_clean[scratch.build.leaf_of[i]] += scratch.clean[i];
    sum_clean(tree);
  }
  const std::size_t mark = static_cast<std::size_t>(tree.header[kLeafMark]);
  std::fill(tree.leaf_point + mark, tree.leaf_point + std::max(mark, scratch.moved.size()), kFree);
  count_all_levels(tree);
}

// One tree's scale, before it learns a point.
template <class T>
class ScaleKeeper {
 public:
  ScaleKeeper(const ForestView& forest, std::int64_t t)
      : forest_(forest), t_(t), tree_(forest, t), state_(forest.stream + kStreamSize * t),
        member_(forest.member_leaf ? forest.member_leaf + t * forest.window : nullptr) {
    note_constants();
  }

  // Whether x finds something to do.
  NK_INLINE bool is_due(const T* x) const {
    if (tree_.empty() || !(forest_.scaled || tree_.bag)) return false;
    if (look_is_due(x)) return true;
    return forest_.scaled && has_constants_ &&
           varies_first(tree_, x, tree_.lower_of(tree_.root()), tree_.upper_of(tree_.root()));
  }

  NK_INLINE void attend(const T* x, RenewScratch<T>& scratch) {
    if (look_is_due(x)) {
      constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();
      state_[kLook] = looks_again() ? next_look(count(), forest_.window, t_, forest_.n_trees) : kNever;
      try {
        look(scratch);
      } catch (const std::bad_alloc&) {  // the tree keeps its scale until it looks again
      }
    }
    const T* lo = tree_.lower_of(tree_.root());
    const T* hi = tree_.upper_of(tree_.root());
    for (std::int64_t j = 0; j < tree_.n_features; ++j) {
      if (!forest_.scaled || !varies_first_in(j, x, lo, hi)) continue;
      if (tree_.kinds.is_nominal(j)) {
        tree_.bit_rate[j] = bit_rate_of(tree_, j, nominal_length(mass_with(tree_, j), 1.0));
      } else {
        tree_.rate[j] = rate_in(tree_, j, first_rate(tree_, lo[j], x[j], j));
      }
    }
    note_constants();
  }

 private:
  bool is_bounded() const { return member_ != nullptr; }
  std::int64_t count() const { return is_bounded() ? state_[kSeen] : tree_.header[kLeaves]; }
  // A point that an unbounded tree holds already does not make it look: see the head of the file.
  bool look_is_due(const T* x) const {
    return count() >= state_[kLook] && (is_bounded() || find_leaf(tree_, x) == kNobody);
  }

  NK_INLINE void look(RenewScratch<T>& scratch) {
    scratch.rows.clear(), scratch.mass.clear();
    bool weighted = false;
    if (is_bounded()) {
      for (std::int64_t i = 0; i < state_[kHeld]; ++i) {
        if (member_[i] != kNobody) scratch.rows.push_back(tree_.leaf_point[leaf_of(member_[i])]);
      }
    } else {
      for (std::int32_t s = 0; s < tree_.header[kLeafMark]; ++s) {
        if (tree_.leaf_point[s] == kFree) continue;
        scratch.rows.push_back(tree_.leaf_point[s]);
        scratch.mass.push_back(tree_.leaf_mass[s]);
        weighted |= tree_.leaf_mass[s] != 1.0;
      }
    }
    const Rows<T> rows{tree_.points, tree_.width, scratch.rows.data(), static_cast<std::int64_t>(scratch.rows.size()),
                       weighted ? scratch.mass.data() : nullptr};
    scratch.rate.assign(tree_.rate, tree_.rate + tree_.width);
    if (forest_.scaled) {
      find_rates(rows, tree_, scratch.rate.data(), scratch.scale);
    } else {
      for (std::int64_t j = 0; j < tree_.n_features; ++j) {
        if (!tree_.kinds.is_nominal(j)) scratch.rate[j] = rate_in(tree_, j, T(1));
      }
    }
    Movement movement;
    movement.add(tree_.rate, scratch.rate.data(), tree_.n_features);
    if (tree_.kinds.any()) {
      look_at_levels(rows, scratch);
      movement.add(tree_.bit_rate, scratch.bit_rate.data(), tree_.n_features);
    }
    if (!movement.is_worth()) return;
    prepare_rebuild(tree_, scratch);
    copy_row(tree_.rate, scratch.rate.data(), tree_.width);
    if (tree_.kinds.any()) copy_row(tree_.bit_rate, scratch.bit_rate.data(), tree_.width);
    rebuild(tree_, forest_.refs, scratch);
    for (std::int64_t i = 0; is_bounded() && i < state_[kHeld]; ++i) {
      if (member_[i] != kNobody) member_[i] = scratch.moved[leaf_of(member_[i])] | (member_[i] & kFlaggedMember);
    }
  }

  // Shares of levels are taken as they are now; a rate that no box has had a side by, too (I10).
  void look_at_levels(const Rows<T>& rows, RenewScratch<T>& scratch) {
    scratch.bit_rate.assign(tree_.bit_rate, tree_.bit_rate + tree_.width);
    find_nominal_units(rows, tree_, forest_.scaled != 0, {scratch.bit_rate.data(), tree_.level_root, tree_.entropy},
                       scratch.scale);
    forget_all_means(tree_);
    for (std::int64_t j = 0; j < tree_.n_features; ++j) {
      if (tree_.bit_rate[j] == T(0)) tree_.bit_rate[j] = scratch.bit_rate[j];
    }
  }
  // Spacings ask for shares of levels, whatever the scale.
  bool looks_again() const { return forest_.scaled || (tree_.kinds.any() && tree_.clean); }
  bool varies_first_in(std::int64_t j, const T* x, const T* lo, const T* hi) const {
    if (tree_.kinds.any()) return mixed_varies_first(tree_, j, x, lo, hi);
    return tree_.rate[j] == T(0) && (x[j] < lo[j] || x[j] > hi[j]);
  }

  // Once a feature has a rate it keeps one: only attend() makes constants fewer.
  void note_constants() {
    has_constants_ = false;
    for (std::int64_t j = 0; j < tree_.n_features; ++j) {
      has_constants_ |= (tree_.kinds.is_nominal(j) ? tree_.bit_rate : tree_.rate)[j] == T(0);
    }
  }

  const ForestView& forest_;
  std::int64_t t_;
  bool has_constants_ = false;
  Tree<T> tree_;
  std::int64_t* state_;
  std::int32_t* member_;
};

}  // namespace imondrian::NK_ISA

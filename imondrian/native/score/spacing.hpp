// The spacing score: how much room a point has, against the points that are known to be usual.
//
// In each tree, B is the smallest box on the point's path that holds a clean mass of kEnoughClean, or all but 1 of
// the tree's where that is less, and
// its extent the sum of its sides, stretched to take the point in, in the tree's units. The score is
// the mean over the trees of log(kFloor + extent). Clean mass leaves out the points that scored
// highest themselves (fit/clean_mass.hpp), so that anomalies in a cluster cannot vouch for each other.
//
// In many dimensions the extent tells how long a point is rather than where it lies. Beyond kWideFrom features d the
// score is the mean of (1 - w) log(kFloor + extent) + w log(kFloor + r), w = 1 - kWideFrom / d: r is the point's
// distance to the nearest other clean point in B, in the tree's units over the features it sees, or the extent where
// there is none. A point that lacks values is that far in those that both have, for each of them.
#pragma once

#include <cmath>
#include <vector>

#include "score/box_sweep.hpp"
#include "score/sight.hpp"

namespace imondrian::NK_ISA {

// Trees that a row looks at together, from the leaves where it ends.
template <class T>
class TreeGroup : public Abreast<T> {
 public:
  TreeGroup(const ForestView& forest, std::int64_t first) : Abreast<T>(forest, first) {
    for (int k = 0; k < n_trees(); ++k) look_at(k);
  }

  using Abreast<T>::leaf;
  using Abreast<T>::n_trees;
  using Abreast<T>::tree;
  const Sight<T>& sight(int k) const { return sights_[k]; }
  BoxScratch<T>& scratch() { return scratch_; }
  // Take note of a tree's rates, when they have changed.
  void look_at(int k) { sights_[k].look_at(tree(k)); }

  // kFloor + the stretched extent of the clean box of a padded row without missing values, whose leaves have
  // been found, by tree; of wide forests also kFloor + r. Empty trees are left out.
  NK_INLINE void look(const T* x, double* extent, double* away) {
    std::int32_t box[kTreesAbreast], roots = 0;
    for (int k = 0; k < n_trees(); ++k) roots |= tree(k).root();  // -1 where empty
    if (roots >= 0) {
      find_clean_boxes(box);
    } else {
      for (int k = 0; k < n_trees(); ++k) box[k] = tree(k).empty() ? 0 : clean_box(tree(k), leaf(k));
    }
    for (int k = 0; k < n_trees(); ++k) {
      if (!tree(k).empty()) sights_[k].prefetch(tree(k), box[k]);
    }
    for (int k = 0; k < n_trees(); ++k) {
      if (!tree(k).empty()) extent[k] = sights_[k].extent(tree(k), box[k], x, scratch_);
    }
    for (int k = 0; k < n_trees(); ++k) {
      if (tree(k).empty() || sights_[k].near() == 0.0) continue;
      const double least = sights_[k].nearest(tree(k), box[k], x);
      away[k] = least == kFar ? extent[k] : least;
    }
  }

 private:
  // clean_box() of all trees side by side; every root is a node.
  NK_INLINE void find_clean_boxes(std::int32_t* box) const {
    const ForestView& forest = this->forest();
    const std::int64_t* first = this->first();
    std::int32_t up[kTreesAbreast];
    double needed[kTreesAbreast];
    for (int r = 0; r < n_trees(); ++r) needed[r] = clean_needed(tree(r));
    for (int r = 0; r < n_trees(); ++r) up[r] = forest.leaf_parent[first[r] + ~leaf(r)];
    for (bool going = true; going;) {
      going = false;
      for (int r = 0; r < n_trees(); ++r) {
        const std::int32_t next = forest.parent[first[r] + up[r]];
        const bool goes = (forest.clean[first[r] + up[r]] < needed[r]) & (next != kNobody);
        up[r] = goes ? next : up[r];
        going |= goes;
      }
    }
    for (int r = 0; r < n_trees(); ++r) {
      box[r] = forest.leaf_clean[first[r] + ~leaf(r)] >= needed[r] ? leaf(r) : up[r];
    }
  }

  Sight<T> sights_[kTreesAbreast];
  BoxScratch<T> scratch_;
};

// Log sizes of the clean boxes below a node, on average over the points stored there.
template <class T>
class SizeBelow {
 public:
  SizeBelow(const Sight<T>& sight, BoxScratch<T>& scratch) : sight_(&sight), scratch_(&scratch) {}

  bool needs(const Tree<T>& tree, std::int32_t child) const { return tree.clean_of(child) >= clean_needed(tree); }
  // Where a child falls short of clean mass, what is stored below it gets the size of its parent's box.
  double operator()(const Means<T, SizeBelow>& means, std::int32_t v, std::int32_t child) const {
    if (needs(means.tree(), child)) return child < 0 ? std::log(kFloor) : means.at(child);
    const Tree<T>& tree = means.tree();
    return sight_->usual(tree, v, sight_->extent(tree, v, scratch_->no_values(tree.width), *scratch_), *scratch_);
  }

 private:
  const Sight<T>* sight_;
  BoxScratch<T>* scratch_;
};

template <class T>
using SpacingMeans = Means<T, SizeBelow<T>>;

template <class T>
SpacingMeans<T> spacing_means(const Tree<T>& tree, const Sight<T>& sight, BoxScratch<T>& scratch) {
  return {tree, tree.mean_spacing, SizeBelow<T>(sight, scratch)};
}

// Find all means at once where the tree stores no boxes.
template <class T>
NK_INLINE void prepare_means(const Tree<T>& tree, const Sight<T>& sight, BoxScratch<T>& scratch) {
  if (tree.lower || tree.empty() || tree.root() < 0) return;
  const double known = nativekit::atomic_get(tree.mean_spacing + tree.root());
  if (known == known) return;
  const SpacingMeans<T> means = spacing_means(tree, sight, scratch);
  const T* nothing = scratch.no_values(tree.width);
  const double needed = clean_needed(tree);
  BoxSweep<T>(tree, sight).run([&](std::int32_t v, const T* lo, const T* hi) {
    if (tree.clean[v] < needed) return;
    double below[2], size = 0.0;
    bool sized = false;
    for (int side = 0; side < 2; ++side) {
      const std::int32_t child = tree.child[2 * std::int64_t{v} + side];
      const bool short_of = tree.clean_of(child) < needed;
      if (short_of && !sized)
        size = sight.usual(tree, v, sight.extent_in(tree, v, lo, hi, nothing), scratch), sized = true;
      below[side] = short_of ? size : child < 0 ? std::log(kFloor) : means.at(child);
    }
    means.set(v, below[0], below[1]);
  });
}

// Follows a row from node to node to its clean box.
template <class T>
class EndingWalk {
 public:
  EndingWalk(const Tree<T>& tree, const SpacingMeans<T>& means)
      : tree_(tree), means_(means), needed_(clean_needed(tree)), end_{tree.root(), 0.0} {
    going_ = end_.box >= 0 && tree.clean[end_.box] >= needed_;
  }

  bool going() const { return going_; }
  const Ending& end() const { return end_; }
  // Go on from where it is to that child, for want of a value or not.
  NK_INLINE void pass(std::int32_t child, bool missing) {
    const std::int32_t v = end_.box;
    const std::int32_t left = tree_.child[2 * std::int64_t{v}], right = tree_.child[2 * std::int64_t{v} + 1];
    const bool falls_short = tree_.clean_of(child) < needed_;
    going_ = !falls_short && child >= 0;
    if (falls_short && tree_.clean_of(child == left ? right : left) < needed_) return;  // whichever it takes
    if (missing) end_.gain += means_.gain(v, child);
    if (!falls_short) end_.box = child;
  }

 private:
  const Tree<T>& tree_;
  const SpacingMeans<T>& means_;
  double needed_;
  Ending end_;
  bool going_;
};

template <class T>
NK_INLINE Ending find_ending(const Tree<T>& tree, const T* x, const SpacingMeans<T>& means) {
  EndingWalk<T> walk(tree, means);
  while (walk.going()) {
    const Step step = step_from(tree, walk.end().box, x);
    walk.pass(step.child, step.missing);
  }
  return walk.end();
}

// Both where it ends and how deep its leaf is, in one walk.
template <class T>
NK_INLINE Ending find_ending(const Tree<T>& tree, const T* x, const SpacingMeans<T>& means, double& depth) {
  EndingWalk<T> walk(tree, means);
  DepthWalk<T> levels(tree);
  while (levels.node() >= 0) {
    const Step step = step_from(tree, levels.node(), x);
    if (walk.going()) walk.pass(step.child, step.missing);
    levels.pass(step.child, step.missing);
  }
  depth = levels.depth();
  return walk.end();
}

// Log spacing of a padded row with missing values in the tree that `sight` looks at.
template <class T>
NK_INLINE double mended_spacing(const Tree<T>& tree, const T* x, const Sight<T>& sight, BoxScratch<T>& scratch) {
  const Ending end = find_ending(tree, x, spacing_means(tree, sight, scratch));
  return sight.value(tree, end.box, x, scratch) - end.gain;
}

}  // namespace imondrian::NK_ISA

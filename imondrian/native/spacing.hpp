// The spacing score: how much room a point has, against the points that are known to be usual.
//
// In each tree, B is the smallest box on the point's path that holds a clean mass of kLeastClean, and
// its extent the sum of its sides, stretched to take the point in, in the tree's units. The score is
// the mean over the trees of log(kFloor + extent). Clean mass leaves out the points that scored
// highest themselves (trim.hpp), so that anomalies in a cluster cannot vouch for each other.
#pragma once

#include <cmath>
#include <cstring>
#include <vector>

#include "bag.hpp"
#include "box.hpp"

namespace imondrian {

constexpr double kLeastClean = 2.0;
constexpr double kFloor = 0.1;       // scale units: what ties leave of a box says no more than this
constexpr double kMost = 0x1.0p1000; // keeps products and logarithms finite

// kFloor + the extent of the box [lo, hi] stretched to x. Missing values stretch nothing.
template <class T>
NK_INLINE double stretched_extent(const T* x, const T* lo, const T* hi, const T* rate, std::int64_t width) {
  using P = Pack<T>;
  P sum = P::zero();
  for (std::int64_t j = 0; j < width; j += P::kLanes) {
    const P at = P::load(x + j);
    const P side = larger(at, P::load(hi + j)) - smaller(at, P::load(lo + j));
    sum = sum + larger(side, P::zero()) * P::load(rate + j);
  }
  const double extent = static_cast<double>(sum.sum());
  return extent < kMost ? kFloor + extent : kMost;  // what overflows is kMost, also where it became NaN
}

// A product of positive numbers up to kMost whose logarithm is wanted: one logarithm for all of them.
class LogSum {
 public:
  NK_INLINE void add_log_of(double value) {
    mantissa_ *= value;
    std::uint64_t bits;
    std::memcpy(&bits, &mantissa_, sizeof bits);
    exponent_ += static_cast<std::int64_t>(bits >> 52) - kBias;
    bits = (bits & kFraction) | (static_cast<std::uint64_t>(kBias) << 52);
    std::memcpy(&mantissa_, &bits, sizeof bits);
  }
  double sum() const { return std::log(mantissa_) + static_cast<double>(exponent_) * 0.693147180559945309417; }

 private:
  static constexpr std::int64_t kBias = 1023;
  static constexpr std::uint64_t kFraction = (std::uint64_t{1} << 52) - 1;
  double mantissa_ = 1.0;  // in [1, 2)
  std::int64_t exponent_ = 0;
};

// The smallest box on the path of x, without missing values, that holds enough clean mass: a node, a
// leaf (~slot), or the root if there is none.
template <class T>
NK_INLINE std::int32_t clean_box(const Tree<T>& tree, const T* x) {
  std::int32_t v = tree.root(), box = v;
  while (v >= 0) {
    if (tree.clean[v] < kLeastClean) return box;
    box = v;
    v = tree.child[2 * std::int64_t{v} + (x[tree.feature[v]] > tree.threshold[v])];
  }
  return tree.leaf_clean[~v] < kLeastClean ? box : v;
}

// Call visit(slot) for every leaf below v. Climbs by the parents, so that it needs no memory.
template <class T, class Visit>
NK_INLINE void for_each_leaf(const Tree<T>& tree, std::int32_t v, const Visit& visit) {
  std::int32_t at = v;
  while (true) {
    while (at >= 0) at = tree.child[2 * std::int64_t{at}];
    visit(~at);
    for (std::int32_t came = at;; came = at) {
      if (at == v) return;
      at = at >= 0 ? tree.parent[at] : tree.leaf_parent[~at];
      const std::int32_t right = tree.child[2 * std::int64_t{at} + 1];
      if (right != came) {
        at = right;
        break;
      }
    }
  }
}

// What one tree sees of rows and boxes: all of them as they are, or the features of its bag, gathered.
template <class T>
class Sight {
 public:
  explicit Sight(std::int64_t width) : lower_(static_cast<std::size_t>(std::max<std::int64_t>(width, kBagWidth))),
                                       upper_(lower_.size()) {}

  void look_at(const Tree<T>& tree) {
    few_ = sees_few(tree);
    bag_ = tree.bag;
    width_ = few_ ? kBagWidth : tree.width;
    if (few_) gather_bag(tree.bag, tree.rate, T(0), rate_own_);
    rate_ = few_ ? rate_own_ : tree.rate;
  }
  std::int64_t width() const { return width_; }
  const T* rate() const { return rate_; }
  NK_INLINE const T* row(const T* x, T* own) const {
    if (!few_) return x;
    gather_bag(bag_, x, kMissing, own);
    return own;
  }
  // The box of v: from the tree's own where it keeps them, else (and for a bag) written to lo and hi.
  NK_INLINE void box(const Tree<T>& tree, std::int32_t v, T* lo, T* hi) const {
    if (tree.lower || v < 0) {
      see(tree.lower_of(v), lo);
      see(tree.upper_of(v), hi);
      return;
    }
    for (std::int64_t j = 0; j < width_; ++j) lo[j] = hi[j] = kMissing;
    for_each_leaf(tree, v, [&](std::int32_t leaf) {
      T own[kBagWidth];
      grow_box(lo, hi, row(tree.lower_of(~leaf), own), width_);
    });
  }
  // kFloor + the extent of the box of v stretched to the padded row x.
  NK_INLINE double extent(const Tree<T>& tree, std::int32_t v, const T* x) {
    T own[kBagWidth];
    const T* seen = row(x, own);
    if (!few_ && (tree.lower || v < 0)) {
      return stretched_extent(seen, tree.lower_of(v), tree.upper_of(v), rate_, width_);
    }
    box(tree, v, lower_.data(), upper_.data());
    return stretched_extent(seen, lower_.data(), upper_.data(), rate_, width_);
  }

 private:
  static constexpr T kMissing = std::numeric_limits<T>::quiet_NaN();
  NK_INLINE void see(const T* from, T* to) const {
    if (few_) {
      gather_bag(bag_, from, kMissing, to);
    } else {
      copy_row(to, from, width_);
    }
  }

  bool few_ = false;
  const std::int32_t* bag_ = nullptr;
  std::int64_t width_ = 0;
  const T* rate_ = nullptr;
  T rate_own_[kBagWidth] = {};
  std::vector<T> lower_, upper_;
};

// A way that a row with missing values takes: the share of it at `node`, `depth` levels down.
struct Way {
  std::int32_t node;
  double depth;
  double share;
};

// The mean of a score over all ways of a row with missing values: at a cut whose value it lacks, it goes
// both ways in proportion to their masses. A way ends before a child whose clean mass is too little,
// with short_of(parent, child, depth of the child), or in a leaf, with at_leaf(leaf, depth).
template <class T, class ShortOf, class AtLeaf>
NK_INLINE double mean_over_ways(const Tree<T>& tree, const T* x, std::vector<Way>& ways, const ShortOf& short_of,
                                const AtLeaf& at_leaf) {
  double total = 0.0;
  ways.assign(1, Way{tree.root(), 0.0, 1.0});
  while (!ways.empty()) {
    const Way way = ways.back();
    ways.pop_back();
    if (way.node < 0) {
      total += way.share * at_leaf(way.node, way.depth);
      continue;
    }
    const std::int32_t left = tree.child[2 * std::int64_t{way.node}], right = tree.child[2 * std::int64_t{way.node} + 1];
    const T value = x[tree.feature[way.node]];
    const double mass = tree.mass_of(left) + tree.mass_of(right);
    for (const std::int32_t child : {right, left}) {
      const double share = value != value ? tree.mass_of(child) / mass
                                          : static_cast<double>((child == right) == (value > tree.threshold[way.node]));
      if (share == 0.0) continue;
      if (tree.clean_of(child) < kLeastClean) {
        total += way.share * share * short_of(way.node, child, way.depth + 1.0);
      } else {
        ways.push_back({child, way.depth + 1.0, way.share * share});
      }
    }
  }
  return total;
}

// Log spacing of a padded row with missing values in the tree that `sight` looks at.
template <class T>
NK_INLINE double forked_spacing(const Tree<T>& tree, const T* x, Sight<T>& sight, std::vector<Way>& ways) {
  if (tree.clean_of(tree.root()) < kLeastClean) return std::log(sight.extent(tree, tree.root(), x));
  return mean_over_ways(
      tree, x, ways, [&](std::int32_t v, std::int32_t, double) { return std::log(sight.extent(tree, v, x)); },
      [&](std::int32_t leaf, double) { return std::log(sight.extent(tree, leaf, x)); });
}

}  // namespace imondrian

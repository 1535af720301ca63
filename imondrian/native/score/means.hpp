// What is usual below a node: means over the points stored there, for rows with missing values.
//
// At a cut whose value a row lacks it might go both ways, in proportion to the masses there; followed to the
// end that costs up to a whole tree. Instead the row goes one way, drawn in that proportion by a number that
// belongs to the cut, and its score is corrected by what this choice changes for the points stored there on
// average, M(child) - M(node). In expectation that is the same as going both ways; a missing value itself adds
// nothing, and a row without any value gets the mean over all stored points.
//
// M is found when it is first asked for, from below, and kept until a point comes or goes below. What a row without
// any value gets is kept beside it, until a point comes or goes at all.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>

#include "base/view.hpp"
#include "nativekit/atomic.hpp"
#include "nativekit/simd.hpp"

namespace imondrian::NK_ISA {

// A number in [0, 1) that belongs to a cut, and stays with it in files and copies: a hash of its time, which is as
// random as can be. Only of its leading bits, so that it depends neither on units nor on how sums were rounded.
inline double number_of_cut(double time) {
  std::uint64_t z;
  std::memcpy(&z, &time, sizeof z);
  z = (z >> 40) + 0x9E3779B97F4A7C15u;  // then the finaliser of splitmix64
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return static_cast<double>((z ^ (z >> 31)) >> 11) * 0x1.0p-53;
}

// Numbers of nodes or leaves (~slot), and one of two numbers: without a branch, which trees would make miss.
NK_INLINE const double* of_slot(const double* leaves, const double* nodes, std::int32_t v) {
  return (v < 0 ? leaves : nodes) + (v ^ (v >> 31));
}
NK_INLINE double either(bool first, double a, double b) {
  std::uint64_t x, y;
  std::memcpy(&x, &a, sizeof x);
  std::memcpy(&y, &b, sizeof y);
  const std::uint64_t all = std::uint64_t{0} - static_cast<std::uint64_t>(first);
  x = (x & all) | (y & ~all);
  std::memcpy(&a, &x, sizeof a);
  return a;
}

// The side (0: left) on which a row without a value goes on from v.
template <class T>
NK_INLINE int drawn_side(const Tree<T>& tree, std::int32_t v) {
  const double left = tree.mass_of(tree.child[2 * std::int64_t{v}]);
  return number_of_cut(tree.time[v]) * tree.mass[v] >= left;
}

// Where a row goes from v, and whether for want of a value.
struct Step {
  std::int32_t child;
  bool missing;
};
template <class T>
NK_INLINE Step step_from(const Tree<T>& tree, std::int32_t v, const T* x) {
  const T value = x[tree.feature[v]];
  const bool missing = value != value;
  const int side = missing ? drawn_side(tree, v) : tree.is_right(v, value);
  return {tree.child[2 * std::int64_t{v} + side], missing};
}

template <class T>
void forget_all_means(const Tree<T>& tree) {
  constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();
  for (double* means : {tree.mean_depth, tree.mean_spacing}) {
    if (means) std::fill(means, means + tree.capacity, kUnknown);
  }
}

// Where a tree keeps what it makes of a row without any value: the slot of no node (I1: there is one less than leaves).
template <class T>
NK_INLINE double* place_of_nothing(const Tree<T>& tree, double* means) {
  return means + tree.capacity - 1;
}

// What is kept there, found first if need be.
template <class T, class Find>
NK_INLINE double known_or(const Tree<T>& tree, double* means, const Find& find) {
  double* const place = place_of_nothing(tree, means);
  const double known = nativekit::atomic_get(place);
  if (known == known) return known;
  const double found = find();
  nativekit::atomic_set(place, found);
  return found;
}

// Below this many points, or as much clean mass, the mass that a clean box needs may change with every point.
constexpr double kFew = 8.0;

// Forget the means above a leaf, where a point comes or goes.
template <class T>
NK_INLINE void forget_means(const Tree<T>& tree, std::int32_t leaf) {
  constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();
  if (!tree.mean_depth && !tree.mean_spacing) return;
  // Distances to the nearest points ask how rare levels are in all of the tree.
  const bool far_reaching = tree.near > 0.0 && tree.kinds.any();
  if (tree.mean_spacing && (far_reaching || tree.header[kLeaves] <= kFew || tree.clean_of(tree.root()) <= kFew)) {
    return forget_all_means(tree);
  }
  for (double* means : {tree.mean_depth, tree.mean_spacing}) {
    if (means) *place_of_nothing(tree, means) = kUnknown;
  }
  for (std::int32_t up = tree.leaf_parent[leaf]; up != kNobody; up = tree.parent[up]) {
    if (tree.mean_depth) tree.mean_depth[up] = kUnknown;
    if (tree.mean_spacing) tree.mean_spacing[up] = kUnknown;
  }
}

// M by node. `Below` says what a node's child counts: below(v, child), and whether M(child) must be known for it.
template <class T, class Below>
class Means {
 public:
  Means(const Tree<T>& tree, double* means, Below below) : tree_(tree), means_(means), below_(below) {}

  // M(v) of a node.
  NK_INLINE double at(std::int32_t v) const {
    const double known = nativekit::atomic_get(means_ + v);
    return known == known ? known : find(v);
  }
  // What a row gains by going to that child of v, against the mean of both.
  NK_INLINE double gain(std::int32_t v, std::int32_t child) const {
    const double mean = at(v);
    return below_(*this, v, child) - mean;
  }
  // Write M(v) down, given what its children count.
  NK_INLINE double set(std::int32_t v, double below_left, double below_right) const {
    const double left = tree_.mass_of(tree_.child[2 * std::int64_t{v}]);
    const double right = tree_.mass_of(tree_.child[2 * std::int64_t{v} + 1]);
    const double mean = (left * below_left + right * below_right) / (left + right);
    nativekit::atomic_set(means_ + v, mean);
    return mean;
  }
  const Tree<T>& tree() const { return tree_; }

 private:
  // Climbs by the parents, so that it needs no memory.
  double find(std::int32_t v) const {
    for (std::int32_t at = v;;) {
      const std::int32_t left = tree_.child[2 * std::int64_t{at}], right = tree_.child[2 * std::int64_t{at} + 1];
      if (is_wanting(left)) {
        at = left;
      } else if (is_wanting(right)) {
        at = right;
      } else {
        const double mean = set(at, below_(*this, at, left), below_(*this, at, right));
        if (at == v) return mean;
        at = tree_.parent[at];
      }
    }
  }
  bool is_wanting(std::int32_t child) const {
    if (child < 0 || !below_.needs(tree_, child)) return false;
    const double known = nativekit::atomic_get(means_ + child);
    return known != known;
  }

  const Tree<T>& tree_;
  double* means_;
  Below below_;
};

}  // namespace imondrian::NK_ISA

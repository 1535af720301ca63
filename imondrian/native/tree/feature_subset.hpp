// Bags: every other tree of a forest for the spacing score sees a few features only, drawn at random.
// On wide data most features are noise to any one anomaly; trees that miss them see it. Beyond kWideFrom features every
// tree has a bag: of kMostSeen, or of the root of their number.
//
// A bag is nothing but rates: those outside it are so small that their cuts come after all others. So
// points that agree in the bag are still told apart, and learning and forgetting stay exact. Extents
// (score/spacing.hpp) leave features outside the bag out altogether.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "base/rng.hpp"
#include "base/view.hpp"
#include "nativekit/simd.hpp"

namespace imondrian::NK_ISA {

constexpr int kBagPack = 8;             // a bag's features as a row: whole packs in either precision
constexpr double kOutside = 0x1.0p-60;  // rate of a feature outside, against one inside

// Whether a tree sees fewer features than there are.
template <class T>
bool sees_few(const Tree<T>& tree) {
  return tree.bag && tree.bag[0] >= 0 && tree.n_features > tree.bag_size;
}

// How many it sees.
template <class T>
std::int64_t n_seen(const Tree<T>& tree) {
  if (!sees_few(tree)) return tree.n_features;
  return std::find(tree.bag, tree.bag + tree.bag_size, -1) - tree.bag;
}

// How many features the bag of tree t is to have; 0: none, it sees all.
inline int wanted_in_bag(const ForestView& forest, std::int64_t t) {
  if (!is_wide(forest)) return t % 2 == 1 ? kBagSize : 0;
  if (t % 2 == 0) return kMostSeen;
  return std::min(kMostSeen, static_cast<int>(std::ceil(std::sqrt(static_cast<double>(forest.n_features)))));
}

template <class T>
bool sees(const Tree<T>& tree, std::int64_t j) {
  return !sees_few(tree) || std::find(tree.bag, tree.bag + tree.bag_size, j) != tree.bag + tree.bag_size;
}

// The rate that a tree gives a feature whose unit asks for `rate`.
template <class T>
T rate_in(const Tree<T>& tree, std::int64_t j, T rate) {
  if (!(rate > T(0)) || sees(tree, j)) return rate;
  return std::max(static_cast<T>(static_cast<double>(rate) * kOutside), std::numeric_limits<T>::denorm_min());
}

// Bring a tree's bag, of `known` features (-1 where one has been dropped), up to all there are now, `wanted` of them:
// every subset of a size is as likely as another. `order` has the places of all, the known ones first. Returns whether
// the tree must look anew at what it sees.
template <class T>
bool draw_bag(Tree<T>& tree, int wanted, std::int64_t known, const std::int32_t* order) {
  std::int32_t* const end = tree.bag + tree.bag_size;
  std::int32_t* held = std::remove(tree.bag, end, -1);
  std::fill(held, end, -1);
  Rng rng(tree.rng);
  bool changed = false;
  while (held - tree.bag > wanted) {  // fewer are to be seen than before
    std::swap(tree.bag[rng.below(static_cast<std::uint64_t>(held - tree.bag))], *(held - 1));
    *--held = -1, changed = true;
  }
  for (const std::int64_t n_before = std::min<std::int64_t>(wanted, known); held - tree.bag < n_before;) {
    const std::int32_t j = order[rng.below(static_cast<std::uint64_t>(known))];
    if (std::find(tree.bag, held, j) == held) *held++ = j, changed = true;
  }
  for (std::int64_t j = known; j < tree.n_features; ++j) {  // reservoir sampling
    const std::int64_t place = j < wanted ? j : static_cast<std::int64_t>(rng.below(static_cast<std::uint64_t>(j) + 1));
    if (place >= wanted) continue;
    changed |= tree.bag[place] >= 0;
    tree.bag[place] = order[j];
  }
  return changed;
}

// Gather the n features of a row that a tree with a bag sees; the rest is `fill`.
template <class T>
NK_INLINE void gather_bag(const std::int32_t* bag, std::int64_t n, const T* from, T fill, T* to) {
  for (std::int64_t k = 0; k < n; ++k) to[k] = from[bag[k]];
  for (std::int64_t k = n; k % kBagPack != 0; ++k) to[k] = fill;
}

}  // namespace imondrian::NK_ISA

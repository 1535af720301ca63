// Bags: every other tree of a forest for the spacing score sees a few features only, drawn at random.
// On wide data most features are noise to any one anomaly; trees that miss them see it.
//
// A bag is nothing but rates: those outside it are so small that their cuts come after all others. So
// points that agree in the bag are still told apart, and learning and forgetting stay exact. Extents
// (score/spacing.hpp) leave features outside the bag out altogether.
#pragma once

#include <algorithm>
#include <limits>

#include "base/rng.hpp"
#include "base/view.hpp"
#include "nativekit/simd.hpp"

namespace imondrian::NK_ISA {

constexpr int kBagWidth = 8;            // a bag's features as a row: whole packs in either precision
constexpr double kOutside = 0x1.0p-60;  // rate of a feature outside, against one inside

// Whether a tree sees fewer features than there are.
template <class T>
bool sees_few(const Tree<T>& tree) {
  return tree.bag && tree.bag[0] >= 0 && tree.n_features > kBagSize;
}

template <class T>
bool sees(const Tree<T>& tree, std::int64_t j) {
  return !sees_few(tree) || std::find(tree.bag, tree.bag + kBagSize, j) != tree.bag + kBagSize;
}

// The rate that a tree gives a feature whose unit asks for `rate`.
template <class T>
T rate_in(const Tree<T>& tree, std::int64_t j, T rate) {
  if (!(rate > T(0)) || sees(tree, j)) return rate;
  return std::max(static_cast<T>(static_cast<double>(rate) * kOutside), std::numeric_limits<T>::denorm_min());
}

// Bring a tree's bag, of `known` features (-1 where one has been dropped), up to all there are now: every
// subset of a size is as likely as another. `order` has the places of all, the known ones first. Returns whether the
// tree must look anew at what it sees.
template <class T>
bool draw_bag(Tree<T>& tree, std::int64_t known, const std::int32_t* order) {
  std::int32_t* const end = tree.bag + kBagSize;
  std::int32_t* held = std::remove(tree.bag, end, -1);
  std::fill(held, end, -1);
  Rng rng(tree.rng);
  bool changed = false;
  for (const std::int64_t n_before = std::min<std::int64_t>(kBagSize, known); held - tree.bag < n_before;) {
    const std::int32_t j = order[rng.below(static_cast<std::uint64_t>(known))];
    if (std::find(tree.bag, held, j) == held) *held++ = j, changed = true;
  }
  for (std::int64_t j = known; j < tree.n_features; ++j) {  // reservoir sampling
    const std::int64_t place =
        j < kBagSize ? j : static_cast<std::int64_t>(rng.below(static_cast<std::uint64_t>(j) + 1));
    if (place >= kBagSize) continue;
    changed |= tree.bag[place] >= 0;
    tree.bag[place] = order[j];
  }
  return changed;
}

// Gather what a tree with a bag sees of a row; the rest is `fill`.
template <class T>
NK_INLINE void gather_bag(const std::int32_t* bag, const T* from, T fill, T* to) {
  for (int k = 0; k < kBagWidth; ++k) to[k] = fill;
  for (int k = 0; k < kBagSize; ++k) {
    if (bag[k] >= 0) to[k] = from[bag[k]];
  }
}

}  // namespace imondrian::NK_ISA

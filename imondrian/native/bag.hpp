// Bags: every other tree of a forest for the spacing score sees a few features only, drawn at random.
// On wide data most features are noise to any one anomaly; trees that miss them see it.
//
// A bag is nothing but rates: those outside it are so small that their cuts come after all others. So
// points that agree in the bag are still told apart, and learning and forgetting stay exact. Extents
// (spacing.hpp) leave features outside the bag out altogether.
#pragma once

#include <algorithm>
#include <limits>

#include "nativekit/simd.hpp"
#include "rng.hpp"
#include "view.hpp"

namespace imondrian {

constexpr int kBagWidth = 8;           // a bag's features as a row: whole packs in either precision
constexpr double kOutside = 0x1.0p-60; // rate of a feature outside, against one inside

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

// Bring a tree's bag from `known` features up to all: every subset of a size is as likely as another
// (reservoir sampling, after filling places that dropped features have left). Returns whether the tree sees
// some of the known features in another way than before.
template <class T>
bool draw_bag(Tree<T>& tree, std::int64_t known) {
  bool left = false;
  Rng rng(tree.rng);
  for (int place = 0; place < std::min<std::int64_t>(kBagSize, known); ++place) {
    while (tree.bag[place] < 0) {
      const auto j = static_cast<std::int32_t>(rng.below(static_cast<std::uint64_t>(known)));
      if (std::find(tree.bag, tree.bag + place, j) == tree.bag + place) tree.bag[place] = j;
      left = true;
    }
  }
  for (std::int64_t j = known; j < tree.n_features; ++j) {
    const auto drawn = [&] { return static_cast<std::int64_t>(rng.below(static_cast<std::uint64_t>(j) + 1)); };
    const std::int64_t place = j < kBagSize ? j : drawn();
    if (place >= kBagSize) continue;
    left |= tree.bag[place] >= 0;
    tree.bag[place] = static_cast<std::int32_t>(j);
  }
  return left;
}

// Gather what a tree with a bag sees of a row; the rest is `fill`.
template <class T>
NK_INLINE void gather_bag(const std::int32_t* bag, const T* from, T fill, T* to) {
  for (int k = 0; k < kBagWidth; ++k) to[k] = fill;
  for (int k = 0; k < kBagSize; ++k) {
    if (bag[k] >= 0) to[k] = from[bag[k]];
  }
}

}  // namespace imondrian

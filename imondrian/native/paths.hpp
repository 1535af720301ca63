// Scores of one tree on its own columns: the paper's depth, and the depth under virtual insertion.
#pragma once

#include <cmath>

#include "box.hpp"

namespace imondrian {

// c(n): the mean depth of an unsuccessful search in a binary search tree of n keys, the expected
// depth that a leaf of mass n hides (Liu, Ting and Zhou 2008, equation 1). Straight line from
// c(1) = 0 to c(2) = 1 for fractional masses.
inline double hidden_depth(double n) {
  constexpr double kEuler = 0.57721566490153286061;
  if (n <= 1.0) return 0.0;
  if (n <= 2.0) return n - 1.0;
  return 2.0 * (std::log(n - 1.0) + kEuler) - 2.0 * (n - 1.0) / n;
}

// Leaf depth + c(leaf mass).
template <class T>
NK_INLINE double leaf_depth(const Tree<T>& tree, const T* x) {
  std::int32_t v = tree.root();
  double depth = 0.0;
  while (v >= 0) {
    v = tree.next(v, x);
    depth += 1.0;
  }
  const double mass = tree.leaf_mass[~v];
  return mass > 1.0 ? depth + hidden_depth(mass) : depth;
}

// Expected depth of x if it were inserted: at a node reached with probability p and left at
// distance eta for its lifetime, x separates with probability 1 - exp(-eta * lifetime) and would
// hang one below. A point that is already stored keeps its leaf: depth + c(mass).
template <class T>
NK_INLINE double insertion_depth(const Tree<T>& tree, const T* x) {
  const std::int64_t width = tree.width;
  double expected = 0.0, reached = 1.0, depth = 0.0, born = 0.0;
  std::int32_t v = tree.root();
  while (v >= 0) {
    const double distance =
        separation_rate(x, tree.lower + v * width, tree.upper + v * width, tree.rate, width);
    depth += 1.0;
    if (distance > 0.0) {
      const double stays = std::exp(-distance * (tree.time[v] - born));
      expected += reached * (1.0 - stays) * depth;
      reached *= stays;
      // What is left can change the sum by less than rounding does.
      if (reached < 1e-17) return expected;
    }
    born = tree.time[v];
    v = tree.next(v, x);
  }
  const T* held = tree.lower_of(v);
  const bool outside = separation_rate(x, held, held, tree.rate, width) > 0.0;
  return expected + reached * (depth + (outside ? 1.0 : hidden_depth(tree.leaf_mass[~v])));
}

}  // namespace imondrian

// The masses of nodes, kept up where points come and go.
#pragma once

#include "base/view.hpp"
#include "nativekit/simd.hpp"

namespace imondrian::NK_ISA {

// What a point weighs, and how much of that is clean (fit/clean_mass.hpp).
struct Amount {
  double mass, clean;
};

// Add to the masses of v, and of nothing above.
template <class T>
NK_INLINE void add_amount(Tree<T>& tree, std::int32_t v, Amount amount) {
  tree.mass[v] += amount.mass;
  if (tree.clean) tree.clean[v] += amount.clean;
}

// Make the masses of v the sums of its children's (I3, I12).
template <class T>
NK_INLINE void sum_children(Tree<T>& tree, std::int32_t v) {
  const std::int32_t left = tree.child[2 * std::int64_t{v}], right = tree.child[2 * std::int64_t{v} + 1];
  tree.mass[v] = tree.mass_of(left) + tree.mass_of(right);
  if (tree.clean) tree.clean[v] = tree.clean_of(left) + tree.clean_of(right);
}

}  // namespace imondrian::NK_ISA

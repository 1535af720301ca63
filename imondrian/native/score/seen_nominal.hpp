// The nominal features that a tree sees, and what levels of them cost that nothing clean near by has (see spacing.hpp).
#pragma once

#include <algorithm>
#include <cstdint>

#include "tree/box.hpp"
#include "tree/levels.hpp"

namespace imondrian::NK_ISA {

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

// A point that a tree holds already, seen without one copy of it.
struct Held {
  std::int32_t but = kNobody;  // its leaf, unless another copy there is clean
  double mass = 0.0;           // of the copy
};

// Call visit(slot) for leaves below v until it says that it has seen enough.
template <class T, class Visit>
void visit_leaves(const Tree<T>& tree, std::int32_t v, const Visit& visit) {
  std::int32_t at = v;
  while (true) {
    while (at >= 0) at = tree.child[2 * std::int64_t{at}];
    if (visit(~at)) return;
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

// The nominal features that a tree sees: no more than kMostSeen, as no forest with such has edition 0.
struct SeenNominal {
  std::int32_t n = 0;
  std::int32_t table[kMostSeen], feature[kMostSeen], place[kMostSeen];  // among nominal, all, and seen features

  template <class T>
  void look_at(const Tree<T>& tree, const std::int32_t* bag, std::int64_t n_seen) {
    n = 0;
    for (std::int64_t i = 0; i < n_seen && tree.kinds.any(); ++i) {
      const std::int32_t j = bag ? bag[i] : static_cast<std::int32_t>(i);
      if (!tree.kinds.is_nominal(j)) continue;
      const std::int32_t* const which = tree.kinds.which;
      table[n] = static_cast<std::int32_t>(std::lower_bound(which, which + tree.kinds.n, j) - which);
      feature[n] = j, place[n++] = static_cast<std::int32_t>(i);
    }
  }
  // A bit for each of them of which row x has a level that no clean point below v has.
  template <class T>
  std::uint64_t strange(const Tree<T>& tree, std::int32_t v, const T* x, std::int32_t but) const {
    std::uint64_t open = 0, strange = 0;
    for (std::int32_t k = 0; k < n; ++k) {
      const std::int32_t j = feature[k];
      const bool here = x[j] == x[j];
      const bool outside = here && tree.lower && bits_outside(x[j], tree.lower_of(v)[j], tree.upper_of(v)[j]) != 0;
      strange |= std::uint64_t{outside} << k;
      open |= std::uint64_t{here && !outside} << k;
    }
    if (open == 0) return strange;
    visit_leaves(tree, v, [&](std::int32_t leaf) {
      if (leaf == but || !(tree.leaf_clean[leaf] > 0.0)) return false;
      const T* const point = tree.lower_of(~leaf);
      for (std::uint64_t left = open; left != 0; left &= left - 1) {
        const int k = nativekit::lowest_bit(left);
        if (point[feature[k]] == x[feature[k]]) open &= ~(std::uint64_t{1} << k);
      }
      return open == 0;
    });
    return strange | open;
  }
  // What the level of x costs there (tree/levels.hpp).
  template <class T>
  double cost(const Tree<T>& tree, std::int32_t k, T word, double own) const {
    const LevelTable<T> levels(tree, table[k]);
    return level_cost(tree, feature[k], levels.find(word) - own, levels.total() - own);
  }
};

}  // namespace imondrian::NK_ISA

// Restriction: take a point out of a Mondrian tree so that the law of what remains is that of a
// fresh build on the survivors. O(depth * d).
#pragma once

#include "box.hpp"
#include "pool.hpp"

namespace imondrian {

// The leaf that holds exactly x, or -1.
template <class T>
NK_INLINE std::int32_t find_leaf(const Tree<T>& tree, const T* x) {
  if (tree.empty()) return kNobody;
  std::int32_t v = tree.root();
  while (v >= 0) v = tree.next(v, x);
  const T* held = tree.lower_of(v);
  for (std::int64_t j = 0; j < tree.n_features; ++j) {
    if (held[j] != x[j] && (held[j] == held[j] || x[j] == x[j])) return kNobody;
  }
  return ~v;
}

// Take `mass` from a leaf. When nothing is left the leaf goes: its parent is spliced out, and boxes
// shrink on the way up for as long as the point lay on their border. Returns whether the leaf died.
// `whole` promises that all masses are whole numbers, whose differences are exact.
template <class T>
NK_INLINE bool remove(Tree<T>& tree, std::int32_t leaf, double mass, bool whole) {
  const bool dies = !(tree.leaf_mass[leaf] > mass);
  if (dies) mass = tree.leaf_mass[leaf];
  std::int32_t up = tree.leaf_parent[leaf];
  if (!dies) {
    tree.leaf_mass[leaf] -= mass;
  } else {
    if (up == kNobody) {
      give_leaf(tree, leaf);
      return true;
    }
    const std::int32_t gone = up;
    const std::int32_t left = tree.child[2 * std::int64_t{gone}];
    const std::int32_t sibling = left == ~leaf ? tree.child[2 * std::int64_t{gone} + 1] : left;
    up = tree.parent[gone];
    tree.replace_child(up, gone, sibling);
    give_node(tree, gone);
  }
  const T* x = tree.points + std::int64_t{tree.leaf_point[leaf]} * tree.width;
  bool shrinking = dies;
  for (; up != kNobody; up = tree.parent[up]) {
    tree.mass[up] = whole ? tree.mass[up] - mass
                          : tree.mass_of(tree.child[2 * std::int64_t{up}]) +
                                tree.mass_of(tree.child[2 * std::int64_t{up} + 1]);
    // A point inside a box is inside every box around it: nothing above can change.
    if (shrinking) shrinking = on_border(x, tree.lower + up * tree.width, tree.upper + up * tree.width, tree.width);
    if (shrinking) unite_children(tree, up);
  }
  if (dies) give_leaf(tree, leaf);
  return dies;
}

}  // namespace imondrian

// Node and leaf slots of one tree: taken from the free list, or from above the high-water mark.
#pragma once

#include "base/view.hpp"

namespace imondrian::NK_ISA {

template <class T>
std::int32_t take_node(Tree<T>& tree) {
  const std::int32_t v = tree.header[kFreeNode];
  if (v == kNobody) return tree.header[kNodeMark]++;
  tree.header[kFreeNode] = tree.child[2 * std::int64_t{v}];
  return v;
}

template <class T>
void give_node(Tree<T>& tree, std::int32_t v) {
  tree.feature[v] = kFree;
  tree.child[2 * std::int64_t{v}] = tree.header[kFreeNode];
  tree.header[kFreeNode] = v;
}

template <class T>
std::int32_t take_leaf(Tree<T>& tree, std::int32_t point, double mass) {
  std::int32_t slot = tree.header[kFreeLeaf];
  if (slot == kNobody) {
    slot = tree.header[kLeafMark]++;
  } else {
    tree.header[kFreeLeaf] = tree.leaf_parent[slot];
  }
  tree.leaf_point[slot] = point;
  tree.leaf_mass[slot] = mass;
  ++tree.header[kLeaves];
  return slot;
}

template <class T>
void give_leaf(Tree<T>& tree, std::int32_t slot) {
  tree.leaf_point[slot] = kFree;
  tree.leaf_parent[slot] = tree.header[kFreeLeaf];
  tree.header[kFreeLeaf] = slot;
  --tree.header[kLeaves];
}

template <class T>
void clear(Tree<T>& tree) {
  tree.header[kRoot] = tree.header[kFreeNode] = tree.header[kFreeLeaf] = kNobody;
  tree.header[kLeaves] = tree.header[kNodeMark] = tree.header[kLeafMark] = 0;
}

}  // namespace imondrian::NK_ISA

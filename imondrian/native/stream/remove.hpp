// Restriction: take a point out of a Mondrian tree so that the law of what remains is that of a
// fresh build on the survivors. O(depth * d).
#pragma once

#include <algorithm>
#include <vector>

#include "score/depth_score.hpp"
#include "tree/box.hpp"
#include "tree/mass.hpp"
#include "tree/slots.hpp"

namespace imondrian::NK_ISA {

// How a stored point answers to x: exactly, missing values included; as one that x may have joined, for
// it agrees wherever both have values; or not.
enum class Match : int { kNone, kJoined, kExact };
template <class T>
NK_INLINE Match match(const T* held, const T* x, std::int64_t n_features) {
  bool exact = true;
  for (std::int64_t j = 0; j < n_features; ++j) {
    if (held[j] == x[j]) continue;
    const bool has = x[j] == x[j], had = held[j] == held[j];
    if (has && had) return Match::kNone;
    exact &= !has && !had;
  }
  return exact ? Match::kExact : Match::kJoined;
}

// The leaf that x, learnt just now, would be in if it is there already, or -1.
template <class T>
NK_INLINE std::int32_t find_leaf(const Tree<T>& tree, const T* x) {
  if (tree.empty()) return kNobody;
  const std::int32_t v = leaf_under(tree, x);
  return match(tree.lower_of(v), x, tree.n_features) == Match::kExact ? ~v : kNobody;
}

// The leaf that holds x, which may lack values: on either side of a cut that asks for one. An exact
// match goes before the first leaf that x may have joined, which then holds more than its own point.
// left_in(leaf) is the mass that counts; `stack` is scratch.
template <class T, class LeftIn>
std::int32_t find_held(const Tree<T>& tree, const T* x, const LeftIn& left_in, std::vector<std::int32_t>& stack) {
  std::int32_t joined = kNobody;
  stack.clear();
  if (!tree.empty()) stack.push_back(tree.root());
  while (!stack.empty()) {
    std::int32_t v = stack.back();
    stack.pop_back();
    while (v >= 0) {
      const std::int32_t left = tree.child[2 * std::int64_t{v}], right = tree.child[2 * std::int64_t{v} + 1];
      const T value = x[tree.feature[v]];
      if (value != value) stack.push_back(right);
      v = value == value && tree.is_right(v, value) ? right : left;
    }
    const double mass = left_in(~v);
    if (!(mass > 0.0)) continue;
    const Match found = match(tree.lower_of(v), x, tree.n_features);
    if (found == Match::kExact) return ~v;
    if (found == Match::kJoined && mass > 1.0 && joined == kNobody) joined = ~v;
  }
  return joined;
}

// Take `mass` from a leaf. When nothing is left the leaf goes: its parent is spliced out, and boxes
// shrink on the way up for as long as the point alone held their border. Returns whether the leaf died.
// `whole` promises that all masses are whole numbers, whose differences are exact; `clean` is how much of
// the mass is (fit/clean_mass.hpp).
template <class T>
NK_INLINE bool remove(Tree<T>& tree, std::int32_t leaf, double mass, double clean, bool whole) {
  const bool dies = !(tree.leaf_mass[leaf] > mass);
  if (dies) mass = tree.leaf_mass[leaf];
  std::int32_t up = tree.leaf_parent[leaf];
  if (!dies) {
    tree.leaf_mass[leaf] -= mass;
    if (tree.clean) tree.leaf_clean[leaf] = std::clamp(tree.leaf_clean[leaf] - clean, 0.0, tree.leaf_mass[leaf]);
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
  // Where a box stays as it is nothing above can change: the point is inside, or others share the border.
  for (std::int32_t v = up; dies && v != kNobody && unite_children(tree, v);) v = tree.parent[v];
  if (whole) {
    for (; up != kNobody; up = tree.parent[up]) add_amount(tree, up, {-mass, -clean});
  } else {
    for (; up != kNobody; up = tree.parent[up]) sum_children(tree, up);
  }
  if (dies) give_leaf(tree, leaf);
  return dies;
}

}  // namespace imondrian::NK_ISA

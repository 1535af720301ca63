// Conditional extension: add one point to a Mondrian tree so that the law of the tree is that of a
// fresh build on all its points (Lakshminarayanan, Roy and Teh 2014, Algorithms 3-4).
//
// Algorithm 4 draws an exponential wait at every node of the path. One unit exponential for the
// whole path is the same law: the waits are the first event of one Poisson process whose rate,
// while node v is alive, is the point's distance from v's box.
#pragma once

#include <algorithm>

#include "tree/box.hpp"
#include "tree/mass.hpp"
#include "tree/slots.hpp"

namespace imondrian::NK_ISA {

// What parts a point from a box: the feature, where it is cut, and whether the point lies right of that.
template <class T>
struct Parting {
  std::int64_t feature;
  T threshold;
  bool above;
};

template <class T>
NK_INLINE Parting<T> draw_parting_of(const T* x, const T* lo, const T* hi, std::int64_t f, double u) {
  const bool above = x[f] > hi[f];
  return {f, draw_threshold(above ? hi[f] : x[f], above ? x[f] : lo[f], u), above};
}
template <class T>
NK_INLINE Parting<T> draw_parting(const Tree<T>& tree, const T* x, const T* lo, const T* hi, double distance,
                                  Rng& rng) {
  const Excesses<T> outside{x, lo, hi, tree.rate};
  const std::int64_t f = draw_feature(outside, tree.n_features, distance, rng.uniform());
  return draw_parting_of(x, lo, hi, f, rng.uniform());
}
template <class T>
Parting<T> draw_mixed_parting(const Tree<T>& tree, const T* x, const T* lo, const T* hi, double distance, Rng& rng) {
  const MixedExcesses<T> outside{{x, lo, hi, tree.rate}, tree.kinds};
  const std::int64_t f = draw_feature(outside, tree.n_features, distance, rng.uniform());
  const double u = rng.uniform();
  if (!tree.kinds.is_nominal(f)) return draw_parting_of(x, lo, hi, f, u);
  const int bit = draw_bit(bits_outside(x[f], lo[f], hi[f]), u);
  return {f, static_cast<T>(bit), has_bit(x[f], bit)};
}

// Cut x off above v at `time`: v and a new leaf become children of a new node. Returns the leaf.
template <class T>
NK_INLINE std::int32_t split_above(Tree<T>& tree, std::int32_t v, const T* x, std::int32_t row, Amount amount,
                                   double distance, double time, Rng& rng) {
  const std::int64_t width = tree.width;
  const T* lo = tree.lower_of(v);
  const T* hi = tree.upper_of(v);
  const Parting<T> cut = tree.kinds.any() ? draw_mixed_parting(tree, x, lo, hi, distance, rng)
                                          : draw_parting(tree, x, lo, hi, distance, rng);
  const bool above = cut.above;
  const std::int32_t parent = tree.parent_of(v);
  const std::int32_t node = take_node(tree);
  const std::int32_t leaf = take_leaf(tree, row, amount.mass);
  tree.feature[node] = static_cast<std::int32_t>(cut.feature);
  tree.threshold[node] = cut.threshold;
  tree.time[node] = time;
  tree.mass[node] = tree.mass_of(v) + amount.mass;
  if (tree.clean) {
    tree.leaf_clean[leaf] = amount.clean;
    tree.clean[node] = tree.clean_of(v) + amount.clean;
  }
  T* new_lo = tree.lower + node * width;
  T* new_hi = tree.upper + node * width;
  const bool first_value = adds_value(x, lo, width);
  copy_row(new_lo, lo, width);
  copy_row(new_hi, hi, width);
  grow_box(tree, new_lo, new_hi, x);
  tree.replace_child(parent, v, node);
  tree.child[2 * std::int64_t{node} + (above ? 0 : 1)] = v;
  tree.child[2 * std::int64_t{node} + (above ? 1 : 0)] = ~leaf;
  tree.parent_of(v) = node;
  tree.leaf_parent[leaf] = node;
  // A value that v lacks may be missing from boxes above, too, where x passed at distance 0; one that
  // v has, they have.
  for (std::int32_t up = parent; first_value && up != kNobody; up = tree.parent[up]) {
    grow_box(tree, tree.lower + up * width, tree.upper + up * width, x);
  }
  return leaf;
}

struct Inserted {
  std::int32_t leaf;    // the slot that holds the point now
  std::int32_t let_go;  // the row that the tree does not keep: the point's own when it was there already,
                        // its leaf's when that lacked one of its values, or nobody's
};

// Add a point to its path's nodes whose boxes contain it: no cut falls between it and them. Returns the first
// place below them, or the root. Most of a path contains most points, and is found from the leaf up.
template <class T>
NK_INLINE std::int32_t pass_containing(Tree<T>& tree, const T* x, std::int32_t leaf, Amount amount) {
  const std::int64_t width = tree.width;
  std::int32_t start = leaf, up = tree.parent_of(leaf);
  while (up != kNobody && !contains(tree, x, tree.lower + up * width, tree.upper + up * width)) {
    start = up;
    up = tree.parent[up];
  }
  for (; up != kNobody; up = tree.parent[up]) add_amount(tree, up, amount);
  return start;
}

// Add a point that no cut separates from what its leaf holds; `grew`: whether its path's boxes did.
template <class T>
NK_INLINE Inserted join_leaf(Tree<T>& tree, std::int32_t leaf, const T* x, std::int32_t row, Amount amount, bool grew) {
  tree.leaf_mass[leaf] += amount.mass;
  if (tree.clean) tree.leaf_clean[leaf] += amount.clean;
  const std::int32_t let_go = tree.leaf_point[leaf];
  // A point with a value that the leaf's lacks takes it over: so a window shows what is in it also where points
  // of one leaf have come to lack what the first ones had.
  const bool takes_over = adds_value(x, tree.lower_of(~leaf), tree.width);
  if (takes_over) tree.leaf_point[leaf] = row;
  // Only missing values bring a point from outside a box into a leaf inside it, or change a leaf.
  for (std::int32_t up = tree.leaf_parent[leaf]; (grew || takes_over) && up != kNobody; up = tree.parent[up]) {
    unite_children(tree, up);
  }
  return {leaf, takes_over ? let_go : row};
}

// Insert the stored point `row` with a mass above 0; the tree keeps boxes and has a free node and leaf.
// `leaf`: where the point's path ends (~slot), unless the tree is empty.
template <class T>
NK_INLINE Inserted insert(Tree<T>& tree, std::int32_t row, std::int32_t leaf, Amount amount) {
  const std::int64_t width = tree.width;
  const T* x = tree.points + std::int64_t{row} * width;
  if (tree.empty()) {
    const std::int32_t slot = take_leaf(tree, row, amount.mass);
    if (tree.clean) tree.leaf_clean[slot] = amount.clean;
    tree.leaf_parent[slot] = kNobody;
    tree.header[kRoot] = ~slot;
    return {slot, kNobody};
  }
  Rng rng(tree.rng);
  // Drawn when it first matters: a point that is there already leaves the generator alone, so that a
  // weight is exactly that many copies.
  double wait = -1.0;
  bool grew = false;
  std::int32_t v = pass_containing(tree, x, leaf, amount);
  double born = tree.parent_of(v) == kNobody ? 0.0 : tree.time[tree.parent_of(v)];
  for (; v >= 0; v = tree.next(v, x)) {
    T* lo = tree.lower + v * width;
    T* hi = tree.upper + v * width;
    const double distance = separation_rate(tree, x, lo, hi);
    const double lifetime = tree.time[v] - born;
    if (distance > 0.0) {
      if (wait < 0.0) wait = rng.exponential();
      if (wait < distance * lifetime) {
        double time = later(born, wait, distance);
        // Rounding may land on the node's own time; a parent must be strictly older (I5).
        if (time >= tree.time[v]) time = std::nextafter(tree.time[v], 0.0);
        if (time > born) return {split_above(tree, v, x, row, amount, distance, time, rng), kNobody};
      }
      wait = std::max(wait - distance * lifetime, 0x1.0p-54);
      grow_box(tree, lo, hi, x);
      grew = true;
    }
    add_amount(tree, v, amount);
    born = tree.time[v];
  }
  const T* held = tree.lower_of(v);
  const double distance = separation_rate(tree, x, held, held);
  if (distance > 0.0) {
    if (wait < 0.0) wait = rng.exponential();
    return {split_above(tree, v, x, row, amount, distance, later(born, wait, distance), rng), kNobody};
  }
  return join_leaf(tree, ~v, x, row, amount, grew);
}

}  // namespace imondrian::NK_ISA

// Conditional extension: add one point to a Mondrian tree so that the law of the tree is that of a
// fresh build on all its points (Lakshminarayanan, Roy and Teh 2014, Algorithms 3-4).
//
// Algorithm 4 draws an exponential wait at every node of the path. One unit exponential for the
// whole path is the same law: the waits are the first event of one Poisson process whose rate,
// while node v is alive, is the point's distance from v's box.
#pragma once

#include <algorithm>

#include "box.hpp"
#include "paths.hpp"
#include "pool.hpp"

namespace imondrian {

// What a point weighs, and how much of that is clean (trim.hpp).
struct Amount {
  double mass, clean;
};

// Cut x off above v at `time`: v and a new leaf become children of a new node. Returns the leaf.
template <class T>
NK_INLINE std::int32_t split_above(Tree<T>& tree, std::int32_t v, const T* x, std::int32_t row,
                                   Amount amount, double distance, double time, Rng& rng) {
  const std::int64_t width = tree.width;
  const T* lo = tree.lower_of(v);
  const T* hi = tree.upper_of(v);
  const std::int64_t f =
      draw_feature(tree.n_features, distance, rng.uniform(), [&](std::int64_t j, double scale) {
        const double at = static_cast<double>(x[j]) * scale;
        return excess(at, static_cast<double>(lo[j]) * scale, static_cast<double>(hi[j]) * scale) *
               (static_cast<double>(tree.rate[j]) * scale);
      });
  const bool above = x[f] > hi[f];
  const T threshold = above ? draw_threshold(hi[f], x[f], rng.uniform())
                            : draw_threshold(x[f], lo[f], rng.uniform());
  const std::int32_t parent = tree.parent_of(v);
  const std::int32_t node = take_node(tree);
  const std::int32_t leaf = take_leaf(tree, row, amount.mass);
  tree.feature[node] = static_cast<std::int32_t>(f);
  tree.threshold[node] = threshold;
  tree.time[node] = time;
  tree.mass[node] = tree.mass_of(v) + amount.mass;
  if (tree.clean) {
    tree.leaf_clean[leaf] = amount.clean;
    tree.clean[node] = tree.clean_of(v) + amount.clean;
  }
  T* new_lo = tree.lower + node * width;
  T* new_hi = tree.upper + node * width;
  const bool first_value = gives_first_value(x, lo, width);
  copy_row(new_lo, lo, width);
  copy_row(new_hi, hi, width);
  grow_box(new_lo, new_hi, x, width);
  tree.replace_child(parent, v, node);
  tree.child[2 * std::int64_t{node} + (above ? 0 : 1)] = v;
  tree.child[2 * std::int64_t{node} + (above ? 1 : 0)] = ~leaf;
  tree.parent_of(v) = node;
  tree.leaf_parent[leaf] = node;
  // A value that v lacks may be missing from boxes above, too, where x passed at distance 0; one that
  // v has, they have.
  for (std::int32_t up = parent; first_value && up != kNobody; up = tree.parent[up]) {
    grow_box(tree.lower + up * width, tree.upper + up * width, x, width);
  }
  return leaf;
}

// Whether x has a value that `held` lacks. It then takes over the leaf: so a window shows what is in it
// also where points of one leaf have come to lack what the first ones had.
template <class T>
NK_INLINE bool adds_value(const T* x, const T* held, std::int64_t width) {
  bool any = false;
  for (std::int64_t j = 0; j < width; ++j) any |= (held[j] != held[j]) & (x[j] == x[j]);
  return any;
}

struct Inserted {
  std::int32_t leaf;    // the slot that holds the point now
  std::int32_t let_go;  // the row that the tree does not keep: the point's own when it was there already,
                        // its leaf's when that lacked one of its values, or nobody's
  double depth;         // the point's score from just before (0 when none was asked for)
};

// What insert() gathers on its way: scores read the path that insertion walks anyway.
enum class Gather : int { kDepth = 0, kInsertion = 1, kNothing = 2 };

template <Gather kGather, class T>
NK_INLINE double finish(const Tree<T>& tree, const T* x, const Walk& walk) {
  if (kGather == Gather::kDepth) return finish_depth(tree, x, walk);
  if (kGather == Gather::kInsertion) return walk.gone() ? walk.expected : finish_insertion(tree, x, walk);
  return 0.0;
}

// Insert the stored point `row` with a mass above 0; the tree keeps boxes and has a free node and leaf.
template <Gather kGather, class T>
NK_INLINE Inserted insert(Tree<T>& tree, std::int32_t row, Amount amount) {
  const std::int64_t width = tree.width;
  const T* x = tree.points + std::int64_t{row} * width;
  if (tree.empty()) {
    const std::int32_t leaf = take_leaf(tree, row, amount.mass);
    if (tree.clean) tree.leaf_clean[leaf] = amount.clean;
    tree.leaf_parent[leaf] = kNobody;
    tree.header[kRoot] = ~leaf;
    return {leaf, kNobody, 0.0};
  }
  Rng rng(tree.rng);
  // Drawn when it first matters: a point that is there already leaves the generator alone, so that a
  // weight is exactly that many copies.
  double wait = -1.0;
  bool grew = false;
  Walk walk{tree.root()};
  while (walk.node >= 0) {
    const std::int32_t v = walk.node;
    T* lo = tree.lower + v * width;
    T* hi = tree.upper + v * width;
    const double distance = separation_rate(x, lo, hi, tree.rate, width);
    const double lifetime = tree.time[v] - walk.born;
    if (distance > 0.0) {
      if (wait < 0.0) wait = rng.exponential();
      if (wait < distance * lifetime) {
        double time = later(walk.born, wait, distance);
        // Rounding may land on the node's own time; a parent must be strictly older (I5).
        if (time >= tree.time[v]) time = std::nextafter(tree.time[v], 0.0);
        if (time > walk.born) {
          const double depth = finish<kGather>(tree, x, walk);
          return {split_above(tree, v, x, row, amount, distance, time, rng), kNobody, depth};
        }
      }
      wait = std::max(wait - distance * lifetime, 0x1.0p-54);
      grow_box(lo, hi, x, width);
      grew = true;
    }
    if (kGather == Gather::kInsertion) {
      if (!walk.gone()) walk.pass(distance, lifetime);
    } else if (kGather == Gather::kDepth) {
      walk.depth += 1.0;
    }
    tree.mass[v] += amount.mass;
    if (tree.clean) tree.clean[v] += amount.clean;
    walk.born = tree.time[v];
    walk.node = tree.next(v, x);
  }
  const double depth = finish<kGather>(tree, x, walk);
  const T* held = tree.lower_of(walk.node);
  const double distance = separation_rate(x, held, held, tree.rate, width);
  if (distance > 0.0) {
    if (wait < 0.0) wait = rng.exponential();
    const double time = later(walk.born, wait, distance);
    return {split_above(tree, walk.node, x, row, amount, distance, time, rng), kNobody, depth};
  }
  tree.leaf_mass[~walk.node] += amount.mass;
  if (tree.clean) tree.leaf_clean[~walk.node] += amount.clean;
  const std::int32_t let_go = tree.leaf_point[~walk.node];
  const bool takes_over = adds_value(x, held, width);
  if (takes_over) tree.leaf_point[~walk.node] = row;
  // Only missing values bring a point from outside a box into a leaf inside it, or change a leaf.
  for (std::int32_t up = tree.leaf_parent[~walk.node]; (grew || takes_over) && up != kNobody; up = tree.parent[up]) {
    unite_children(tree, up);
  }
  return {~walk.node, takes_over ? let_go : row, depth};
}

}  // namespace imondrian

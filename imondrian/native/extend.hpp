// Conditional extension: add one point to a Mondrian tree so that the law of the tree is that of a
// fresh build on all its points (Lakshminarayanan, Roy and Teh 2014, Algorithms 3-4).
//
// Algorithm 4 draws an exponential wait at every node of the path. One unit exponential for the
// whole path is the same law: the waits are the first event of one Poisson process whose rate,
// while node v is alive, is the point's distance from v's box.
#pragma once

#include "box.hpp"
#include "pool.hpp"

namespace imondrian {

// Cut x off above v at `time`: v and a new leaf become children of a new node. Returns the leaf.
template <class T>
NK_INLINE std::int32_t split_above(Tree<T>& tree, std::int32_t v, const T* x, std::int32_t row,
                                   double mass, double distance, double time, Rng& rng) {
  const std::int64_t width = tree.width;
  const T* lo = tree.lower_of(v);
  const T* hi = tree.upper_of(v);
  const std::int64_t f =
      draw_feature(tree.n_features, distance, rng.uniform(), [&](std::int64_t j, double scale) {
        const double at = static_cast<double>(x[j]) * scale;
        return excess(at, static_cast<double>(lo[j]) * scale, static_cast<double>(hi[j]) * scale) *
               static_cast<double>(tree.rate[j]);
      });
  const bool above = x[f] > hi[f];
  const T threshold = above ? draw_threshold(hi[f], x[f], rng.uniform())
                            : draw_threshold(x[f], lo[f], rng.uniform());
  const std::int32_t parent = tree.parent_of(v);
  const std::int32_t node = take_node(tree);
  const std::int32_t leaf = take_leaf(tree, row, mass);
  tree.feature[node] = static_cast<std::int32_t>(f);
  tree.threshold[node] = threshold;
  tree.time[node] = time;
  tree.mass[node] = tree.mass_of(v) + mass;
  T* new_lo = tree.lower + node * width;
  T* new_hi = tree.upper + node * width;
  copy_row(new_lo, lo, width);
  copy_row(new_hi, hi, width);
  grow_box(new_lo, new_hi, x, width);
  tree.replace_child(parent, v, node);
  tree.child[2 * std::int64_t{node} + (above ? 0 : 1)] = v;
  tree.child[2 * std::int64_t{node} + (above ? 1 : 0)] = ~leaf;
  tree.parent_of(v) = node;
  tree.leaf_parent[leaf] = node;
  return leaf;
}

// Insert the stored point `row` with `mass` > 0; the tree keeps boxes and has a free node and leaf.
// Returns the leaf slot that holds it: `created` says whether it is new (else x was there already).
template <class T>
NK_INLINE std::int32_t insert(Tree<T>& tree, std::int32_t row, double mass, bool& created) {
  const std::int64_t width = tree.width;
  const T* x = tree.points + std::int64_t{row} * width;
  created = true;
  if (tree.empty()) {
    const std::int32_t leaf = take_leaf(tree, row, mass);
    tree.leaf_parent[leaf] = kNobody;
    tree.header[kRoot] = ~leaf;
    return leaf;
  }
  Rng rng(tree.rng);
  double wait = rng.exponential();
  double born = 0.0;
  std::int32_t v = tree.root();
  while (v >= 0) {
    T* lo = tree.lower + v * width;
    T* hi = tree.upper + v * width;
    const double distance = separation_rate(x, lo, hi, tree.rate, width);
    if (distance > 0.0) {
      const double lifetime = tree.time[v] - born;
      if (wait < distance * lifetime) {
        double time = later(born, wait, distance);
        // Rounding may land on the node's own time; a parent must be strictly older (I5).
        if (time >= tree.time[v]) time = std::nextafter(tree.time[v], 0.0);
        if (time > born) {
          const std::int32_t leaf = split_above(tree, v, x, row, mass, distance, time, rng);
          return leaf;
        }
      }
      wait -= distance * lifetime;
      if (!(wait > 0.0)) wait = 0x1.0p-54;
      grow_box(lo, hi, x, width);
    }
    tree.mass[v] += mass;
    born = tree.time[v];
    v = tree.next(v, x);
  }
  const T* held = tree.lower_of(v);
  const double distance = separation_rate(x, held, held, tree.rate, width);
  if (distance > 0.0) {
    return split_above(tree, v, x, row, mass, distance, later(born, wait, distance), rng);
  }
  created = false;
  tree.leaf_mass[~v] += mass;
  return ~v;
}

}  // namespace imondrian

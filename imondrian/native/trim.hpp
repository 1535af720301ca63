// Which points of a batch keep their clean mass: all but the fifth that scores highest itself, found in
// two rounds. The first goes by depth; the second by the depth at which clean mass runs out, so
// that what hid behind other anomalies in the first shows. Every point is judged without its own mass.
//
// Scores are compared after rounding to kGrain, and ties stay together: flags depend neither on the rows' order nor on
// how sums were ordered, and a weight is that many copies.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "blocks.hpp"
#include "spacing.hpp"

namespace imondrian {

constexpr double kFlagged = 0.2;         // of the points, at most
constexpr double kGrain = 0x1.0p-20;     // levels

// The rows each tree was built from: n_sample places a tree.
struct Samples {
  std::int64_t n_sample = 0, n_points = 0;
  std::vector<std::int32_t> row;    // of the store
  std::vector<std::int32_t> leaf;   // slot in the tree
  std::vector<std::int32_t> point;  // its number among all points that some tree holds
  std::vector<std::int32_t> stored; // (n_points,) a row of the store that is the point
  const double* weight = nullptr;   // by row; null: 1

  bool all_in_all(std::int64_t n_trees) const { return n_points * n_trees == static_cast<std::int64_t>(row.size()); }
  double mass(std::int64_t i) const { return weight ? weight[row[i]] : 1.0; }
};

// Levels from the root to a leaf.
template <class T>
double levels_above(const Tree<T>& tree, std::int32_t leaf) {
  double levels = 0.0;
  for (std::int32_t up = tree.leaf_parent[leaf]; up != kNobody; up = tree.parent[up]) levels += 1.0;
  return levels;
}

// Depth of a point held by `leaf`, without `own` of its mass; or, in the second round, the depth of
// the first box below the root on its way that lacks clean mass.
template <class T>
double held_depth(const Tree<T>& tree, std::int32_t leaf, double own, bool clean) {
  double depth = levels_above(tree, leaf);
  if (!clean) return depth + hidden_depth(tree.leaf_mass[leaf] - own);
  double mass = tree.leaf_clean[leaf] - own;
  for (std::int32_t up = tree.leaf_parent[leaf]; up != kNobody && mass < kLeastClean; up = tree.parent[up]) {
    if (tree.parent[up] == kNobody || tree.clean[up] - own >= kLeastClean) break;
    mass = tree.clean[up] - own;
    depth -= 1.0;
  }
  return depth + hidden_depth(mass);
}

// Walks end in the first box below the root that lacks clean mass: of value depth + c(that mass).
template <class T>
class CleanDepthEnds {
 public:
  explicit CleanDepthEnds(const Tree<T>& tree) : tree_(tree) {}
  bool goes_on(std::int32_t v) const { return v >= 0 && (tree_.clean[v] >= kLeastClean || v == tree_.root()); }
  std::int32_t end(std::int32_t, std::int32_t v, double depth) {
    value_.push_back(depth + hidden_depth(tree_.clean_of(v)));
    return static_cast<std::int32_t>(value_.size()) - 1;
  }
  std::vector<double> take_values() { return std::move(value_); }

 private:
  const Tree<T>& tree_;
  std::vector<double> value_;
};

// The clean depth of a row with missing values, over all its ways.
template <class T>
double forked_clean_depth(const Tree<T>& tree, const T* x, std::vector<Way>& ways) {
  return mean_over_ways(
      tree, x, ways,
      [&](std::int32_t, std::int32_t v, double depth) { return depth + hidden_depth(tree.clean_of(v)); },
      [&](std::int32_t leaf, double depth) { return depth + hidden_depth(tree.clean_of(leaf)); });
}

// Flag the points of lowest depth: at most kFlagged of the mass; ties are kept. mass may be null: all 1.
inline std::vector<char> flag_shallow(const std::vector<double>& depth, const double* mass) {
  std::vector<std::pair<double, double>> order(depth.size());
  double total = 0.0;
  for (std::size_t i = 0; i < depth.size(); ++i) {
    order[i] = {std::nearbyint(depth[i] / kGrain), mass ? mass[i] : 1.0};
    total += order[i].second;
  }
  std::sort(order.begin(), order.end());
  double least = -1.0, passed = 0.0;  // what is shallower is flagged
  for (const auto& [value, weight] : order) {
    passed += weight;
    if (passed > kFlagged * total) {
      least = value;
      break;
    }
  }
  std::vector<char> flagged(depth.size());
  for (std::size_t i = 0; i < depth.size(); ++i) flagged[i] = std::nearbyint(depth[i] / kGrain) < least;
  return flagged;
}

// Give every leaf of tree t the mass of its points that are not flagged (null: none is), and nodes their sums. The
// tree is fresh from a build: children come after their parents.
template <class T>
void set_clean(Tree<T>& tree, const Samples& samples, std::int64_t t, const std::vector<char>* flagged) {
  std::fill(tree.leaf_clean, tree.leaf_clean + tree.header[kLeafMark], 0.0);
  for (std::int64_t i = t * samples.n_sample; i < (t + 1) * samples.n_sample; ++i) {
    if (!flagged || !(*flagged)[samples.point[i]]) tree.leaf_clean[samples.leaf[i]] += samples.mass(i);
  }
  for (std::int32_t v = tree.header[kNodeMark] - 1; v >= 0; --v) {
    tree.clean[v] = tree.clean_of(tree.child[2 * std::int64_t{v}]) + tree.clean_of(tree.child[2 * std::int64_t{v} + 1]);
  }
}

}  // namespace imondrian

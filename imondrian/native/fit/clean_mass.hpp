// Which points of a batch keep their clean mass: all but the fifth (of wide data: the twentieth) that lies shallowest
// in the trees, each judged without its own mass.
//
// Depths are compared after rounding to kGrain, and ties stay together: flags depend neither on the rows'
// order nor on how sums were ordered, and a weight is that many copies.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "score/spacing.hpp"
#include "tree/build.hpp"

namespace imondrian::NK_ISA {

constexpr double kFlagged = 0.2;       // of the points, at most
constexpr double kFlaggedWide = 0.05;  // in wide forests, where depth tells less and every point is somebody's nearest
constexpr double kGrain = 0x1.0p-20;   // levels

inline double flagged_share(const ForestView& forest) { return is_wide(forest) ? kFlaggedWide : kFlagged; }

// The rows each tree was built from: n_sample places a tree.
struct Samples {
  std::int64_t n_sample = 0, n_points = 0;
  std::vector<std::int32_t> row;     // of the store
  std::vector<std::int32_t> leaf;    // slot in the tree
  std::vector<std::int32_t> point;   // its number among all points that some tree holds
  std::vector<std::int32_t> stored;  // (n_points,) a row of the store that is the point
  const double* weight = nullptr;    // by row; null: 1

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

// Flag the points of lowest depth: at most that share of the mass; ties are kept. mass may be null: all 1.
inline std::vector<char> flag_shallow(const std::vector<double>& depth, const double* mass, double share) {
  std::vector<std::pair<double, double>> order(depth.size());
  double total = 0.0;
  for (std::size_t i = 0; i < depth.size(); ++i) {
    order[i] = {std::nearbyint(depth[i] / kGrain), mass ? mass[i] : 1.0};
    total += order[i].second;
  }
  nativekit::Paced pace(1 << 18);
  std::sort(order.begin(), order.end(), [&](const auto& a, const auto& b) {
    pace.did(1);
    return a < b;
  });
  double least = -1.0, passed = 0.0;  // what is shallower is flagged
  for (const auto& [value, weight] : order) {
    passed += weight;
    if (passed > share * total) {
      least = value;
      break;
    }
  }
  std::vector<char> flagged(depth.size());
  for (std::size_t i = 0; i < depth.size(); ++i) flagged[i] = std::nearbyint(depth[i] / kGrain) < least;
  return flagged;
}

// Give every leaf of tree t the mass of its points that are not flagged, and nodes their
// sums. The tree is fresh from a build.
template <class T>
void set_clean(Tree<T>& tree, const Samples& samples, std::int64_t t, const std::vector<char>& flagged) {
  std::fill(tree.leaf_clean, tree.leaf_clean + tree.header[kLeafMark], 0.0);
  const std::int64_t first = t * samples.n_sample;
  nativekit::in_runs(samples.n_sample, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = first + begin; i < first + end; ++i) {
      if (!flagged[samples.point[i]]) tree.leaf_clean[samples.leaf[i]] += samples.mass(i);
    }
  });
  sum_clean(tree);
}

}  // namespace imondrian::NK_ISA

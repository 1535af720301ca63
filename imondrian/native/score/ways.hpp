// Rows with missing values down a tree (means.hpp), many at a time.
#pragma once

#include <vector>

#include "score/means.hpp"

namespace imondrian::NK_ISA {

// A cut, and where rows go from it; or an end, from which they go nowhere.
template <class T>
struct WayNode {
  T threshold;
  std::int32_t feature;
  std::int32_t next[4];  // if the value is low, high, or missing (twice)
  double gain[2];        // on average, by the drawn side's choice: 0 unless the value is missing
};

template <class T>
struct PackedWays {
  std::vector<WayNode<T>> nodes;   // from the root
  std::vector<std::int32_t> ends;  // the last of them: their numbers as ends (walk_tree.hpp)
  Kinds<T> kinds;
};

// The ways through the part of a tree that lies above its ends.
template <class T, class Ends, class MeansBelow>
PackedWays<T> pack_ways(const Tree<T>& tree, Ends& ends, const MeansBelow& means) {
  PackedWays<T> packed;
  packed.kinds = tree.kinds;
  std::vector<std::int32_t> pending;
  const auto reach = [&](std::int32_t parent, std::int32_t v) {  // >= 0: a node; ~k: the k-th end
    if (ends.goes_on(v)) {
      pending.push_back(v);
      return static_cast<std::int32_t>(pending.size()) - 1;
    }
    packed.ends.push_back(ends.place(parent, v));
    return -static_cast<std::int32_t>(packed.ends.size());
  };
  packed.nodes.reserve(2 * static_cast<std::size_t>(tree.header[kNodeMark]) + 1);
  reach(kNobody, tree.root());
  for (std::size_t i = 0; i < pending.size(); ++i) {
    const std::int32_t v = pending[i], drawn = drawn_side(tree, v);
    WayNode<T> node{tree.threshold[v], tree.feature[v], {}, {}};
    for (int side = 0; side < 2; ++side) node.next[side] = reach(v, tree.child[2 * std::int64_t{v} + side]);
    node.next[2] = node.next[3] = node.next[drawn];
    node.gain[1] = means.gain(v, tree.child[2 * std::int64_t{v} + drawn]);
    packed.nodes.push_back(node);
  }
  const std::int32_t n = static_cast<std::int32_t>(packed.nodes.size());
  for (WayNode<T>& node : packed.nodes) {
    for (std::int32_t& to : node.next) to = to < 0 ? n + ~to : to;
  }
  for (std::int32_t at = n; at < n + static_cast<std::int32_t>(packed.ends.size()); ++at) {
    packed.nodes.push_back({T(0), 0, {at, at, at, at}, {}});
  }
  return packed;
}

// Where row i of x (n, stride) ends, and what was gained on the way there. Eight rows go side by side, so that the
// latency of one hides behind the others, and without a branch, which missing values would make miss.
template <bool kMixed, class T>
NK_INLINE void walk_ways_as(const PackedWays<T>& tree, const T* x, std::int64_t n, std::int64_t stride,
                            std::int32_t* end, double* gain) {
  constexpr int kRows = 8;
  const WayNode<T>* nodes = tree.nodes.data();
  const std::int32_t first_end = static_cast<std::int32_t>(tree.nodes.size() - tree.ends.size());
  for (std::int64_t i = 0; i < n; i += kRows) {
    const T* rows[kRows];
    std::int32_t at[kRows] = {}, least = 0;
    double gained[kRows] = {};
    for (int r = 0; r < kRows; ++r) rows[r] = x + (i + r < n ? i + r : n - 1) * stride;
    while (least < first_end) {
      least = first_end;
      for (int r = 0; r < kRows; ++r) {
        const WayNode<T>& node = nodes[at[r]];
        const T value = rows[r][node.feature];
        const int missing = value != value;
        const int high = kMixed ? tree.kinds.is_right(node.feature, value, node.threshold) : value > node.threshold;
        at[r] = node.next[2 * missing + high];
        gained[r] += node.gain[missing];
        least = at[r] < least ? at[r] : least;
      }
    }
    const int live = n - i < kRows ? static_cast<int>(n - i) : kRows;
    for (int r = 0; r < live; ++r) end[i + r] = tree.ends[at[r] - first_end], gain[i + r] = gained[r];
  }
}

template <class T>
NK_INLINE void walk_ways(const PackedWays<T>& tree, const T* x, std::int64_t n, std::int64_t stride, std::int32_t* end,
                         double* gain) {
  tree.kinds.any() ? walk_ways_as<true>(tree, x, n, stride, end, gain)
                   : walk_ways_as<false>(tree, x, n, stride, end, gain);
}

}  // namespace imondrian::NK_ISA

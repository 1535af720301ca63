// A tree as many rows see it: its cuts and where they lead, 16 bytes each, without a branch on the way down.
//
// The packing takes a microsecond or two a tree, so it is made for each large call and never kept: nothing can be
// stale.
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "score/depth_score.hpp"

namespace imondrian::NK_ISA {

// A cut: rows go to `left`, or one further. Or an end, which they do not leave: its `left` is itself.
template <class T>
struct WalkNode {
  T threshold;
  std::int32_t feature;
  std::int32_t left;
};

template <class T>
struct WalkTree {
  std::vector<WalkNode<T>> nodes;   // from the root, in preorder; none of an empty tree
  std::vector<std::int32_t> place;  // by node: where an end's results lie
  std::vector<double> mass;         // by node
  std::int32_t n_cuts = 0;
  Kinds<T> kinds;

  bool is_end(std::int32_t at) const { return nodes[at].left == at; }
};

// Where walks end: each leaf is one end, of value depth + c(mass).
template <class T>
class LeafEnds {
 public:
  explicit LeafEnds(const Tree<T>& tree) : tree_(tree), place_(static_cast<std::size_t>(tree.header[kLeafMark])) {
    value_.reserve(place_.size());
    leaves_.reserve(place_.size());
  }

  bool goes_on(std::int32_t v) const { return v >= 0; }
  // The end of a walk that would go on to v, `depth` levels down, from its parent. Asked for once.
  std::int32_t end(std::int32_t, std::int32_t v, double depth) {
    value_.push_back(depth + hidden_depth(tree_.leaf_mass[~v]));
    leaves_.push_back(v);
    return place_[~v] = static_cast<std::int32_t>(value_.size()) - 1;
  }
  // The same end, later.
  std::int32_t place(std::int32_t, std::int32_t v) const { return place_[~v]; }
  const std::vector<std::int32_t>& leaves() const { return leaves_; }  // ~slots, by place
  const std::vector<double>& values() const { return value_; }         // by place
  std::vector<double> take_values() { return std::move(value_); }

 private:
  const Tree<T>& tree_;
  std::vector<std::int32_t> place_, leaves_;
  std::vector<double> value_;
};

// Pack the part of a tree that lies above its ends.
template <class T, class Ends>
WalkTree<T> pack_walk(const Tree<T>& tree, Ends& ends) {
  struct Task {
    std::int32_t at, node, parent, depth;
  };
  WalkTree<T> packed;
  packed.kinds = tree.kinds;
  const std::size_t room = 2 * static_cast<std::size_t>(tree.header[kNodeMark]) + 1;
  packed.nodes.reserve(room);
  packed.place.reserve(room);
  packed.mass.reserve(room);
  const auto add = [&](std::int32_t v) {
    packed.nodes.push_back({});
    packed.place.push_back(kNobody);
    packed.mass.push_back(tree.mass_of(v));
  };
  // No value of feature 0 lies right of it.
  const T nowhere = tree.kinds.is_nominal(0) ? T(Word<T>::kSize - 2) : std::numeric_limits<T>::infinity();
  std::vector<Task> stack{{0, tree.root(), kNobody, 0}};
  add(tree.root());
  while (!stack.empty()) {
    const Task task = stack.back();
    stack.pop_back();
    if (!ends.goes_on(task.node)) {
      packed.nodes[task.at] = {nowhere, 0, task.at};
      packed.place[task.at] = ends.end(task.parent, task.node, task.depth);
      continue;
    }
    const auto left = static_cast<std::int32_t>(packed.nodes.size());
    packed.nodes[task.at] = {tree.threshold[task.node], tree.feature[task.node], left};
    ++packed.n_cuts;
    for (int side = 0; side < 2; ++side) add(tree.child[2 * std::int64_t{task.node} + side]);
    for (int side = 1; side >= 0; --side) {
      stack.push_back({left + side, tree.child[2 * std::int64_t{task.node} + side], task.node, task.depth + 1});
    }
  }
  return packed;
}

// Whether n rows are enough for packing trees to pay: `rows_per_leaf` of them for every leaf of a tree.
inline bool tables_pay(const ForestView& forest, std::int64_t n, double rows_per_leaf) {
  constexpr std::int64_t kLeast = 32;  // what small trees cost all the same
  double leaves = 0.0;
  for (std::int64_t t = 0; t < forest.n_trees; ++t) {
    leaves += static_cast<double>(std::max<std::int64_t>(forest.header[t * kHeaderSize + kLeaves], kLeast));
  }
  return static_cast<double>(n) * static_cast<double>(forest.n_trees) >= rows_per_leaf * leaves;
}

// Where rows of x (n, stride) that stand at nodes `at` end: the places of their ends are written there. Eight rows go
// side by side, so that the latency of one hides behind the others.
template <bool kMixed, class T>
NK_INLINE void walk_on_as(const WalkTree<T>& tree, const T* x, std::int64_t n, std::int64_t stride, std::int32_t* at) {
  constexpr int kRows = 8;
  const WalkNode<T>* nodes = tree.nodes.data();
  for (std::int64_t i = 0; i < n; i += kRows) {
    const T* rows[kRows];
    std::int32_t here[kRows];
    for (int r = 0; r < kRows; ++r) {
      const std::int64_t row = i + r < n ? i + r : n - 1;
      rows[r] = x + row * stride;
      here[r] = at[row];
    }
    for (std::int32_t moved = 1; moved != 0;) {
      moved = 0;
      for (int r = 0; r < kRows; ++r) {
        const WalkNode<T>& node = nodes[here[r]];
        const T value = rows[r][node.feature];
        const bool right = kMixed ? tree.kinds.is_right(node.feature, value, node.threshold) : value > node.threshold;
        const std::int32_t to = node.left + right;
        moved |= to ^ here[r];
        here[r] = to;
      }
    }
    const int live = n - i < kRows ? static_cast<int>(n - i) : kRows;
    for (int r = 0; r < live; ++r) at[i + r] = tree.place[here[r]];
  }
}

template <class T>
NK_INLINE void walk_on(const WalkTree<T>& tree, const T* x, std::int64_t n, std::int64_t stride, std::int32_t* at) {
  tree.kinds.any() ? walk_on_as<true>(tree, x, n, stride, at) : walk_on_as<false>(tree, x, n, stride, at);
}

}  // namespace imondrian::NK_ISA

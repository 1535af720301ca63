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

// The same for values of any kind, as whole numbers: rows whose number, shifted to the left, is above the threshold go
// one further. A value's number is as it compares to others; that of a word is itself, and a shift brings the bit that
// is cut to the top.
template <class T>
struct KeyNode {
  static constexpr int kShiftBits = 6;
  WordBits<T> threshold;
  std::int32_t feature;  // above the bits of the shift
  std::int32_t left;
};
template <class T>
NK_INLINE WordBits<T> key_of(T value, WordBits<T> kind) {
  constexpr WordBits<T> kTop = WordBits<T>{1} << (Word<T>::kSize - 1);
  const WordBits<T> bits = word_of(value + T(0));  // one zero
  const WordBits<T> number = (bits & kTop) != 0 ? ~bits : bits | kTop;
  return (word_of(value) & kind) | (number & ~kind);
}
template <class T>
void find_keys(const Kinds<T>& kinds, const T* x, std::int64_t n, std::int64_t stride, std::int64_t d,
               std::vector<WordBits<T>>& keys) {
  keys.resize(static_cast<std::size_t>(n * stride));
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = 0; j < d; ++j) keys[i * stride + j] = key_of(x[i * stride + j], word_of(kinds.mask[j]));
  }
}

template <class T>
struct WalkTree {
  std::vector<WalkNode<T>> nodes;   // from the root, in preorder; none of an empty tree
  std::vector<KeyNode<T>> keyed;    // the same, where some feature is nominal
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

template <class T>
void key_nodes(WalkTree<T>& tree) {
  constexpr int kSize = Word<T>::kSize, kShiftBits = KeyNode<T>::kShiftBits;
  tree.keyed.resize(tree.nodes.size());
  for (std::size_t at = 0; at < tree.nodes.size(); ++at) {
    const WalkNode<T>& node = tree.nodes[at];
    const bool end = tree.is_end(static_cast<std::int32_t>(at));
    const bool nominal = !end && tree.kinds.is_nominal(node.feature);
    const int shift = nominal ? kSize - 1 - static_cast<int>(node.threshold) : 0;
    const WordBits<T> nowhere = ~WordBits<T>{0}, below_top = nowhere >> 1;
    const WordBits<T> threshold = end ? nowhere : nominal ? below_top : key_of(node.threshold, WordBits<T>{0});
    tree.keyed[at] = {threshold, (node.feature << kShiftBits) | shift, node.left};
  }
}

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
  std::vector<Task> stack{{0, tree.root(), kNobody, 0}};
  add(tree.root());
  while (!stack.empty()) {
    const Task task = stack.back();
    stack.pop_back();
    if (!ends.goes_on(task.node)) {
      packed.nodes[task.at] = {std::numeric_limits<T>::infinity(), 0, task.at};
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
  if (tree.kinds.any()) key_nodes(packed);
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
template <class T, class Node, class Value, class GoesRight>
NK_INLINE void walk_nodes(const WalkTree<T>& tree, const Node* nodes, const Value* x, std::int64_t n,
                          std::int64_t stride, std::int32_t* at, const GoesRight& goes_right) {
  constexpr int kRows = 8;
  for (std::int64_t i = 0; i < n; i += kRows) {
    const Value* rows[kRows];
    std::int32_t here[kRows];
    for (int r = 0; r < kRows; ++r) {
      const std::int64_t row = i + r < n ? i + r : n - 1;
      rows[r] = x + row * stride;
      here[r] = at[row];
    }
    for (std::int32_t moved = 1; moved != 0;) {
      moved = 0;
      for (int r = 0; r < kRows; ++r) {
        const Node& node = nodes[here[r]];
        const std::int32_t to = node.left + goes_right(node, rows[r]);
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
  walk_nodes(tree, tree.nodes.data(), x, n, stride, at,
             [](const WalkNode<T>& node, const T* row) { return row[node.feature] > node.threshold; });
}
// The same in a tree with nominal features, of the rows' keys.
template <class T>
NK_INLINE void walk_on_keys(const WalkTree<T>& tree, const WordBits<T>* x, std::int64_t n, std::int64_t stride,
                            std::int32_t* at) {
  walk_nodes(tree, tree.keyed.data(), x, n, stride, at, [](const KeyNode<T>& node, const WordBits<T>* row) {
    constexpr int kShift = (1 << KeyNode<T>::kShiftBits) - 1;
    return (row[node.feature >> KeyNode<T>::kShiftBits] << (node.feature & kShift)) > node.threshold;
  });
}

}  // namespace imondrian::NK_ISA

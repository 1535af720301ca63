// Many rows down a tree: it is repacked into blocks of up to seven nodes, and one SIMD comparison
// decides a whole block.
//
// A plain walk pays the latency of a load, a compare and an add for every level. Here one permute
// (or gather) fetches the seven features a block asks about, one comparison answers all of them,
// and a 128-entry table turns the answers into the block's exit: about three levels a step. Blocks
// are grown along the heaviest children, so that likely paths cross few of them. The packing takes
// a few microseconds a tree, so it is made for each large call and never kept: nothing can be stale.
#pragma once

#include <array>
#include <cstring>
#include <limits>
#include <vector>

#include "score/depth_score.hpp"

namespace imondrian::NK_ISA {

constexpr int kBlockNodes = 7;

template <class T>
struct Block {
  T threshold[8];  // slot 7 is never exceeded
  std::int32_t feature[8];
  std::int32_t exits[8];      // the next block, or ~end
  std::uint8_t exit_of[128];  // by the answers' bits: bit k = x[feature[k]] > threshold[k]
};

template <class T>
struct PackedTree {
  std::vector<Block<T>> blocks;
  std::vector<double> value;  // by end, where a scan adds values up
  std::int32_t start = 0;     // first block, or ~end
};

// Where walks end: each leaf is one end, of value depth + c(mass).
template <class T>
class LeafEnds {
 public:
  explicit LeafEnds(const Tree<T>& tree) : tree_(tree), value_(static_cast<std::size_t>(tree.header[kLeafMark]), 0.0) {}

  bool goes_on(std::int32_t v) const { return v >= 0; }
  // The end of a walk that would go on to v, `depth` levels down, from its parent.
  std::int32_t end(std::int32_t, std::int32_t v, double depth) {
    value_[~v] = depth + hidden_depth(tree_.leaf_mass[~v]);
    return ~v;
  }
  static std::int32_t place(std::int32_t, std::int32_t v) { return ~v; }
  std::vector<double> take_values() { return std::move(value_); }

 private:
  const Tree<T>& tree_;
  std::vector<double> value_;
};

// Packs the part of a tree that lies above its ends.
template <class T, class Ends>
class BlockPacker {
 public:
  BlockPacker(const Tree<T>& tree, Ends& ends) : tree_(tree), ends_(ends) {}

  PackedTree<T> pack() {
    if (ends_.goes_on(tree_.root())) {
      pending_.push_back({tree_.root(), 0.0});
      packed_.blocks.reserve(static_cast<std::size_t>(tree_.header[kNodeMark]) / 3 + 1);
    } else {
      packed_.start = ~ends_.end(kNobody, tree_.root(), 0.0);
    }
    for (std::size_t b = 0; b < pending_.size(); ++b) pack_block(pending_[b]);
    packed_.value = ends_.take_values();
    return std::move(packed_);
  }

 private:
  struct Entry {
    std::int32_t node;
    double depth;
  };

  // Members in the order they are added: parents before children, which fill_table relies on.
  int choose(Entry entry, Entry* members) const {
    Entry open[kBlockNodes + 1] = {entry};
    int n_open = 1, n = 0;
    while (n < kBlockNodes && n_open > 0) {
      int best = 0;
      for (int i = 1; i < n_open; ++i) {
        if (tree_.mass[open[i].node] > tree_.mass[open[best].node]) best = i;
      }
      const Entry taken = members[n++] = open[best];
      open[best] = open[--n_open];
      for (int side = 0; side < 2; ++side) {
        const std::int32_t c = tree_.child[2 * std::int64_t{taken.node} + side];
        if (ends_.goes_on(c)) open[n_open++] = {c, taken.depth + 1.0};
      }
    }
    return n;
  }

  void pack_block(Entry entry) {
    Entry members[kBlockNodes];
    const int n = choose(entry, members);
    Block<T> block;
    std::uint8_t go[2][kBlockNodes] = {};  // member, or kBlockNodes + exit
    int n_exits = 0;
    for (int i = 0; i < 8; ++i) {
      block.threshold[i] = std::numeric_limits<T>::infinity();
      block.feature[i] = 0;
      block.exits[i] = 0;
    }
    for (int i = 0; i < n; ++i) {
      block.threshold[i] = tree_.threshold[members[i].node];
      block.feature[i] = tree_.feature[members[i].node];
      for (int side = 0; side < 2; ++side) {
        const std::int32_t c = tree_.child[2 * std::int64_t{members[i].node} + side];
        int to = 0;
        for (int k = i + 1; k < n; ++k) to = members[k].node == c && c >= 0 ? k : to;
        if (to == 0) {
          to = kBlockNodes + n_exits;
          block.exits[n_exits++] = leave(members[i].node, c, members[i].depth + 1.0);
        }
        go[side][i] = static_cast<std::uint8_t>(to);
      }
    }
    fill_table(go, n, block);
    packed_.blocks.push_back(block);
  }

  std::int32_t leave(std::int32_t parent, std::int32_t c, double depth) {
    if (!ends_.goes_on(c)) return ~ends_.end(parent, c, depth);
    pending_.push_back({c, depth});
    return static_cast<std::int32_t>(pending_.size()) - 1;
  }

  // Where each combination of answers ends, doubling the table one member at a time.
  static void fill_table(const std::uint8_t (&go)[2][kBlockNodes], int n, Block<T>& block) {
    std::uint8_t at[128] = {};
    for (int i = 0; i < kBlockNodes; ++i) {
      const std::uint8_t left = i < n ? go[0][i] : 0, right = i < n ? go[1][i] : 0;
      for (int m = 0; m < (1 << i); ++m) {
        const std::uint8_t here = at[m];
        const bool stops = i < n && here == i;
        at[m + (1 << i)] = stops ? right : here;
        at[m] = stops ? left : here;
      }
    }
    for (int m = 0; m < 128; ++m) block.exit_of[m] = static_cast<std::uint8_t>(at[m] - kBlockNodes);
  }

  const Tree<T>& tree_;
  Ends& ends_;
  PackedTree<T> packed_;
  std::vector<Entry> pending_;
};

template <class T, class Ends>
PackedTree<T> pack_blocks(const Tree<T>& tree, Ends& ends) {
  return BlockPacker<T, Ends>(tree, ends).pack();
}

// Where each row ends. X is (n, stride) with n_features read from each row; out has n places: the end's
// value is added to a double, its number written to an integer.
template <class T, class Out>
using PackedScan = void (*)(const PackedTree<T>&, const T* x, std::int64_t n, std::int64_t stride,
                            std::int64_t n_features, Out* out);

// The fastest scan for this processor and width.
template <class T, class Out>
PackedScan<T, Out> choose_scan(std::int64_t n_features);

}  // namespace imondrian::NK_ISA

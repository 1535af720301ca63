// Where the parts of a cloud's index lie in one block of memory. Nothing here computes.
//
// Points are kept 16 to a leaf, coordinate by coordinate, so that one vector instruction sees a whole
// leaf; a node keeps the boxes of its 16 children the same way. Leaves follow a Hilbert curve, so a
// level is just the level below cut into runs of 16: no pointers, and the shape is a function of n.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>

namespace pointmetrics {

constexpr int kLanes = 16;
constexpr int kMaxLevels = 9;
constexpr int kMaxDim = 16;  // of a tree that is not flat
constexpr std::int32_t kNoPoint = std::numeric_limits<std::int32_t>::max();

inline std::int64_t packs(std::int64_t n) { return (n + kLanes - 1) / kLanes; }

// Invariants. T1: slots n.. of the last leaf hold +inf and kNoPoint, children past the end of a level
// hold boxes at +inf, so nothing ever prefers them. T2: a box is the exact hull of its points. T3:
// min_id is the lowest id below. T4: in a flat tree (no levels) slot s holds point s.
template <class T>
struct Tree {
  std::int64_t n;
  int d;
  int n_levels;                         // 0: flat, to be scanned from end to end
  std::int64_t level_size[kMaxLevels];  // nodes of each level; level 0 are the leaves
  T* points;                            // [leaf][d][16]
  std::int32_t* ids;                    // [leaf][16]
  T* boxes[kMaxLevels];                 // level >= 1: [node][lower d, upper d][16]
  std::int32_t* min_id[kMaxLevels];     // level >= 1: [node][16]
};

// Lay a tree over `memory` (64-byte aligned). With memory = nullptr only `bytes` is meaningful.
template <class T>
Tree<T> lay_out(char* memory, std::int64_t n, int d, bool flat, std::size_t* bytes) {
  Tree<T> tree{};
  std::size_t used = 0;
  const auto take = [&](std::size_t size) {
    char* at = memory == nullptr ? nullptr : memory + used;
    used += (size + 63) / 64 * 64;
    return at;
  };
  tree.n = n;
  tree.d = d;
  std::int64_t size = packs(n);
  tree.level_size[0] = size;
  const auto lanes = [](std::int64_t count) { return static_cast<std::size_t>(count) * kLanes; };
  tree.points = reinterpret_cast<T*>(take(lanes(size * d) * sizeof(T)));
  tree.ids = reinterpret_cast<std::int32_t*>(take(lanes(size) * sizeof(std::int32_t)));
  while (!flat && (tree.n_levels == 0 || size > 1)) {
    size = packs(size);
    const int level = ++tree.n_levels;
    tree.level_size[level] = size;
    tree.boxes[level] = reinterpret_cast<T*>(take(lanes(size * 2 * d) * sizeof(T)));
    tree.min_id[level] = reinterpret_cast<std::int32_t*>(take(lanes(size) * sizeof(std::int32_t)));
  }
  if (bytes != nullptr) *bytes = used;
  return tree;
}

}  // namespace pointmetrics

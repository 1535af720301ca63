// Leaf depths of rows, summed over the trees in their order: the bits are the CPU's.
//
// A thread takes ROWS rows through one tree after another. What limits it is neither device memory (a row is
// read once) nor arithmetic, but the latency of a step (two dependent loads) and the banks of shared memory,
// into which 32 lanes look at different places. Hence:
//  - trees lie in shared memory, several at a time, nodes 8 bytes wide for float32 (threshold, and feature and
//    first child in one word): fewer bytes are fewer conflicts;
//  - so do the block's rows, coordinate-major: lane i only ever reads bank i, whatever feature it asks for;
//  - the ROWS walks of a thread do not depend on each other, and go on without a branch: a leaf leads back to
//    itself (its threshold is NaN, which nothing exceeds), until no walk moves.
// Rows too wide and trees too large for shared memory stay in global memory (SHARED_ROWS, SHARED_TREES = 0).
//
// A tree is `slots` nodes of NODE_WORDS words, children side by side, the root first; then `slots` doubles, in
// leaves depth + c(mass); then a word to make the number even. starts (n_trees + 1) counts words.

#include "common.cuh"

#define THREADS 256
#define TILE (THREADS * ROWS)
#define NODE_WORDS (1 + WIDE)

struct Node {
  real threshold;
  u64 link;  // first child << feature_bits | feature
};

#if WIDE
__device__ __forceinline__ Node load_node(const u64* tree, int at) {
  const ulonglong2 words = reinterpret_cast<const ulonglong2*>(tree)[at];
#if REAL_BITS == 32
  return {__uint_as_float(static_cast<unsigned>(words.x)), words.y};
#else
  return {__longlong_as_double(static_cast<i64>(words.x)), words.y};
#endif
}
#else
__device__ __forceinline__ Node load_node(const u64* tree, int at) {
  const uint2 words = reinterpret_cast<const uint2*>(tree)[at];
  return {__uint_as_float(words.x), words.y};
}
#endif

// Coordinate j of the thread's row r is at(j, r).
struct Rows {
#if SHARED_ROWS
  const real* tile;  // (d, TILE)
  int place[ROWS];
  __device__ __forceinline__ real at(int j, int r) const { return tile[j * TILE + place[r]]; }
  __device__ __forceinline__ void note(int, int place_in, int d, i64 row, i64* missing, u64* counts) const {
    note_row(tile + place_in, TILE, d, row, missing, counts);
  }
#else
  const real* row[ROWS];
  __device__ __forceinline__ real at(int j, int r) const { return row[r][j]; }
  __device__ __forceinline__ void note(int r, int, int d, i64 number, i64* missing, u64* counts) const {
    note_row(row[r], 1, d, number, missing, counts);
  }
#endif
};

__device__ __forceinline__ void add_leaf_values(const u64* tree, int slots, int feature_bits, const Rows& rows,
                                                double* sum) {
  const int mask = (1 << feature_bits) - 1;
  int at[ROWS] = {};
  bool moves = true;
  while (moves) {
    moves = false;
#pragma unroll
    for (int r = 0; r < ROWS; ++r) {
      const Node node = load_node(tree, at[r]);
      const real value = rows.at(static_cast<int>(node.link) & mask, r);
      const int next = static_cast<int>(node.link >> feature_bits) + (value > node.threshold);
      moves |= next != at[r];
      at[r] = next;
    }
  }
  const u64* values = tree + static_cast<i64>(slots) * NODE_WORDS;
#pragma unroll
  for (int r = 0; r < ROWS; ++r) sum[r] += __longlong_as_double(static_cast<i64>(values[at[r]]));
}

// Copy n words of trees into shared memory.
__device__ __forceinline__ const u64* hold(const u64* trees, i64 n, u64* held) {
  for (int w = threadIdx.x; w < static_cast<int>(n / 2); w += THREADS) {
    reinterpret_cast<ulonglong2*>(held)[w] = reinterpret_cast<const ulonglong2*>(trees)[w];
  }
  return held;
}

// What the thread's rows are: past the end, the last one again, for nobody.
__device__ __forceinline__ Rows rows_of(const real* x, i64 first_row, int count, int d, const real* tile) {
  Rows rows;
#if SHARED_ROWS
  rows.tile = tile;
#endif
#pragma unroll
  for (int r = 0; r < ROWS; ++r) {
    const int place = min(static_cast<int>(threadIdx.x) + r * THREADS, count - 1);
#if SHARED_ROWS
    rows.place[r] = place;
#else
    rows.row[r] = x + (first_row + place) * d;
#endif
  }
  return rows;
}

// depth (n) = mean over the trees; groups (n_groups + 1) = trees that are in shared memory together.
extern "C" __global__ void __launch_bounds__(THREADS)
    leaf_depths(const u64* forest, const i64* starts, const int* groups, int n_groups, int n_trees, int feature_bits,
                const real* x, i64 n, int d, double* depth, i64* missing, u64* counts) {
#if SHARED_ROWS || SHARED_TREES
  DYNAMIC_SHARED(memory);
#endif
  const i64 first_row = static_cast<i64>(blockIdx.x) * TILE;
  const int count = static_cast<int>(min(static_cast<i64>(TILE), n - first_row));
  real* tile = nullptr;
#if SHARED_ROWS
  tile = reinterpret_cast<real*>(memory);
  for (int e = threadIdx.x; e < count * d; e += THREADS) tile[e % d * TILE + e / d] = x[first_row * d + e];
#endif
#if SHARED_TREES
  u64* held = reinterpret_cast<u64*>(memory + SHARED_ROWS * TILE * sizeof(real) * d);
#endif
  const Rows rows = rows_of(x, first_row, count, d, tile);
  double sum[ROWS] = {};
  for (int g = 0; g < n_groups; ++g) {
    const int end = groups[g + 1];
    const i64 origin = starts[groups[g]];
    const u64* trees = forest + origin;
#if SHARED_TREES
    trees = hold(trees, starts[end] - origin, held);
#endif
    __syncthreads();
    for (int t = groups[g]; t < end; ++t) {
      const i64 start = starts[t];
      const int slots = static_cast<int>((starts[t + 1] - start) / (NODE_WORDS + 1));
      add_leaf_values(trees + (start - origin), slots, feature_bits, rows, sum);
    }
    __syncthreads();
  }
#pragma unroll
  for (int r = 0; r < ROWS; ++r) {
    const int place = static_cast<int>(threadIdx.x) + r * THREADS;
    if (place >= count) continue;
    depth[first_row + place] = sum[r] / n_trees;
    rows.note(r, place, d, first_row + place, missing, counts);
  }
}

// Blocks that compare queries in registers with targets in shared memory: sizes, loads and the scan.

#include "distance.cuh"

#define WARPS 4
#if REAL_BITS == 32
#define ROWS 4
#define MIN_BLOCKS 8  // 64 registers a thread: a batch of 32 pairs of 2,048 points is one wave of an H200
#else
#define ROWS 2
#define MIN_BLOCKS 4
#endif
#define QUERIES (32 * ROWS)

// A tile of targets in shared memory: axis a of target k is at [a * stride + k]. 48 bytes between the
// axes: storing points whose coordinates lie next to each other then meets few banks twice.
__device__ __forceinline__ int tile_stride(int tile) { return tile + 48 / static_cast<int>(sizeof(real)); }

__device__ __forceinline__ void load_tile(const real* points, int count, int d, int stride, real* tile) {
  for (int e = threadIdx.x; e < count * d; e += blockDim.x) tile[e % d * stride + e / d] = points[e];
  // The last group is filled up with what is never nearest.
  const int padded = (count + GROUP - 1) / GROUP * GROUP;
  for (int k = count + threadIdx.x; k < padded; k += blockDim.x) {
    for (int a = 0; a < d; ++a) tile[a * stride + k] = REAL_INFINITY;
  }
}

// The best of every query over its block's targets: `best` and the first index of its group.
__device__ __forceinline__ void scan_targets(const real* targets, i64 begin, i64 end, int d, int tile, bool load,
                                             real* shared, const Query* query, real (&best)[ROWS], int (&place)[ROWS]) {
  const int stride = tile_stride(tile);
  for (i64 first = begin; first < end; first += tile) {
    const int count = static_cast<int>(min(static_cast<i64>(tile), end - first));
    if (load) {  // else the only tile is still there
      __syncthreads();
      load_tile(targets + first * d, count, d, stride, shared);
      __syncthreads();
    }
    for (int at = warp_id() * GROUP; at < count; at += WARPS * GROUP) {
      group_minima(shared + at, stride, d, query, static_cast<int>(first) + at, best, place);
    }
  }
}

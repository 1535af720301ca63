// Nearest neighbours by looking at every pair, both directions in one launch.
//
// A block answers QUERIES = 32 * ROWS queries: a lane of every warp keeps the same ROWS of them in
// registers, and the warps share the targets out among themselves, so that even small batches fill a
// device. Targets pass through shared memory, one array an axis: all lanes read the same GROUP of them
// in 16-byte loads without bank conflicts, each load serving ROWS queries. Both directions are computed
// apart. Computing a distance once for both would save 6 of 19 operations, and cost the exchange of the
// columns' minima between lanes and a search for their places: not worth its complication here.
//
// 309 instructions for 4 x 8 pairs of 3-dimensional float32 points on sm_90, 9.7 a pair, of which 8 are the
// distance. Of a group only the minimum is compared with the best so far (one operation a pair instead of three);
// which of the group it was is found at the end. Groups ascend and only what is less replaces the best,
// so the lowest index wins; the distances are those of the CPU bit for bit.

#include "tiles.cuh"

// With any number of coordinates eight blocks leave too few registers: up to 20 bytes were spilled on sm_86 and sm_100.
#define BLOCKS_AT_ONCE (DIM == 0 && REAL_BITS == 32 ? 6 : MIN_BLOCKS)

namespace {

struct Part {
  i64 begin, end;
};

// Whole groups of the targets.
__device__ __forceinline__ Part part_of(i64 n_targets, int split, int n_splits) {
  const i64 share = (n_targets + n_splits - 1) / n_splits;
  const i64 per_split = (share + GROUP - 1) / GROUP * GROUP;
  const i64 begin = min(split * per_split, n_targets);
  return {begin, min(begin + per_split, n_targets)};
}

// What the warps of a block have found, side by side, over the tile that is no longer needed.
struct Found {
  real* least;  // [warp][query]
  int* group;
};

__device__ __forceinline__ void lay_out(const Found& found, const real* best, const int* place) {
  __syncthreads();
  for (int r = 0; r < ROWS; ++r) {
    const int at = warp_id() * QUERIES + r * 32 + lane_id();
    found.least[at] = best[r];
    found.group[at] = place[r];
  }
  __syncthreads();
}

// The least of query q over the warps, and the first group that has it.
__device__ __forceinline__ real least_of(const Found& found, int q, int* group) {
  real least = found.least[q];
  *group = found.group[q];
  for (int w = 1; w < WARPS; ++w) {
    const real other = found.least[w * QUERIES + q];
    const int other_group = found.group[w * QUERIES + q];
    if (other < least || (other == least && other_group < *group)) {
      least = other;
      *group = other_group;
    }
  }
  return least;
}

}  // namespace

// first_block (2 n_pairs): for the pairs x to y, then y to x, the first block (of n_splits each) of their
// queries. With n_splits > 1 part s of the targets writes its results at [s * total]; join_splits joins.
extern "C" __global__ void __launch_bounds__(32 * WARPS, BLOCKS_AT_ONCE)
    nearest(const real* x, const i64* x_offsets, const real* y, const i64* y_offsets, const int* first_block,
            int n_pairs, int n_items, int d_any, int tile, int n_splits, real* sq_x, int* id_x, real* sq_y, int* id_y) {
  DYNAMIC_SHARED(memory);
  const int d = dimension(d_any);
  const int block = static_cast<int>(blockIdx.x) / n_splits;
  const int split = static_cast<int>(blockIdx.x) % n_splits;
  const int item = find_item(first_block, n_items, block);
  const bool back = item >= n_pairs;
  const int pair = back ? item - n_pairs : item;
  const i64* q_offsets = back ? y_offsets : x_offsets;
  const i64* t_offsets = back ? x_offsets : y_offsets;
  const i64 q_first = q_offsets[pair] + static_cast<i64>(block - first_block[item]) * QUERIES;
  const i64 q_end = q_offsets[pair + 1], n_targets = t_offsets[pair + 1] - t_offsets[pair];
  const real* queries = back ? y : x;
  const real* targets = (back ? x : y) + t_offsets[pair] * d;

  real* tile_memory = reinterpret_cast<real*>(memory);
  real* query_memory = tile_memory + tile_stride(tile) * d;  // for any d; d = 2, 3 keep queries in registers
  Query query;
  load_queries<ROWS>(queries, q_first, q_end, d, query_memory, &query);

  const Part part = part_of(n_targets, split, n_splits);
  real best[ROWS];
  int place[ROWS];
  for (int r = 0; r < ROWS; ++r) best[r] = REAL_INFINITY, place[r] = NO_POINT;
  scan_targets(targets, part.begin, part.end, d, tile, true, tile_memory, &query, best, place);

  const Found found = {tile_memory, reinterpret_cast<int*>(tile_memory + WARPS * QUERIES)};
  lay_out(found, best, place);
  const i64 out = split * q_offsets[n_pairs];
  real* sq = (back ? sq_y : sq_x) + out;
  int* id = (back ? id_y : id_x) + out;
  for (int q = threadIdx.x; q < QUERIES && q_first + q < q_end; q += blockDim.x) {
    int group;
    const real least = least_of(found, q, &group);
    const int target = place_in_group(queries + (q_first + q) * d, targets, group, n_targets, d, least);
    sq[q_first + q] = n_splits > 1 ? least : found_or_nan(least);
    id[q_first + q] = n_splits > 1 ? target : found_or_first(target);  // a part may have none where another has
  }
}

// Parts of the targets ascend, so the first of equal minima has the lowest index.
extern "C" __global__ void __launch_bounds__(256)
    join_splits(const real* sq_parts, const int* id_parts, i64 n, int n_splits, real* sq, int* id) {
  const i64 i = static_cast<i64>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= n) return;
  real least = sq_parts[i];
  int nearest_id = id_parts[i];
  for (int s = 1; s < n_splits; ++s) {
    const real other = sq_parts[s * n + i];
    if (other < least) {
      least = other;
      nearest_id = id_parts[s * n + i];
    }
  }
  sq[i] = found_or_nan(least);
  id[i] = found_or_first(nearest_id);
}

// Chamfer distances of many pairs of clouds, added up on the way, so that nothing of the size of the
// points is stored: sums of listed pairs for matrices, and every cloud's nearest for what needs no matrix.
//
// Grids are persistent: as many blocks as run at a time, each of which takes the next item from a counter
// until none is left. The largest come first, so that no block is left alone with one. Which block takes
// which item changes nothing: a sum depends on its two clouds alone. Targets that fit into shared memory
// stay there for all queries of a block.

#include "tiles.cuh"

// The next item of the whole block's. `taken` is in shared memory; everybody has read the last one, since
// barriers lie between two items.
__device__ __forceinline__ u64 take(u64* next, u64* taken) {
  if (threadIdx.x == 0) *taken = atomicAdd(next, 1ull);
  __syncthreads();
  return *taken;
}

// The sum over the points [begin, end) of `queries` of distance^power to the targets; valid in thread 0.
__device__ __forceinline__ double sum_to_cloud(const real* queries, i64 begin, i64 end, const real* targets,
                                               i64 n_targets, int d, int tile, int power, real* tile_memory) {
  __shared__ double sum_of_warp[WARPS];
  real* of_warp = tile_memory + tile_stride(tile) * d;
  real* query_memory = of_warp + WARPS * QUERIES;
  double mine = 0;
  for (i64 first = begin; first < end; first += QUERIES) {
    Query query;
    load_queries<ROWS>(queries, first, end, d, query_memory, &query);
    __syncthreads();  // the queries are there, and nobody reads the last ones' results any more
    real best[ROWS];
    int place[ROWS];
    for (int r = 0; r < ROWS; ++r) {
      best[r] = REAL_INFINITY;
      place[r] = NO_POINT;
    }
    const bool load = first == begin || n_targets > tile;
    scan_targets(targets, 0, n_targets, d, tile, load, tile_memory, &query, best, place);
    for (int r = 0; r < ROWS; ++r) of_warp[warp_id() * QUERIES + r * 32 + lane_id()] = best[r];
    __syncthreads();
    for (int q = threadIdx.x; q < QUERIES && first + q < end; q += blockDim.x) {
      real least = of_warp[q];
      for (int w = 1; w < WARPS; ++w) least = min(least, of_warp[w * QUERIES + q]);
      mine += powered(least, power);
    }
  }
  // Threads in a fixed order: the same bits every time.
  for (int by = 16; by > 0; by /= 2) mine += __shfl_xor_sync(FULL_MASK, mine, by);
  if (lane_id() == 0) sum_of_warp[warp_id()] = mine;
  __syncthreads();
  double all = 0;
  if (threadIdx.x == 0) {
    all = sum_of_warp[0];
    for (int w = 1; w < WARPS; ++w) all += sum_of_warp[w];
  }
  return all;
}

// Half `item & 1` of pair `item / 2`: the sum over cloud a's points of distance^power to b. next[0] starts at 0.
extern "C" __global__ void __launch_bounds__(32 * WARPS, MIN_BLOCKS)
    sums_of_pairs(const real* x, const i64* x_offsets, const real* y, const i64* y_offsets, const i64* pairs,
                  i64 n_pairs, int d_any, int tile, int power, u64* next, double* sums) {
  DYNAMIC_SHARED(memory);
  __shared__ u64 taken;
  const int d = dimension(d_any);
  for (;;) {
    const i64 item = static_cast<i64>(take(next, &taken));
    if (item >= 2 * n_pairs) return;
    const bool back = (item & 1) != 0;
    const i64* pair = pairs + item / 2 * 2;
    const i64* q_offsets = (back ? y_offsets : x_offsets) + pair[back ? 1 : 0];
    const i64* t_offsets = (back ? x_offsets : y_offsets) + pair[back ? 0 : 1];
    const double sum = sum_to_cloud(back ? y : x, q_offsets[0], q_offsets[1], (back ? x : y) + t_offsets[0] * d,
                                    t_offsets[1] - t_offsets[0], d, tile, power, reinterpret_cast<real*>(memory));
    if (threadIdx.x == 0) sums[item] = sum;
  }
}

// Nearest clouds ---------------------------------------------------------------------------------------

struct Places {
  i64 row, column;
};

// The place of an item among all pairs of ranks. Shell s holds what remains of row s, then of column s:
// ranks follow size, so the largest clouds' pairs come first. Within one set (rows == columns) the shells
// are what lies right of the diagonal.
__device__ Places place_of(i64 item, i64 rows, i64 columns, bool within) {
  const i64 both = within ? 2 * rows - 1 : rows + columns;
  const i64 n_shells = within ? rows - 1 : min(rows, columns);
  // Items before shell s: s (both - s), or half of that within a set. The root is off by rounding alone.
  const double items = (within ? 8.0 : 4.0) * static_cast<double>(item);
  const double width = static_cast<double>(both);
  i64 s = static_cast<i64>((width - sqrt(max(0.0, width * width - items))) / 2);
  s = max(static_cast<i64>(0), min(s, n_shells - 1));
  const int halves = within ? 2 : 1;
  while (s > 0 && s * (both - s) / halves > item) --s;
  while (s + 1 < n_shells && (s + 1) * (both - s - 1) / halves <= item) ++s;
  const i64 rest = item - s * (both - s) / halves;
  if (within) return {s, s + 1 + rest};
  if (rest < columns - s) return {s, s + rest};
  return {s + 1 + rest - (columns - s), s};
}

// The clouds at a place, by their numbers; within one set the lower first, as in a matrix's upper half.
__device__ __forceinline__ Places clouds_at(Places at, const i64* rows, const i64* columns, bool within) {
  const i64 a = rows[at.row];
  const i64 b = columns[at.column];
  if (within && b < a) return {b, a};
  return {a, b};
}

__device__ __forceinline__ u64 bits_of(double value) { return static_cast<u64>(__double_as_longlong(value)); }

// factor * (sum or mean of distance^power to b + back) of the items [first, end), at distances[item - first];
// the least of every cloud gets into x_least and y_least (bits, which order as the distances do: none is
// negative). x_rank, y_rank: clouds by size. next[0] starts at `first`. Within a set both sides are one.
extern "C" __global__ void __launch_bounds__(32 * WARPS, MIN_BLOCKS)
    distances_of_clouds(const real* x, const i64* x_offsets, const i64* x_rank, const real* y, const i64* y_offsets,
                        const i64* y_rank, i64 n_x, i64 n_y, int within, int d_any, int tile, int power, int mean,
                        double factor, i64 first, i64 end, u64* next, double* distances, u64* x_least, u64* y_least) {
  DYNAMIC_SHARED(memory);
  __shared__ u64 taken;
  __shared__ i64 clouds[2];
  __shared__ double ways[2];
  const int d = dimension(d_any);
  for (;;) {
    const i64 item = static_cast<i64>(take(next, &taken));
    if (item >= end) return;
    if (threadIdx.x == 0) {
      const Places pair = clouds_at(place_of(item, n_x, n_y, within != 0), x_rank, y_rank, within != 0);
      clouds[0] = pair.row;
      clouds[1] = pair.column;
    }
    __syncthreads();
    // One direction after the other through the same code: registers for both at once would not suffice.
#pragma unroll 1
    for (int back = 0; back < 2; ++back) {
      const i64* q_offsets = (back ? y_offsets : x_offsets) + clouds[back];
      const i64* t_offsets = (back ? x_offsets : y_offsets) + clouds[1 - back];
      const i64 begin = q_offsets[0], n = q_offsets[1] - q_offsets[0];
      const double sum = sum_to_cloud(back ? y : x, begin, begin + n, (back ? x : y) + t_offsets[0] * d,
                                      t_offsets[1] - t_offsets[0], d, tile, power, reinterpret_cast<real*>(memory));
      if (threadIdx.x == 0) ways[back] = mean ? sum / static_cast<double>(n) : sum;
    }
    if (threadIdx.x == 0) {
      const double distance = factor * (ways[0] + ways[1]);
      distances[item - first] = distance;
      atomicMin(x_least + clouds[0], bits_of(distance));
      atomicMin(y_least + clouds[1], bits_of(distance));
    }
  }
}

// Whoever has come nearer since is nearer than all that were before: `least` is what is least now, `before`
// what was least when `ids` were found.
extern "C" __global__ void __launch_bounds__(256) forget_farther(i64 n, const u64* least, u64* before, int* ids) {
  const i64 i = static_cast<i64>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= n || least[i] == before[i]) return;
  before[i] = least[i];
  ids[i] = NO_POINT;
}

// The lowest number of those at the least distance: it is known by now, so that integer minima suffice.
extern "C" __global__ void __launch_bounds__(256)
    claim_nearest(const i64* x_rank, const i64* y_rank, i64 n_x, i64 n_y, int within, i64 first, i64 end,
                  const double* distances, const u64* x_least, const u64* y_least, int* x_ids, int* y_ids) {
  const i64 item = first + static_cast<i64>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (item >= end) return;
  const u64 bits = bits_of(distances[item - first]);
  const Places pair = clouds_at(place_of(item, n_x, n_y, within != 0), x_rank, y_rank, within != 0);
  if (bits == x_least[pair.row]) atomicMin(x_ids + pair.row, static_cast<int>(pair.column));
  if (bits == y_least[pair.column]) atomicMin(y_ids + pair.column, static_cast<int>(pair.row));
}

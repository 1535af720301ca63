// Chamfer sums of many pairs of clouds: one block a pair and direction, which adds up on the way, so
// that nothing of the size of the points is stored. Targets that fit into shared memory stay there for
// all queries of a block.

#include "tiles.cuh"

// Half `blockIdx.x & 1` of pair `blockIdx.x / 2`: the sum over cloud a's points of distance^power to b.
extern "C" __global__ void __launch_bounds__(32 * WARPS, MIN_BLOCKS)
sums_of_pairs(const real* x, const i64* x_offsets, const real* y, const i64* y_offsets, const i64* pairs, int d_any,
              int tile, int power, double* sums) {
  DYNAMIC_SHARED(memory);
  const int d = dimension(d_any);
  const i64 pair = blockIdx.x / 2;
  const bool back = (blockIdx.x & 1u) != 0;
  const i64* q_offsets = (back ? y_offsets : x_offsets) + pairs[2 * pair + (back ? 1 : 0)];
  const i64* t_offsets = (back ? x_offsets : y_offsets) + pairs[2 * pair + (back ? 0 : 1)];
  const real* queries = back ? y : x;
  const real* targets = (back ? x : y) + t_offsets[0] * d;
  const i64 n_targets = t_offsets[1] - t_offsets[0];

  real* tile_memory = reinterpret_cast<real*>(memory);
  real* of_warp = tile_memory + tile_stride(tile) * d;
  real* query_memory = of_warp + WARPS * QUERIES;
  double mine = 0;
  for (i64 first = q_offsets[0]; first < q_offsets[1]; first += QUERIES) {
    __syncthreads();  // nobody reads the last queries' results, or the queries, any more
    Query query;
    load_queries<ROWS>(queries, first, q_offsets[1], d, query_memory, &query);
    __syncthreads();
    real best[ROWS];
    int place[ROWS];
    for (int r = 0; r < ROWS; ++r) {
      best[r] = REAL_INFINITY;
      place[r] = NO_POINT;
    }
    const bool load = first == q_offsets[0] || n_targets > tile;
    scan_targets(targets, 0, n_targets, d, tile, load, tile_memory, &query, best, place);
    for (int r = 0; r < ROWS; ++r) of_warp[warp_id() * QUERIES + r * 32 + lane_id()] = best[r];
    __syncthreads();
    for (int q = threadIdx.x; q < QUERIES && first + q < q_offsets[1]; q += blockDim.x) {
      real least = of_warp[q];
      for (int w = 1; w < WARPS; ++w) least = min(least, of_warp[w * QUERIES + q]);
      mine += power == 2 ? static_cast<double>(least) : sqrt(static_cast<double>(least));
    }
  }
  // Threads in a fixed order: the same bits every time.
  for (int by = 16; by > 0; by /= 2) mine += __shfl_xor_sync(FULL_MASK, mine, by);
  __shared__ double sum_of_warp[WARPS];
  if (lane_id() == 0) sum_of_warp[warp_id()] = mine;
  __syncthreads();
  if (threadIdx.x == 0) {
    double all = sum_of_warp[0];
    for (int w = 1; w < WARPS; ++w) all += sum_of_warp[w];
    sums[blockIdx.x] = all;
  }
}

// The proof of an assignment, whatever found it: its cost from above, and from below what its prices are
// worth, mean_i min_j (c_ij + p_j) - mean_j p_j (a dual solution, whatever the prices). In float64, and
// moved apart by what rounding can amount to.

#include "common.cuh"
#include "emd.cuh"

#define TILE 256

// minima[i] = min_j (c_ij + p_j) of every row; n_tiles blocks a pair, one thread a row.
extern "C" __global__ void __launch_bounds__(TILE, 3)
    row_minima(const real* x, const real* y, const i64* offsets, int n_tiles, int d, int squared,
               const unsigned char* skip, const double* prices, double* minima) {
#if DIM > 0
  __shared__ real points[TILE * DIM];
#else
  const real* points;
#endif
  __shared__ double tile[TILE];
  const i64 pair = blockIdx.x / n_tiles;
  const i64 first = offsets[pair], n = offsets[pair + 1] - first;
  const i64 i = static_cast<i64>(blockIdx.x % n_tiles) * TILE + threadIdx.x;
  if (skip[pair] || static_cast<i64>(blockIdx.x % n_tiles) * TILE >= n) return;
#if DIM > 0
  real row[DIM];
  for (int a = 0; a < DIM; ++a) row[a] = i < n ? x[(first + i) * DIM + a] : static_cast<real>(0);
#else
  const real* row = x + (first + (i < n ? i : 0)) * d;
#endif
  double least = double_of_bits(INFINITE_BITS);
  for (i64 from = 0; from < n; from += TILE) {
    const int size = static_cast<int>(min(static_cast<i64>(TILE), n - from));
    __syncthreads();
    if (static_cast<int>(threadIdx.x) < size) tile[threadIdx.x] = prices[first + from + threadIdx.x];
#if DIM > 0
    for (int k = static_cast<int>(threadIdx.x); k < size * DIM; k += TILE) points[k] = y[(first + from) * DIM + k];
#else
    points = y + (first + from) * d;
#endif
    __syncthreads();
    for (int j = 0; j < size; ++j) {
      least = min(least, exact_cost(row, points + static_cast<i64>(j) * dimension(d), d, squared) + tile[j]);
    }
  }
  if (i < n) minima[first + i] = least;
}

namespace {

// The sum of a value a thread over the block, the same in every run; valid in thread 0.
__device__ double block_sum(double value, double* of_warp) {
  for (int by = 16; by > 0; by /= 2) value += __shfl_xor_sync(FULL_MASK, value, by);
  __syncthreads();
  if (lane_id() == 0) of_warp[warp_id()] = value;
  __syncthreads();
  double all = 0;
  for (int w = 0; w < TILE / 32; ++w) all += of_warp[w];
  return all;
}

}  // namespace

// One block a pair. Where a row has no column, upper is infinite.
extern "C" __global__ void __launch_bounds__(TILE, 3)
    bounds(const real* x, const real* y, const i64* offsets, int d, int squared, double tolerance, const double* prices,
           const double* minima, const int* column_of, double* upper, double* lower, unsigned char* converged) {
  __shared__ double of_warp[TILE / 32];
  const i64 first = offsets[blockIdx.x], n = offsets[blockIdx.x + 1] - first;
  if (converged[blockIdx.x]) return;
  double cost = 0, dual = 0, size = 0;
  for (i64 i = threadIdx.x; i < n; i += TILE) {
    const int j = column_of[first + i];
    cost += j < 0 ? double_of_bits(INFINITE_BITS) : exact_cost(x + (first + i) * d, y + (first + j) * d, d, squared);
    dual += minima[first + i] - prices[first + i];
    size += fabs(minima[first + i]) + fabs(prices[first + i]);
  }
  cost = block_sum(cost, of_warp);
  dual = block_sum(dual, of_warp);
  size = block_sum(size, of_warp);
  if (threadIdx.x != 0) return;
  if (size != size) {  // of clouds that are not finite
    upper[blockIdx.x] = lower[blockIdx.x] = size;
    return;
  }
  // A cost is rounded d + 4 times, a sum of costs once a term of a thread and 5 + 8 times in the block.
  const double rounding = (d + 24.0 + static_cast<double>((n + TILE - 1) / TILE)) * 1.1102230246251566e-16;
  const double above = cost / n * (1 + rounding);
  const double below = max(0.0, (dual - size * rounding) / n);
  upper[blockIdx.x] = above;
  lower[blockIdx.x] = min(above, below);
  const bool complete = above < double_of_bits(INFINITE_BITS);
  converged[blockIdx.x] =
      complete && have_met(above, below, tolerance, rounding_of_bounds(above, size / n, 32)) ? 1 : 0;
}

// Gradients of the mean cost of a fixed assignment; coincident partners have none under the distance.
extern "C" __global__ void __launch_bounds__(TILE, 3)
    gradients(const real* x, const real* y, const i64* offsets, int n_tiles, int d, int squared, const int* column_of,
              real* grad_x, real* grad_y) {
  const i64 pair = blockIdx.x / n_tiles;
  const i64 first = offsets[pair], n = offsets[pair + 1] - first;
  const i64 i = static_cast<i64>(blockIdx.x % n_tiles) * TILE + threadIdx.x;
  if (i >= n) return;
  const int partner = column_of[first + i];
  if (partner < 0) return;  // what has no partner keeps what it was filled with
  const i64 row = (first + i) * d, column = (first + partner) * d;
  const double length = exact_cost(x + row, y + column, d, 0);
  const double share = 1.0 / static_cast<double>(n);
  const double factor = squared ? 2.0 * share : length > 0 ? share / length : 0.0;
  for (int a = 0; a < d; ++a) {
    const double flow = (static_cast<double>(x[row + a]) - static_cast<double>(y[column + a])) * factor;
    grad_x[row + a] = static_cast<real>(flow);
    grad_y[column + a] = static_cast<real>(-flow);
  }
}

// Sums over the clouds of a packed batch, the largest magnitude of an array, and counts of its values.

#include "common.cuh"

#if REAL_BITS == 32
__device__ __forceinline__ u64 bits_of(real value) { return __float_as_uint(value) & 0x7fffffffu; }
#else
__device__ __forceinline__ u64 bits_of(real value) {
  return static_cast<u64>(__double_as_longlong(value)) & 0x7fffffffffffffffull;
}
#endif

// Without its sign a floating-point number orders like its bits, and NaN above infinity above all else:
// the largest bits tell of every value that is not finite. most[slot] is of a and starts at 0; with two rows of
// blocks, most[slot + 1] is of b.
extern "C" __global__ void __launch_bounds__(256)
    max_magnitudes(const real* a, i64 n_a, const real* b, i64 n_b, u64* most, int slot) {
  const real* values = blockIdx.y == 0 ? a : b;
  const i64 n = blockIdx.y == 0 ? n_a : n_b;
  u64 mine = 0;
  const i64 step = static_cast<i64>(gridDim.x) * blockDim.x;
  for (i64 i = static_cast<i64>(blockIdx.x) * blockDim.x + threadIdx.x; i < n; i += step) {
    const u64 bits = bits_of(values[i]);
    mine = bits > mine ? bits : mine;
  }
  for (int by = 16; by > 0; by /= 2) {
    const u64 other = __shfl_xor_sync(FULL_MASK, mine, by);
    mine = other > mine ? other : mine;
  }
  if (lane_id() == 0) atomicMax(most + slot + blockIdx.y, mine);
}

// The sum of a value a thread over the block's 256; a barrier must lie between two of them.
__device__ __forceinline__ double block_sum(double mine, double* of_warp) {
  for (int by = 16; by > 0; by /= 2) mine += __shfl_xor_sync(FULL_MASK, mine, by);
  if (lane_id() == 0) of_warp[warp_id()] = mine;
  __syncthreads();
  double all = of_warp[0];
  for (int w = 1; w < 8; ++w) all += of_warp[w];
  return all;
}

// sums[s * n_chunks + c] = sum over chunk c of segment s of the values in float64.
// The order of additions depends on the sizes alone, so a sum has the same bits every time.
extern "C" __global__ void __launch_bounds__(256)
    segment_sums(const real* values, const i64* offsets, i64 chunk, int n_chunks, double* sums) {
  __shared__ double of_warp[8];
  const i64 segment = blockIdx.x / n_chunks;
  const i64 first = offsets[segment] + blockIdx.x % n_chunks * chunk;
  const i64 last = min(first + chunk, offsets[segment + 1]);
  double mine = 0;
  for (i64 i = first + threadIdx.x; i < last; i += blockDim.x) mine += static_cast<double>(values[i]);
  const double all = block_sum(mine, of_warp);
  if (threadIdx.x == 0) sums[blockIdx.x] = all;
}

// values[s] = factor * (sum or mean of x's segment s + that of y's), of the values or of their roots: the sums of
// segment_sums of one chunk, and what would be four operations on arrays after it, one block a pair.
extern "C" __global__ void __launch_bounds__(256)
    sum_both_ways(const real* x, const i64* x_offsets, const real* y, const i64* y_offsets, int root, int mean,
                  double factor, double* values) {
  __shared__ double of_warp[8];
  double both = 0;
  for (int back = 0; back < 2; ++back) {
    const real* from = back ? y : x;
    const i64* offsets = (back ? y_offsets : x_offsets) + blockIdx.x;
    double mine = 0;
    for (i64 i = offsets[0] + threadIdx.x; i < offsets[1]; i += blockDim.x) {
      mine += static_cast<double>(root ? sqrt(from[i]) : from[i]);
    }
    const double all = block_sum(mine, of_warp);
    both += mean ? all / static_cast<double>(offsets[1] - offsets[0]) : all;
    __syncthreads();  // before the sums of warps are written over
  }
  if (threadIdx.x == 0) values[blockIdx.x] = factor * both;
}

// counts[rows[i]] += 1; `counts` starts at 0. Integers: the order of the atomics does not matter.
extern "C" __global__ void __launch_bounds__(256) count_rows(const i64* rows, i64 n, u64* counts) {
  const i64 i = static_cast<i64>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < n) atomicAdd(counts + rows[i], 1ull);
}

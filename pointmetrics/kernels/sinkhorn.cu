// Sinkhorn divergence without the matrix: soft minima over all columns are summed as they are met, from a
// tile of points in shared memory. Three problems a pair: x to y (0), x to x (1) and y to y (2); the last
// two are symmetric, so one potential stands for both of theirs.
//
// Costs and potentials are float64. For float32 clouds the exponential alone is float32: it is off by
// 1e-7 of itself, so potentials by 1e-7 epsilon, which is less than iterations are stopped at.

#include "common.cuh"

#define TILE 128
#define CHUNK 8  // columns whose smallest value is found before any of them is summed

namespace {

__device__ __forceinline__ double exponential(double value) {
#if REAL_BITS == 32
  return static_cast<double>(__expf(static_cast<float>(value)));
#else
  return exp(value);
#endif
}

__device__ __forceinline__ double root(double value) {
#if REAL_BITS == 32
  // One Newton step from the float32 root: 1e-14 of the root, at a third of the time.
  const double normal = value > 1e-37 ? value : 1e-37;
  const double inverse = static_cast<double>(rsqrtf(static_cast<float>(normal)));
  const double guess = normal * inverse;
  return value > 1e-37 ? guess + 0.5 * inverse * (normal - guess * guess) : sqrt(value);
#else
  return sqrt(value);
#endif
}

// Where the clouds of a problem begin and end.
struct Span {
  i64 first, n;
};

__device__ __forceinline__ Span span(const i64* offsets, i64 pair) {
  return {offsets[pair], offsets[pair + 1] - offsets[pair]};
}

__device__ double block_max(double value, double* of_warp) {
  for (int by = 16; by > 0; by /= 2) value = max(value, __shfl_xor_sync(FULL_MASK, value, by));
  __syncthreads();
  if (lane_id() == 0) of_warp[warp_id()] = value;
  __syncthreads();
  double all = of_warp[0];
  for (int w = 1; w < static_cast<int>(blockDim.x) / 32; ++w) all = max(all, of_warp[w]);
  return all;
}

__device__ double block_sum(double value, double* of_warp) {
  for (int by = 16; by > 0; by /= 2) value += __shfl_xor_sync(FULL_MASK, value, by);
  __syncthreads();
  if (lane_id() == 0) of_warp[warp_id()] = value;
  __syncthreads();
  double all = of_warp[0];
  for (int w = 1; w < static_cast<int>(blockDim.x) / 32; ++w) all += of_warp[w];
  return all;
}

// -log of a sum of exponentials, as its terms are met: `low` is the smallest value so far, `sum` that of
// exp((low - value) / epsilon).
struct SoftMinimum {
  double low, sum, inverse;  // inverse: 1 / epsilon

  __device__ __forceinline__ void add(const double (&value)[CHUNK], double least, int n) {
    if (least < low) sum *= exponential((least - low) * inverse), low = least;
#pragma unroll
    for (int c = 0; c < CHUNK; ++c) sum += c < n ? exponential((low - value[c]) * inverse) : 0.0;
  }
};

#if DIM > 0
typedef double coordinate;  // of a row in registers and a tile in shared memory
#else
typedef real coordinate;
#endif

// Add the columns of a tile, of `size` points, to the soft minimum of a row.
__device__ __forceinline__ void add_tile(const coordinate* row, const coordinate* points, const double* tile, int size,
                                         int d, int squared, SoftMinimum* to) {
  for (int first = 0; first < size; first += CHUNK) {
    double value[CHUNK], least = to->low;
#pragma unroll
    for (int c = 0; c < CHUNK; ++c) {
      const int j = min(first + c, size - 1);
      double total = 0;
      for (int a = 0; a < dimension(d); ++a) {
        const coordinate other = points[static_cast<i64>(j) * dimension(d) + a];
        total = add_square(total, static_cast<double>(row[a]) - static_cast<double>(other));
      }
      value[c] = (squared ? total : root(total)) - tile[j];
      least = min(least, value[c]);
    }
    to->add(value, least, size - first);
  }
}

// Over all n columns, a tile at a time: `points` and `tile` are in shared memory, and the whole block takes part.
__device__ __forceinline__ SoftMinimum soft_minimum(const coordinate* row, const real* columns, const double* potential,
                                                    i64 n, int d, int squared, double inverse, double* points,
                                                    double* tile) {
  SoftMinimum found = {__longlong_as_double(0x7ff0000000000000LL), 0, inverse};
  for (i64 from = 0; from < n; from += TILE) {
    const int size = static_cast<int>(min(static_cast<i64>(TILE), n - from));
    __syncthreads();
    const int me = static_cast<int>(threadIdx.x);
    if (me < size) tile[me] = potential[from + me];
#if DIM > 0
    for (int k = me; k < size * DIM; k += TILE) points[k] = static_cast<double>(columns[from * DIM + k]);
#endif
    __syncthreads();
#if DIM > 0
    add_tile(row, points, tile, size, d, squared, &found);
#else
    add_tile(row, columns + from * d, tile, size, d, squared, &found);
#endif
  }
  return found;
}

}  // namespace

// The first epsilon of every problem: the largest cost there can be in the bounding box of its clouds.
extern "C" __global__ void __launch_bounds__(256)
    first_epsilons(const real* x, const i64* x_offsets, const real* y, const i64* y_offsets, int d, int squared,
                   double epsilon, double* now) {
  __shared__ double of_warp[8];
  const i64 pair = blockIdx.x / 3, problem = blockIdx.x % 3;
  const double infinity = __longlong_as_double(0x7ff0000000000000LL);
  double sum = 0;
  for (int a = 0; a < d; ++a) {
    double low = infinity, high = -infinity;
    for (int side = 0; side < 2; ++side) {
      if (problem == 2 - side) continue;  // x is no part of y to y, y none of x to x
      const Span s = span(side == 0 ? x_offsets : y_offsets, pair);
      const real* points = side == 0 ? x : y;
      for (i64 i = threadIdx.x; i < s.n; i += blockDim.x) {
        const double value = static_cast<double>(points[(s.first + i) * d + a]);
        low = min(low, value), high = max(high, value);
      }
    }
    const double width = block_max(high, of_warp) + block_max(-low, of_warp);
    sum += width * width;
  }
  if (threadIdx.x == 0) now[blockIdx.x] = max(epsilon, squared ? sum : sqrt(sum));
}

// fresh_i = -epsilon log mean_j exp((potential_j - c_ij) / epsilon): one thread a row, n_tiles blocks a
// direction, four directions a pair: x from y, y from x, x from x, y from y. In the arrays of potentials
// "cross" is of the problem x to y, "own" of the cloud to itself.
extern "C" __global__ void __launch_bounds__(TILE, 6)
    soft_minima(const real* x, const i64* x_offsets, const real* y, const i64* y_offsets, int n_tiles, int d,
                int squared, const double* now, const unsigned char* done, const double* cross_x, const double* cross_y,
                const double* own_x, const double* own_y, double* fresh_cross_x, double* fresh_cross_y,
                double* fresh_own_x, double* fresh_own_y) {
#if DIM > 0
  __shared__ double points[TILE * DIM];
#else
  double* points = nullptr;
#endif
  __shared__ double tile[TILE];
  const i64 pair = blockIdx.x / (4 * n_tiles);
  const int direction = static_cast<int>(blockIdx.x / n_tiles % 4);
  const bool own = direction >= 2, rows_of_y = direction % 2 == 1, columns_of_y = own ? rows_of_y : !rows_of_y;
  const i64 problem = 3 * pair + (own ? 1 + rows_of_y : 0);
  const Span rows = span(rows_of_y ? y_offsets : x_offsets, pair);
  const Span columns = span(columns_of_y ? y_offsets : x_offsets, pair);
  const i64 i = static_cast<i64>(blockIdx.x % n_tiles) * TILE + threadIdx.x;
  if (done[problem] || static_cast<i64>(blockIdx.x % n_tiles) * TILE >= rows.n) return;
  const real* row_points = rows_of_y ? y : x;
  const real* column_points = (columns_of_y ? y : x) + columns.first * d;
  const double* potential = own ? (rows_of_y ? own_y : own_x) : (rows_of_y ? cross_x : cross_y);
  const double epsilon = now[problem];
#if DIM > 0
  double row[DIM];
  for (int a = 0; a < DIM; ++a) row[a] = static_cast<double>(row_points[(rows.first + min(i, rows.n - 1)) * DIM + a]);
#else
  const real* row = row_points + (rows.first + min(i, rows.n - 1)) * d;
#endif
  const SoftMinimum found =
      soft_minimum(row, column_points, potential + columns.first, columns.n, d, squared, 1.0 / epsilon, points, tile);
  if (i >= rows.n) return;
  double* fresh = own ? (rows_of_y ? fresh_own_y : fresh_own_x) : (rows_of_y ? fresh_cross_y : fresh_cross_x);
  fresh[rows.first + i] = found.low - epsilon * log(found.sum / static_cast<double>(columns.n));
}

// Average the potentials with the fresh ones, halve epsilon down to its final value, and stop a problem
// whose potentials stand still there. One block a problem.
extern "C" __global__ void __launch_bounds__(256)
    advance_potentials(const i64* x_offsets, const i64* y_offsets, double epsilon, double tolerance, double* now,
                       unsigned char* done, double* cross_x, double* cross_y, double* own_x, double* own_y,
                       const double* fresh_cross_x, const double* fresh_cross_y, const double* fresh_own_x,
                       const double* fresh_own_y) {
  __shared__ double of_warp[8];
  const i64 pair = blockIdx.x / 3, problem = blockIdx.x % 3;
  if (done[blockIdx.x]) return;
  double change = 0;
  for (int side = 0; side < 2; ++side) {
    if (problem == 2 - side) continue;
    const Span s = span(side == 0 ? x_offsets : y_offsets, pair);
    double* potential = problem == 0 ? (side == 0 ? cross_x : cross_y) : (side == 0 ? own_x : own_y);
    const double* fresh =
        problem == 0 ? (side == 0 ? fresh_cross_x : fresh_cross_y) : (side == 0 ? fresh_own_x : fresh_own_y);
    for (i64 i = s.first + threadIdx.x; i < s.first + s.n; i += blockDim.x) {
      change = max(change, 0.5 * fabs(fresh[i] - potential[i]));
      potential[i] = 0.5 * (potential[i] + fresh[i]);
    }
  }
  change = block_max(change, of_warp);
  if (threadIdx.x != 0) return;
  if (now[blockIdx.x] > epsilon) {
    now[blockIdx.x] = max(epsilon, 0.5 * now[blockIdx.x]);
  } else if (change <= tolerance * epsilon) {
    done[blockIdx.x] = 1;
  }
}

// OT(x, y) - (OT(x, x) + OT(y, y)) / 2, where OT is the sum of the means of both potentials.
extern "C" __global__ void __launch_bounds__(256)
    divergences(const i64* x_offsets, const i64* y_offsets, const double* cross_x, const double* cross_y,
                const double* own_x, const double* own_y, double* value) {
  __shared__ double of_warp[8];
  double total = 0;
  for (int side = 0; side < 2; ++side) {
    const Span s = span(side == 0 ? x_offsets : y_offsets, blockIdx.x);
    const double* cross = side == 0 ? cross_x : cross_y;
    const double* own = side == 0 ? own_x : own_y;
    double sum = 0;
    for (i64 i = s.first + threadIdx.x; i < s.first + s.n; i += blockDim.x) sum += cross[i] - own[i];
    total += block_sum(sum, of_warp) / static_cast<double>(s.n);
  }
  if (threadIdx.x == 0) value[blockIdx.x] = max(0.0, total);
}

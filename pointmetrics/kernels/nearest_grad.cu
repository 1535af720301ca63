// Gradients of weighted sums of squared nearest-neighbour distances, without atomics: every point
// collects what its neighbours give it, in index order and float64, so that the bits are the CPU's.
//
// With own points a, other points b, ids of nearest neighbours either way and coefficients c:
//   grad a_i = 2 c_i (a_i - b_id(i)) - sum over j with id(j) = i of 2 c_j (b_j - a_i)

#include "common.cuh"

#define THREADS 128
#define TILE 1024
#define AXES (DIM > 0 ? DIM : 4)  // axes summed at a time

struct Sides {
  const real* own;  // of this pair
  const real* other;
  const double* coef_other;
  i64 i;  // own point, within the pair
  int d;
};

__device__ __forceinline__ void add_flow(const Sides& s, i64 j, int first_axis, double* sum) {
  const double twice = 2.0 * s.coef_other[j];
#pragma unroll
  for (int a = 0; a < AXES; ++a) {
    if (DIM > 0 || first_axis + a < s.d) {
      const double flow = static_cast<double>(s.other[j * s.d + first_axis + a]) -
                          static_cast<double>(s.own[s.i * s.d + first_axis + a]);
      sum[a] += flow * twice;
    }
  }
}

__device__ __forceinline__ void store(const Sides& s, bool has_own, const int* id_own, const double* coef_own,
                                      int first_axis, const double* sum, real* grad) {
#pragma unroll
  for (int a = 0; a < AXES; ++a) {
    if (DIM == 0 && first_axis + a >= s.d) break;
    double own_flow = 0;
    if (has_own) {
      const double apart = static_cast<double>(s.own[s.i * s.d + first_axis + a]) -
                           static_cast<double>(s.other[static_cast<i64>(id_own[s.i]) * s.d + first_axis + a]);
      own_flow = apart * (2.0 * coef_own[s.i]);
    }
    grad[s.i * s.d + first_axis + a] = static_cast<real>(own_flow - sum[a]);
  }
}

// Every thread looks through the ids of all other points for its own: one comparison a pair, a small
// part of what the search cost, and no sorting. For clouds small enough to have been searched so.
extern "C" __global__ void __launch_bounds__(THREADS)
    pull_scan(const real* own, const i64* own_offsets, const real* other, const i64* other_offsets,
              const int* first_block, int n_pairs, int d_any, int has_own, const int* id_own, const double* coef_own,
              int has_other, const int* id_other, const double* coef_other, real* grad) {
  __shared__ __align__(16) int ids[TILE];  // read four at a time
  const int d = dimension(d_any);
  const int pair = find_item(first_block, n_pairs, static_cast<int>(blockIdx.x));
  const i64 a0 = own_offsets[pair];
  const i64 b0 = other_offsets[pair];
  const i64 n_own = own_offsets[pair + 1] - a0;
  const i64 n_other = has_other ? other_offsets[pair + 1] - b0 : 0;
  const i64 i = static_cast<i64>(static_cast<int>(blockIdx.x) - first_block[pair]) * THREADS + threadIdx.x;
  const Sides s = {own + a0 * d, other + b0 * d, coef_other + (has_other ? b0 : 0), min(i, n_own - 1), d};
  const int mine = static_cast<int>(i);  // past the end: nobody's neighbour
  for (int first_axis = 0; first_axis < d; first_axis += AXES) {
    double sum[AXES] = {};
    for (i64 first = 0; first < n_other; first += TILE) {
      const int count = static_cast<int>(min(static_cast<i64>(TILE), n_other - first));
      __syncthreads();
      for (int k = threadIdx.x; k < TILE; k += THREADS) ids[k] = k < count ? id_other[b0 + first + k] : -1;
      __syncthreads();
      for (int k = 0; k < count; k += 4) {
        const int4 four = *reinterpret_cast<const int4*>(ids + k);
        if (four.x == mine || four.y == mine || four.z == mine || four.w == mine) {
          if (four.x == mine) add_flow(s, first + k, first_axis, sum);
          if (four.y == mine) add_flow(s, first + k + 1, first_axis, sum);
          if (four.z == mine) add_flow(s, first + k + 2, first_axis, sum);
          if (four.w == mine) add_flow(s, first + k + 3, first_axis, sum);
        }
      }
    }
    if (i < n_own) {
      store(s, has_own != 0, id_own + (has_own ? a0 : 0), coef_own + (has_own ? a0 : 0), first_axis, sum,
            grad + a0 * d);
    }
  }
}

// For one pair of large clouds: `order` lists the other points by their neighbour, those of own point i
// at [starts[i], starts[i + 1]) in ascending order.
extern "C" __global__ void __launch_bounds__(THREADS)
    pull_sorted(const real* own, i64 n_own, const real* other, int d_any, int has_own, const int* id_own,
                const double* coef_own, int has_other, const i64* order, const i64* starts, const double* coef_other,
                real* grad) {
  const int d = dimension(d_any);
  const i64 i = static_cast<i64>(blockIdx.x) * THREADS + threadIdx.x;
  if (i >= n_own) return;
  const Sides s = {own, other, coef_other, i, d};
  const i64 begin = has_other ? starts[i] : 0;
  const i64 end = has_other ? starts[i + 1] : 0;
  for (int first_axis = 0; first_axis < d; first_axis += AXES) {
    double sum[AXES] = {};
    for (i64 k = begin; k < end; ++k) add_flow(s, order[k], first_axis, sum);
    store(s, has_own != 0, id_own, coef_own, first_axis, sum, grad);
  }
}

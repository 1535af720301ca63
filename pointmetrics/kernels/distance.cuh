// Squared distances of the queries in registers to groups of targets in shared memory.

#include "common.cuh"

#define GROUP 8
#define NO_POINT 0x7fffffff

// What a lane knows of its queries: their coordinates where the dimension is known, else where the
// block keeps them in shared memory (axis a of query q at [a * n + q]).
#if DIM > 0
struct Query {
  real at[4][DIM];
};
#else
struct Query {
  const real* at;
};
#endif

// Lane l gets the queries first + r * 32 + l; past the end, the last one again.
template <int kRows>
__device__ __forceinline__ void load_queries(const real* points, i64 first, i64 end, int d, real* shared,
                                             Query* query) {
#if DIM > 0
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    const real* from = points + min(first + r * 32 + lane_id(), end - 1) * DIM;
#pragma unroll
    for (int a = 0; a < DIM; ++a) query->at[r][a] = from[a];
  }
#else
  const int n = 32 * kRows;
  for (int e = threadIdx.x; e < n * d; e += blockDim.x) {
    shared[e % d * n + e / d] = points[min(first + e / d, end - 1) * d + e % d];
  }
  query->at = shared + lane_id();  // the caller's next barrier is before the first use
#endif
}

// Sixteen bytes at a time.
__device__ __forceinline__ void load_group(const real* from, real* to) {
#if REAL_BITS == 32
#pragma unroll
  for (int k = 0; k < GROUP; k += 4) {
    const float4 four = *reinterpret_cast<const float4*>(from + k);
    to[k] = four.x;
    to[k + 1] = four.y;
    to[k + 2] = four.z;
    to[k + 3] = four.w;
  }
#else
#pragma unroll
  for (int k = 0; k < GROUP; k += 2) {
    const double2 two = *reinterpret_cast<const double2*>(from + k);
    to[k] = two.x;
    to[k + 1] = two.y;
  }
#endif
}

// The squared distances of the queries to the GROUP targets at `group`.
template <int kRows>
__device__ __forceinline__ void group_distances(const real* group, int stride, int d, const Query* query,
                                                real (&sum)[kRows][GROUP]) {
#if DIM > 0
#pragma unroll
  for (int a = 0; a < DIM; ++a) {
    real target[GROUP];
    load_group(group + a * stride, target);
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
#pragma unroll
      for (int k = 0; k < GROUP; ++k) {
        const real difference = query->at[r][a] - target[k];
        sum[r][k] = a == 0 ? difference * difference : add_square(sum[r][k], difference);
      }
    }
  }
#else
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
#pragma unroll
    for (int k = 0; k < GROUP; ++k) sum[r][k] = 0;
  }
  for (int a = 0; a < d; ++a) {
    real target[GROUP];
    load_group(group + a * stride, target);
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const real coordinate = query->at[(a * kRows + r) * 32];
#pragma unroll
      for (int k = 0; k < GROUP; ++k) {
        sum[r][k] = add_square(sum[r][k], coordinate - target[k]);
      }
    }
  }
#endif
}

// Bring best[r] and place[r] up to date with the GROUP targets at `group`, the first of index `first`.
template <int kRows>
__device__ __forceinline__ void group_minima(const real* group, int stride, int d, const Query* query, int first,
                                             real (&best)[kRows], int (&place)[kRows]) {
  real sum[kRows][GROUP];
  group_distances<kRows>(group, stride, d, query, sum);
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    real least = sum[r][0];
#pragma unroll
    for (int k = 1; k < GROUP; ++k) least = min(least, sum[r][k]);
    if (least < best[r]) {
      best[r] = least;
      place[r] = first;
    }
  }
}

// A query or targets that are not finite have no nearest target, and are looked at by nobody while a graph is recorded:
// the distance is NaN then, and the index one that may be followed.
__device__ __forceinline__ int found_or_first(int id) { return id == NO_POINT ? 0 : id; }
__device__ __forceinline__ real found_or_nan(real sq_dist) {
  return sq_dist < REAL_INFINITY ? sq_dist : REAL_INFINITY - REAL_INFINITY;
}

// The lowest index within the group at `first` whose squared distance is `sq_dist`.
__device__ __forceinline__ int place_in_group(const real* query, const real* targets, int first, i64 n_targets, int d,
                                              real sq_dist) {
  const i64 end = min(static_cast<i64>(first) + GROUP, n_targets);
  for (i64 j = first; j < end; ++j) {
    if (sq_distance<real>(query, 1, targets + j * d, 1, d) == sq_dist) return static_cast<int>(j);
  }
  return NO_POINT;
}

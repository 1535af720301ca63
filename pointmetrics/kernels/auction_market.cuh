// The pair of an auction (emd_auction.cu), and the columns that a row would rather have: lists of the best, which hold
// until prices have risen past them.

#include "common.cuh"
#include "emd.cuh"

#define N_KEPT 2  // columns a lane keeps
#define FREE -1
#define INFINITE __int_as_float(0x7f800000)  // float32, whatever the clouds are

namespace {

// What a block knows of its pair. Columns are stored with their prices: coordinates, then price; their
// number is filled up to whole warps with some of infinite price.
struct Market {
  const float* x;
  float* columns;
  u64* words;  // of the highest bid a column: the bits of the price, then ~row
  int* lists;
  float* floats;  // rests, slacks
  int* ints;      // the queue of free rows, in either of two parts in turn; wanted; owner
  int* column_of;
  int n, d, squared;
};

__device__ __forceinline__ float& rest_of(const Market& m, int i) { return m.floats[i]; }
// How far the value of a row's own column is from its best.
__device__ __forceinline__ float& slack_of(const Market& m, int i) { return m.floats[m.n + i]; }
__device__ __forceinline__ int* queue_of(const Market& m, int now) { return m.ints + now * static_cast<i64>(m.n); }
// The column that the k-th of the queue bids for.
__device__ __forceinline__ int& wanted_by(const Market& m, int k) { return m.ints[2 * static_cast<i64>(m.n) + k]; }
__device__ __forceinline__ int& owner_of(const Market& m, int j) { return m.ints[3 * static_cast<i64>(m.n) + j]; }

// An approximation will do, and needs no care for subnormal numbers.
__device__ __forceinline__ float inverse_root(float value) {
#if defined(__CUDA_ARCH__)
  float root;
  asm("rsqrt.approx.ftz.f32 %0, %1;" : "=f"(root) : "f"(value));
  return root;
#else
  return rsqrtf(value);
#endif
}

__device__ __forceinline__ float unit_cost(const Market& m, const float* row, const float* column) {
  float sum = 1e-30f;  // far below what float32 coordinates of size 1 tell apart: the root needs no case for 0
#if DIM > 0
#pragma unroll
#endif
  for (int a = 0; a < dimension(m.d); ++a) {
    const float delta = row[a] - column[a];
    sum = fmaf(delta, delta, sum);
  }
  return m.squared ? sum : sum * inverse_root(sum);
}

#if DIM == 3
#define COLUMN(m, j)                                                     \
  const float4 packed = reinterpret_cast<const float4*>((m).columns)[j]; \
  const float column[4] = {packed.x, packed.y, packed.z, packed.w}
#else
#define COLUMN(m, j) const float* column = (m).columns + static_cast<i64>(j) * (dimension((m).d) + 1)
#endif
#define ROW(m, i)                                                   \
  const float* at = (m).x + static_cast<i64>(i) * dimension((m).d); \
  LOCAL_ROW
#if DIM > 0
#define LOCAL_ROW \
  float row[DIM]; \
  for (int a = 0; a < DIM; ++a) row[a] = at[a]
#else
#define LOCAL_ROW const float* row = at
#endif

__device__ __forceinline__ float& price_of(const Market& m, int j) {
  return m.columns[static_cast<i64>(j) * (dimension(m.d) + 1) + dimension(m.d)];
}

__device__ __forceinline__ float value_of(const Market& m, const float* row, int j) {
  COLUMN(m, j);
  return unit_cost(m, row, column) + column[dimension(m.d)];
}

// The columns of the two smallest values that a lane has seen, and the third smallest value.
struct Kept {
  float best, second, third;
  int best_column, second_column;
};

// Sorted in without a branch: what is pushed out of one place tries the next.
__device__ __forceinline__ void keep(Kept* kept, float value, int column) {
  const bool better = value < kept->best;
  const float out = max(kept->best, value);
  const int out_column = better ? kept->best_column : column;
  kept->best = min(kept->best, value), kept->best_column = better ? column : kept->best_column;
  kept->third = min(kept->third, max(kept->second, out));
  kept->second_column = out < kept->second ? out_column : kept->second_column;
  kept->second = min(kept->second, out);
}

// What a lane keeps of the columns lane, lane + 32, ..: part `part` of `n_parts` of them. The scan starts at
// another place for every row: of columns that tie, the first is kept, and rows should not all go for the
// same.
__device__ Kept scan(const Market& m, int i, int part, int n_parts) {
  ROW(m, i);
  const int steps = (m.n + 31) / 32, start = i / 32 % steps;
  const int from = start + steps * part / n_parts, to = start + steps * (part + 1) / n_parts;
  Kept kept = {INFINITE, INFINITE, INFINITE, FREE, FREE};
  for (int turn = 0; turn < 2; ++turn) {
    const int first = turn == 0 ? min(from, steps) : max(from - steps, 0);
    const int last = turn == 0 ? min(to, steps) : max(to - steps, 0);
    for (int j = first * 32 + lane_id(); j < last * 32; j += 32) keep(&kept, value_of(m, row, j), j);
  }
  return kept;
}

// Make what its lanes kept the list of row i.
__device__ void store(const Market& m, int i, const Kept& kept) {
  int* list = m.lists + static_cast<i64>(i) * (32 * N_KEPT) + N_KEPT * lane_id();
  list[0] = kept.best_column;
  list[1] = kept.second_column;
  const unsigned rest = warp_min(__float_as_uint(kept.third));
  if (lane_id() == 0) rest_of(m, i) = __uint_as_float(rest);
  __syncwarp();
}

struct Best {
  float value, second;  // the smallest value, and the smallest of the other columns' or a bound below it
  int column;
};

// The best of row i's list; every lane gets it. Lanes are asked in turn from another one for every row.
__device__ Best peek(const Market& m, int i) {
  ROW(m, i);
  const int* list = m.lists + static_cast<i64>(i) * (32 * N_KEPT) + N_KEPT * lane_id();
  const int first = list[0], other = list[1];
  float value = first == FREE ? INFINITE : value_of(m, row, first);
  float second = other == FREE ? INFINITE : value_of(m, row, other);
  int column = first;
  if (second < value) {
    const float kept = value;
    value = second, second = kept;
    column = other;
  }
  const unsigned least = warp_min(__float_as_uint(value));
  const unsigned tied = __ballot_sync(FULL_MASK, __float_as_uint(value) == least);
  const int turn = i & 31;
  const unsigned turned = tied >> turn | (turn == 0 ? 0u : tied << (32 - turn));
  const int winner = (__ffs(static_cast<int>(turned)) - 1 + turn) & 31;
  const unsigned next = warp_min(__float_as_uint(lane_id() == winner ? second : value));
  return {__uint_as_float(least), min(__uint_as_float(next), rest_of(m, i)), __shfl_sync(FULL_MASK, column, winner)};
}

__device__ __forceinline__ bool is_exact(const Market& m, int i, const Best& best) {
  return best.value <= rest_of(m, i) && best.column != FREE;
}

__device__ Best best_of(const Market& m, int i, int* n_scans) {
  const Best found = peek(m, i);
  if (is_exact(m, i, found)) return found;
  ++*n_scans;
  store(m, i, scan(m, i, 0, 1));
  return peek(m, i);
}

}  // namespace

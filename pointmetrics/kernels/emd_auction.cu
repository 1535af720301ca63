// An auction with falling epsilon (Bertsekas 1988) for the assignment of the rows x to the columns y of
// every pair: one block a pair.
//
// It only has to come close: whatever its prices are worth is proven afterwards in float64
// (emd_bounds.cu), and what they leave open is closed along shortest paths (emd_augment.cu). So it
// computes in float32, on coordinates brought to [-1, 1] (emd_normalise.cu).
//
// In a round all free rows bid at the same prices and every column goes to its highest bid (of equal
// ones, that of the lowest row). Who is served by which warp changes nothing, so results depend neither
// on the size of the block nor on timing. Each row keeps the columns of the two smallest values (cost +
// price) among those of every lane, and in `rest` a bound below all others': prices only rise, so `rest`
// stays a bound, and a bid looks at 64 columns instead of n until its best value passes it.

#include "common.cuh"
#include "emd.cuh"

#define N_KEPT 2          // columns a lane keeps
#define FREE -1
#define SHRINK 0.2f       // epsilon from phase to phase
#define FIRST_BIDS 64     // bids a row, on average, before the first epsilon counts as too small
#define FIXED 17179869184.0  // 2^34: sums are kept in fixed point, in which order does not matter

namespace {

// What a block knows of its pair. Columns are stored with their prices: coordinates, then price; their
// number is filled up to whole warps with some of infinite price.
struct Market {
  const float* x;
  float* columns;
  u64* words;  // of the highest bid a column: the bits of the price, then ~row
  int* lists;
  float* rests;
  int n, d, squared;
};

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
#define COLUMN(m, j) const float4 packed = reinterpret_cast<const float4*>((m).columns)[j]; \
  const float column[4] = {packed.x, packed.y, packed.z, packed.w}
#else
#define COLUMN(m, j) const float* column = (m).columns + static_cast<i64>(j) * (dimension((m).d) + 1)
#endif
#define ROW(m, i) const float* at = (m).x + static_cast<i64>(i) * dimension((m).d); LOCAL_ROW
#if DIM > 0
#define LOCAL_ROW float row[DIM]; for (int a = 0; a < DIM; ++a) row[a] = at[a]
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

// Fill row i's list from all columns, each lane from every 32nd. The scan starts at another place for
// every row: of columns that tie, the first is kept, and rows should not all go for the same.
__device__ void scan(const Market& m, int i) {
  ROW(m, i);
  const int steps = (m.n + 31) / 32, start = i / 32 % steps;
  float best = REAL_INFINITY, second = REAL_INFINITY, third = REAL_INFINITY;
  int best_column = FREE, second_column = FREE;
  for (int turn = 0; turn < 2; ++turn) {
    const int end = turn == 0 ? steps : start;
    for (int j = (turn == 0 ? start : 0) * 32 + lane_id(); j < end * 32; j += 32) {
      const float value = value_of(m, row, j);
      // Sorted in without a branch; what is pushed out of one place tries the next.
      const bool better = value < best;
      const float out = max(best, value);
      const int out_column = better ? best_column : j;
      best = min(best, value), best_column = better ? j : best_column;
      third = min(third, max(second, out));
      second_column = out < second ? out_column : second_column, second = min(second, out);
    }
  }
  int* list = m.lists + static_cast<i64>(i) * (32 * N_KEPT) + N_KEPT * lane_id();
  list[0] = best_column;
  list[1] = second_column;
  const unsigned rest = warp_min(__float_as_uint(third));
  if (lane_id() == 0) m.rests[i] = __uint_as_float(rest);
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
  float value = first == FREE ? REAL_INFINITY : value_of(m, row, first);
  float second = other == FREE ? REAL_INFINITY : value_of(m, row, other);
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
  return {__uint_as_float(least), min(__uint_as_float(next), m.rests[i]),
          __shfl_sync(FULL_MASK, column, winner)};
}

__device__ Best best_of(const Market& m, int i, int* n_scans) {
  const Best found = peek(m, i);
  if (found.value <= m.rests[i] && found.column != FREE) return found;
  ++*n_scans;
  scan(m, i);
  return peek(m, i);
}

__device__ __forceinline__ u64 fixed(float value) { return static_cast<u64>(static_cast<double>(value) * FIXED); }

}  // namespace

// Counters of a block, in shared memory.
struct Tally {
  int n_queued[2];
  unsigned highest_price;
  u64 cost, slack, n_scans;
};

// tolerance: the gap, relative to the cost, at which to stop. Scratch, packed like the points: columns
// (d + 1 floats each, 32 places more a pair) and words are used where shared memory has no room for them
// (IN_SHARED 0); queue has 2 places a point; work[4 * pair] counts rounds, bids, scans and phases. A row that the budget of bids has left
// free has column -1.
extern "C" __global__ void __launch_bounds__(1024, 1)
auction(const float* x, const float* y, const i64* offsets, const double* scales, int d, int squared,
        float tolerance, int max_bids, float* columns, u64* words, int* lists, float* rests,
        float* slacks, int* queue, int* wanted, int* owner, int* column_of, double* prices, i64* work) {
#if IN_SHARED
  DYNAMIC_SHARED(memory);
#endif
  __shared__ Tally tally;
  const i64 first = offsets[blockIdx.x];
  const int n = static_cast<int>(offsets[blockIdx.x + 1] - first);
  const int width = dimension(d) + 1, padded = (n + 31) / 32 * 32;
  const int me = static_cast<int>(threadIdx.x), n_threads = static_cast<int>(blockDim.x);
  const int n_warps = n_threads / 32;
  Market m;
  m.x = x + first * d;
#if IN_SHARED
  m.columns = reinterpret_cast<float*>(memory);
  m.words = reinterpret_cast<u64*>(m.columns + static_cast<i64>(padded) * width);
#else
  m.columns = columns + (first + 32 * static_cast<i64>(blockIdx.x)) * width;
  m.words = words + first;
#endif
  m.lists = lists + first * (32 * N_KEPT);
  m.rests = rests + first;
  m.n = n, m.d = d, m.squared = squared;
  queue += 2 * first, slacks += first, wanted += first, owner += first, column_of += first, prices += first;

  if (me == 0) tally = {{n, 0}, 0u, 0, 0, 0};
  __syncthreads();
  u64 sum = 0;
  for (int j = me; j < n; j += n_threads) {
    for (int a = 0; a < dimension(d); ++a) m.columns[static_cast<i64>(j) * width + a] = y[(first + j) * d + a];
    price_of(m, j) = 0;
    m.words[j] = 0;
    owner[j] = column_of[j] = FREE;
    m.rests[j] = -1;  // below every value: the list is to be filled
    for (int k = 0; k < 32 * N_KEPT; ++k) m.lists[static_cast<i64>(j) * (32 * N_KEPT) + k] = FREE;
    queue[j] = j;
    // A pairing without rhyme or reason tells the scale of the costs.
    const i64 other = (static_cast<i64>(j) * 7919 + 1) % n;
    sum += fixed(unit_cost(m, m.x + static_cast<i64>(j) * d, y + (first + other) * d));
  }
  for (int j = n + me; j < padded; j += n_threads) {
    for (int a = 0; a < dimension(d); ++a) m.columns[static_cast<i64>(j) * width + a] = 0;
    price_of(m, j) = REAL_INFINITY;
  }
  atomicAdd(&tally.cost, sum);
  __syncthreads();

  const float reach = squared ? 4.0f * dimension(d) : 2.0f * sqrtf(static_cast<float>(dimension(d)));
  float epsilon = max(1e-6f, 0.1f * static_cast<float>(static_cast<double>(tally.cost) / FIXED / n));
  i64 n_rounds = 0, n_bids = 0;
  int n_phases = 0, n_scans = 0, now = 0;
  bool raised = false;
  for (;;) {
    ++n_phases;
    __syncthreads();
    int n_free = tally.n_queued[now];
    while (n_free > 0 && n_bids < static_cast<i64>(max_bids) * n) {
      if (!raised && n_phases == 1 && n_bids > static_cast<i64>(FIRST_BIDS) * n) {
        // Prices have far to go: larger steps first.
        raised = true;
        epsilon = max(epsilon, 0.1f * reach);
      }
      ++n_rounds;
      n_bids += n_free;
      for (int k = warp_id(); k < n_free; k += n_warps) {
        const int i = queue[now * n + k];
        const Best best = best_of(m, i, &n_scans);
        if (lane_id() == 0) {
          const float price = price_of(m, best.column);
          const float rise = best.second < REAL_INFINITY ? best.second - best.value : 0.0f;
          float offer = price + (rise + epsilon);
          if (!(offer > price)) offer = __uint_as_float(__float_as_uint(price) + 1);
          wanted[k] = best.column;
          atomicMax(&m.words[best.column],
                    static_cast<u64>(__float_as_uint(offer)) << 32 | (0xffffffffu - static_cast<unsigned>(i)));
        }
      }
      __syncthreads();
      if (me == 0) tally.n_queued[now] = 0;
      for (int k = me; k < n_free; k += n_threads) {
        const int i = queue[now * n + k], j = wanted[k];
        const u64 word = m.words[j];
        int loser = i;
        if (0xffffffffu - static_cast<unsigned>(word) == static_cast<unsigned>(i)) {
          loser = owner[j];
          owner[j] = i;
          column_of[i] = j;
          price_of(m, j) = __uint_as_float(static_cast<unsigned>(word >> 32));
          if (loser != FREE) column_of[loser] = FREE;
        }
        if (loser != FREE) queue[(1 - now) * n + atomicAdd(&tally.n_queued[1 - now], 1)] = loser;
      }
      now = 1 - now;
      __syncthreads();
      n_free = tally.n_queued[now];
    }
    if (n_free > 0) break;

    // How far from its best is every row? The mean of that is the gap.
    if (me == 0) tally.cost = tally.slack = 0, tally.highest_price = 0;
    __syncthreads();
    u64 cost = 0, slack = 0;
    for (int i = warp_id(); i < n; i += n_warps) {
      const Best best = best_of(m, i, &n_scans);
      if (lane_id() == 0) {
        const int j = column_of[i];
        ROW(m, i);
        COLUMN(m, j);
        const float own = unit_cost(m, row, column), price = column[dimension(d)];
        slacks[i] = max(0.0f, own + price - best.value);
        cost += fixed(own), slack += fixed(slacks[i]);
        atomicMax(&tally.highest_price, __float_as_uint(price));
      }
    }
    if (lane_id() == 0) atomicAdd(&tally.cost, cost), atomicAdd(&tally.slack, slack);
    __syncthreads();
    const double mean = static_cast<double>(tally.cost) / FIXED / n, gap = static_cast<double>(tally.slack) / FIXED / n;
    if (gap <= static_cast<double>(tolerance) * mean) break;
    // Half of epsilon is left of the gap as a rule, so that 1.5 of what is asked for will do.
    const float enough = 1.5f * tolerance * static_cast<float>(mean), next = SHRINK * epsilon;
    epsilon = next < enough && enough < epsilon / 1.5f ? enough : next;
    if (epsilon < 1.2e-7f * __uint_as_float(tally.highest_price) || epsilon < 1e-12f) break;
    for (int i = me; i < n; i += n_threads) {
      if (slacks[i] <= epsilon) continue;
      owner[column_of[i]] = FREE;
      column_of[i] = FREE;
      queue[now * n + atomicAdd(&tally.n_queued[now], 1)] = i;
    }
  }
  if (lane_id() == 0) atomicAdd(&tally.n_scans, static_cast<u64>(n_scans));
  __syncthreads();
  const double unit = squared ? scales[blockIdx.x] * scales[blockIdx.x] : scales[blockIdx.x];
  for (int j = me; j < n; j += n_threads) prices[j] = unit * static_cast<double>(price_of(m, j));
  if (me == 0) {
    i64* counts = work + 4 * blockIdx.x;
    counts[0] = n_rounds, counts[1] = n_bids, counts[2] = static_cast<i64>(tally.n_scans), counts[3] = n_phases;
  }
}

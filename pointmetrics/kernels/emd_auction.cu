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
// stays a bound, and a bid looks at 64 columns instead of n until its best value passes it. Most rounds
// have a few bidders only: then a list is filled by several warps, to the same end. While there is but one
// bidder and its list is good, one warp goes on from owner to owner, and the block waits once for all of that.

#include "common.cuh"
#include "emd.cuh"

#define N_KEPT 2  // columns a lane keeps
#define FREE -1
#define INFINITE __int_as_float(0x7f800000)  // float32, whatever the clouds are
#define SHRINK 0.2f                          // epsilon from phase to phase
#define TEAM 8                               // most warps that fill one list
#if IN_SHARED && DIM > 0
#define MAX_THREADS 1024
#elif IN_SHARED
#define MAX_THREADS 768  // with any number of coordinates 1,024 threads have too few registers on sm_90
#else
#define MAX_THREADS 512  // addresses in global memory take more registers
#endif
#define MAX_ROUNDS (1 << 18)  // a second or two: what is left open then is matched along shortest paths
#define FIRST_BIDS 64         // bids a row, on average, before the first epsilon counts as too small
#define FIXED 17179869184.0   // 2^34: sums are kept in fixed point, in which order does not matter

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

__device__ __forceinline__ u64 fixed(float value) { return static_cast<u64>(static_cast<double>(value) * FIXED); }

// Counters of a block, in shared memory.
struct Tally {
  int n_queued[2];
  int n_stale;  // bidders of this round whose lists are to be filled
  unsigned highest_price;
  u64 cost, slack, n_scans;
  i64 n_rounds, n_phases;
  int n_alone, n_left;  // rounds that one warp has just gone on by itself, and bidders then
};

// The price and the bidder of row i's bid for its best column, as one word.
__device__ __forceinline__ u64 word_of(const Market& m, int i, const Best& best, float epsilon) {
  const float price = price_of(m, best.column);
  const float rise = best.second < INFINITE ? best.second - best.value : 0.0f;
  float offer = price + (rise + epsilon);
  if (!(offer > price)) offer = __uint_as_float(__float_as_uint(price) + 1);
  return static_cast<u64>(__float_as_uint(offer)) << 32 | (0xffffffffu - static_cast<unsigned>(i));
}

// Bid for the best column of row i, the k-th of the queue; the whole warp takes part.
__device__ void bid(const Market& m, int k, int i, const Best& best, float epsilon) {
  if (lane_id() != 0) return;
  wanted_by(m, k) = best.column;
  atomicMax(&m.words[best.column], word_of(m, i, best, epsilon));
}

// Rounds of one bidder, by one warp: *queue is who bids, and in the end who would bid next. Stops where nobody is
// left, the list of who bids is to be filled, or `most` rounds are done.
__device__ void bid_alone(const Market& m, int* queue, int most, float epsilon, Tally* tally) {
  int i = *queue, n_rounds = 0;
  for (; i != FREE && n_rounds < most; ++n_rounds) {
    const Best best = peek(m, i);
    if (!is_exact(m, i, best)) break;
    int loser = FREE;
    if (lane_id() == 0) {
      const int j = best.column;
      const u64 word = m.words[j] = word_of(m, i, best, epsilon);  // more than any bid before
      loser = owner_of(m, j);
      owner_of(m, j) = i;
      m.column_of[i] = j;
      price_of(m, j) = __uint_as_float(static_cast<unsigned>(word >> 32));
      if (loser != FREE) m.column_of[loser] = FREE;
    }
    i = __shfl_sync(FULL_MASK, loser, 0);
    __syncwarp();
  }
  if (lane_id() == 0) {
    *queue = i;
    tally->n_left = i != FREE;
    tally->n_rounds += n_rounds;
    tally->n_alone = n_rounds;
  }
}

// The bids of a round with few rows: a team of warps for each, of which the first bids and all fill its list.
__device__ void bid_in_teams(const Market& m, const int* queue, int n_free, int team, float epsilon, Tally* tally,
                             int* n_scans) {
  __shared__ Kept parts[32 * 32];
  __shared__ int stale[32];
  const int k = warp_id() / team, part = warp_id() % team;
  const bool leads = k < n_free && part == 0;
  const int i = k < n_free ? queue[k] : 0;
  Best best = {0, 0, FREE};
  if (leads) {
    best = peek(m, i);
    const bool exact = is_exact(m, i, best);
    if (lane_id() == 0) {
      stale[k] = !exact;
      if (!exact) atomicAdd(&tally->n_stale, 1);
    }
  }
  __syncthreads();
  if (tally->n_stale > 0) {
    const bool fills = k < n_free && stale[k];
    if (fills) parts[threadIdx.x] = scan(m, i, part, team);
    __syncthreads();
    if (fills && leads) {
      ++*n_scans;
      Kept kept = parts[threadIdx.x];
      for (int other = 1; other < team; ++other) {
        const Kept more = parts[threadIdx.x + 32 * other];
        keep(&kept, more.best, more.best_column);
        keep(&kept, more.second, more.second_column);
        kept.third = min(kept.third, more.third);
      }
      store(m, i, kept);
      best = peek(m, i);
    }
  }
  if (leads) bid(m, k, i, best, epsilon);
}

// Give every column that was bid for to its highest bidder; the losers and the former owners are queued.
__device__ void settle(const Market& m, const int* queue, int n_free, int* next, int* n_next) {
  for (int k = static_cast<int>(threadIdx.x); k < n_free; k += static_cast<int>(blockDim.x)) {
    const int i = queue[k], j = wanted_by(m, k);
    const u64 word = m.words[j];
    int loser = i;
    if (0xffffffffu - static_cast<unsigned>(word) == static_cast<unsigned>(i)) {
      loser = owner_of(m, j);
      owner_of(m, j) = i;
      m.column_of[i] = j;
      price_of(m, j) = __uint_as_float(static_cast<unsigned>(word >> 32));
      if (loser != FREE) m.column_of[loser] = FREE;
    }
    if (loser != FREE) next[atomicAdd(n_next, 1)] = loser;
  }
}

// Add up costs and slacks of all rows, which all hold a column: the mean slack is the gap.
__device__ void measure(const Market& m, Tally* tally, int* n_scans) {
  if (threadIdx.x == 0) tally->cost = tally->slack = 0, tally->highest_price = 0;
  __syncthreads();
  u64 cost = 0, slack = 0;
  for (int i = warp_id(); i < m.n; i += static_cast<int>(blockDim.x) / 32) {
    const Best best = best_of(m, i, n_scans);
    if (lane_id() != 0) continue;
    const int j = m.column_of[i];
    ROW(m, i);
    COLUMN(m, j);
    const float own = unit_cost(m, row, column), price = column[dimension(m.d)];
    slack_of(m, i) = max(0.0f, own + price - best.value);
    cost += fixed(own), slack += fixed(slack_of(m, i));
    atomicMax(&tally->highest_price, __float_as_uint(price));
  }
  if (lane_id() == 0) atomicAdd(&tally->cost, cost), atomicAdd(&tally->slack, slack);
  __syncthreads();
}

// Begin with prices of 0, empty lists and all rows in the queue; tally.cost becomes the cost of a pairing
// without rhyme or reason, which tells the scale.
__device__ void open(const Market& m, const float* y, Tally* tally) {
  const int width = dimension(m.d) + 1, padded = (m.n + 31) / 32 * 32;
  const int me = static_cast<int>(threadIdx.x), step = static_cast<int>(blockDim.x);
  if (me == 0) *tally = {{m.n, 0}, 0, 0u, 0, 0, 0, 0, 1, 0, 0};
  __syncthreads();
  u64 sum = 0;
  for (int j = me; j < padded; j += step) {
    for (int a = 0; a < width - 1; ++a) {
      m.columns[static_cast<i64>(j) * width + a] = j < m.n ? y[static_cast<i64>(j) * (width - 1) + a] : 0.0f;
    }
    price_of(m, j) = j < m.n ? 0.0f : INFINITE;
    if (j >= m.n) continue;
    m.words[j] = 0;
    owner_of(m, j) = m.column_of[j] = FREE;
    rest_of(m, j) = -1;  // below every value: the list is to be filled
    for (int k = 0; k < 32 * N_KEPT; ++k) m.lists[static_cast<i64>(j) * (32 * N_KEPT) + k] = FREE;
    queue_of(m, 0)[j] = j;
    const i64 other = (static_cast<i64>(j) * 7919 + 1) % m.n;
    sum += fixed(unit_cost(m, m.x + static_cast<i64>(j) * (width - 1), y + other * (width - 1)));
  }
  atomicAdd(&tally->cost, sum);
  __syncthreads();
}

}  // namespace

// tolerance: the gap, relative to the cost, at which to stop. Scratch, packed like the points: columns
// (d + 1 floats each, 32 places more a pair) and words, which are used where shared memory has no room for
// them (IN_SHARED 0); 64 lists, 2 floats and 4 ints a point. work[4 * pair] counts rounds, bids, scans and
// phases. A row that the budget of bids has left free has column -1; so has every row, and NaN for a price, where
// the pair's scale is NaN.
extern "C" __global__ void __launch_bounds__(MAX_THREADS, 1)
    auction(const float* x, const float* y, const i64* offsets, const double* scales, int d, int squared,
            float tolerance, int max_bids, float* columns, u64* words, int* lists, float* floats, int* ints,
            int* column_of, double* prices, i64* work) {
#if IN_SHARED
  DYNAMIC_SHARED(memory);
#endif
  __shared__ Tally tally;
  const i64 first = offsets[blockIdx.x];
  const int n = static_cast<int>(offsets[blockIdx.x + 1] - first);
  const int me = static_cast<int>(threadIdx.x), n_threads = static_cast<int>(blockDim.x), n_warps = n_threads / 32;
  if (scales[blockIdx.x] != scales[blockIdx.x]) {
    for (int j = me; j < n; j += n_threads) column_of[first + j] = FREE, prices[first + j] = scales[blockIdx.x];
    return;
  }
  const Market m = {x + first * d,
#if IN_SHARED
                    reinterpret_cast<float*>(memory),
                    reinterpret_cast<u64*>(memory + static_cast<i64>((n + 31) / 32 * 128) * (dimension(d) + 1)),
#else
                    columns + (first + 32 * static_cast<i64>(blockIdx.x)) * (dimension(d) + 1),
                    words + first,
#endif
                    lists + first * (32 * N_KEPT),
                    floats + 2 * first,
                    ints + 4 * first,
                    column_of + first,
                    n,
                    d,
                    squared};
  open(m, y + first * d, &tally);

  const float reach = squared ? 4.0f * dimension(d) : 2.0f * sqrtf(static_cast<float>(dimension(d)));
  float epsilon = max(1e-6f, 0.1f * static_cast<float>(static_cast<double>(tally.cost) / FIXED / n));
  i64 n_bids = 0;
  int n_scans = 0, now = 0, n_rounds = 0;
  bool is_first = true;
  for (;; is_first = false) {
    __syncthreads();
    int n_free = tally.n_queued[now];
    while (n_free > 0 && n_bids < static_cast<i64>(max_bids) * n && n_rounds < MAX_ROUNDS) {
      // Prices that have far to go take larger steps first.
      if (is_first && n_bids > static_cast<i64>(FIRST_BIDS) * n) epsilon = max(epsilon, 0.1f * reach);
      if (n_free == 1) {
        // Up to where the next round would be another's, or of another epsilon.
        i64 most = min(static_cast<i64>(MAX_ROUNDS) - n_rounds, static_cast<i64>(max_bids) * n - n_bids);
        if (is_first && n_bids <= static_cast<i64>(FIRST_BIDS) * n) {
          most = min(most, static_cast<i64>(FIRST_BIDS) * n + 1 - n_bids);
        }
        if (warp_id() == 0) bid_alone(m, queue_of(m, now), static_cast<int>(most), epsilon, &tally);
        __syncthreads();
        n_bids += tally.n_alone, n_rounds += tally.n_alone;
        if (tally.n_alone > 0) {
          n_free = tally.n_left;
          if (me == 0) tally.n_queued[now] = n_free;
          __syncthreads();  // before they are written anew
          continue;
        }
      }
      n_bids += n_free, ++n_rounds;
      const int* bidders = queue_of(m, now);
      int team = 1;
      while (team < TEAM && 2 * team * n_free <= n_warps) team *= 2;
      if (team > 1) {
        bid_in_teams(m, bidders, n_free, team, epsilon, &tally, &n_scans);
      } else {
        for (int k = warp_id(); k < n_free; k += n_warps) {
          bid(m, k, bidders[k], best_of(m, bidders[k], &n_scans), epsilon);
        }
      }
      __syncthreads();
      if (me == 0) tally.n_queued[now] = tally.n_stale = 0, ++tally.n_rounds;
      settle(m, bidders, n_free, queue_of(m, 1 - now), &tally.n_queued[1 - now]);
      now = 1 - now;
      __syncthreads();
      n_free = tally.n_queued[now];
    }
    if (n_free > 0) break;
    measure(m, &tally, &n_scans);
    const double mean = static_cast<double>(tally.cost) / FIXED / n, gap = static_cast<double>(tally.slack) / FIXED / n;
    if (gap <= static_cast<double>(tolerance) * mean) break;
    // Half of epsilon is left of the gap as a rule, so that 1.5 of what is asked for will do.
    const float enough = 1.5f * tolerance * static_cast<float>(mean), next = SHRINK * epsilon;
    epsilon = next < enough && enough < epsilon / 1.5f ? enough : next;
    if (epsilon < 1.2e-7f * __uint_as_float(tally.highest_price) || epsilon < 1e-12f) break;
    if (me == 0) ++tally.n_phases;
    for (int i = me; i < n; i += n_threads) {
      if (slack_of(m, i) <= epsilon) continue;
      owner_of(m, m.column_of[i]) = FREE;
      m.column_of[i] = FREE;
      queue_of(m, now)[atomicAdd(&tally.n_queued[now], 1)] = i;
    }
  }
  if (lane_id() == 0) atomicAdd(&tally.n_scans, static_cast<u64>(n_scans));
  __syncthreads();
  const double unit = squared ? scales[blockIdx.x] * scales[blockIdx.x] : scales[blockIdx.x];
  for (int j = me; j < n; j += n_threads) prices[first + j] = unit * static_cast<double>(price_of(m, j));
  if (me == 0) {
    i64* counts = work + 4 * blockIdx.x;
    counts[0] = tally.n_rounds, counts[1] = n_bids;
    counts[2] = static_cast<i64>(tally.n_scans), counts[3] = tally.n_phases;
  }
}

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

#include "auction_market.cuh"

#define SHRINK 0.2f  // epsilon from phase to phase
#define TEAM 8       // most warps that fill one list
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
  const float rise = rise_of_bid(best.value, best.second, INFINITE);
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

// How far an auction is: the same in all threads, but for the scans, of which each counts its own.
struct Progress {
  float epsilon;
  i64 n_bids, most_bids;
  int n_scans, now, n_rounds;  // now: which part of the queue is bidding
  bool is_first;               // epsilon
};

// Let the only bidder and those who follow it go on by themselves; false where its list is to be filled first.
__device__ __forceinline__ bool follow_one(const Market& m, Progress* at, Tally* tally, int* n_free) {
  // Up to where the next round would be another's, or of another epsilon.
  i64 most = min(static_cast<i64>(MAX_ROUNDS) - at->n_rounds, at->most_bids - at->n_bids);
  if (at->is_first && at->n_bids <= static_cast<i64>(FIRST_BIDS) * m.n) {
    most = min(most, static_cast<i64>(FIRST_BIDS) * m.n + 1 - at->n_bids);
  }
  if (warp_id() == 0) bid_alone(m, queue_of(m, at->now), static_cast<int>(most), at->epsilon, tally);
  __syncthreads();
  at->n_bids += tally->n_alone, at->n_rounds += tally->n_alone;
  if (tally->n_alone == 0) return false;
  *n_free = tally->n_left;
  if (threadIdx.x == 0) tally->n_queued[at->now] = *n_free;
  __syncthreads();  // before they are written anew
  return true;
}

// A round: everybody in the queue bids, and every column goes to its highest bidder. Returns who bids next.
__device__ __forceinline__ int hold_round(const Market& m, Progress* at, Tally* tally, int n_free) {
  const int n_warps = static_cast<int>(blockDim.x) / 32;
  at->n_bids += n_free, ++at->n_rounds;
  const int* bidders = queue_of(m, at->now);
  int team = 1;
  while (team < TEAM && 2 * team * n_free <= n_warps) team *= 2;
  if (team > 1) {
    bid_in_teams(m, bidders, n_free, team, at->epsilon, tally, &at->n_scans);
  } else {
    for (int k = warp_id(); k < n_free; k += n_warps) {
      bid(m, k, bidders[k], best_of(m, bidders[k], &at->n_scans), at->epsilon);
    }
  }
  __syncthreads();
  if (threadIdx.x == 0) tally->n_queued[at->now] = tally->n_stale = 0, ++tally->n_rounds;
  settle(m, bidders, n_free, queue_of(m, 1 - at->now), &tally->n_queued[1 - at->now]);
  at->now = 1 - at->now;
  __syncthreads();
  return tally->n_queued[at->now];
}

// Rounds of one epsilon, until every row has a column or the budget is spent; returns how many rows have none.
__device__ __forceinline__ int hold_rounds(const Market& m, Progress* at, Tally* tally) {
  const float reach = m.squared ? 4.0f * dimension(m.d) : 2.0f * sqrtf(static_cast<float>(dimension(m.d)));
  int n_free = tally->n_queued[at->now];
  while (n_free > 0 && at->n_bids < at->most_bids && at->n_rounds < MAX_ROUNDS) {
    // Prices that have far to go take larger steps first.
    if (at->is_first && at->n_bids > static_cast<i64>(FIRST_BIDS) * m.n) at->epsilon = max(at->epsilon, 0.1f * reach);
    if (n_free == 1 && follow_one(m, at, tally, &n_free)) continue;
    n_free = hold_round(m, at, tally, n_free);
  }
  return n_free;
}

// Lower epsilon after a measurement; false where the gap is small enough, or as small as it gets.
__device__ __forceinline__ bool lower_epsilon(const Market& m, const Tally& tally, float tolerance, float* epsilon) {
  const double mean = static_cast<double>(tally.cost) / FIXED / m.n,
               gap = static_cast<double>(tally.slack) / FIXED / m.n;
  if (gap <= static_cast<double>(tolerance) * mean) return false;
  // Half of epsilon is left of the gap as a rule, so that 1.5 of what is asked for will do.
  const float enough = 1.5f * tolerance * static_cast<float>(mean), next = SHRINK * *epsilon;
  *epsilon = next < enough && enough < *epsilon / 1.5f ? enough : next;
  return !(*epsilon < 1.2e-7f * __uint_as_float(tally.highest_price) || *epsilon < 1e-12f);
}

// Queue the rows whose own column is farther than epsilon from their best.
__device__ __forceinline__ void free_the_unhappy(const Market& m, const Progress& at, Tally* tally) {
  if (threadIdx.x == 0) ++tally->n_phases;
  for (int i = static_cast<int>(threadIdx.x); i < m.n; i += static_cast<int>(blockDim.x)) {
    if (slack_of(m, i) <= at.epsilon) continue;
    owner_of(m, m.column_of[i]) = FREE;
    m.column_of[i] = FREE;
    queue_of(m, at.now)[atomicAdd(&tally->n_queued[at.now], 1)] = i;
  }
}

__device__ __forceinline__ void run(const Market& m, Progress* at, float tolerance, Tally* tally) {
  for (;; at->is_first = false) {
    __syncthreads();
    if (hold_rounds(m, at, tally) > 0) break;
    measure(m, tally, &at->n_scans);
    if (!lower_epsilon(m, *tally, tolerance, &at->epsilon)) break;
    free_the_unhappy(m, *at, tally);
  }
}

// Prices in the unit of the clouds, and what was done.
__device__ __forceinline__ void tell(const Market& m, const Progress& at, const Tally& tally, double scale,
                                     double* prices, i64* work) {
  const double unit = m.squared ? scale * scale : scale;
  for (int j = static_cast<int>(threadIdx.x); j < m.n; j += static_cast<int>(blockDim.x)) {
    prices[j] = unit * static_cast<double>(price_of(m, j));
  }
  if (threadIdx.x == 0) {
    work[0] = tally.n_rounds, work[1] = at.n_bids;
    work[2] = static_cast<i64>(tally.n_scans), work[3] = tally.n_phases;
  }
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
  const int me = static_cast<int>(threadIdx.x), n_threads = static_cast<int>(blockDim.x);
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

  const float first_epsilon = max(1e-6f, 0.1f * static_cast<float>(static_cast<double>(tally.cost) / FIXED / n));
  Progress at = {first_epsilon, 0, static_cast<i64>(max_bids) * n, 0, 0, 0, true};
  run(m, &at, tolerance, &tally);
  if (lane_id() == 0) atomicAdd(&tally.n_scans, static_cast<u64>(at.n_scans));
  __syncthreads();
  tell(m, at, tally, scales[blockIdx.x], prices + first, work + 4 * blockIdx.x);
}

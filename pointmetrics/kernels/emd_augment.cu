// Finishes an assignment exactly: rows that do not hold a column of their smallest value are freed, and
// every free row is matched along a shortest augmenting path (Jonker & Volgenant 1987). In float64, one
// block a pair; the threads share the columns out, so that a step of the search looks at all of them.

#include "common.cuh"
#include "emd.cuh"

#define FREE -1
#define MAX_THREADS 768  // with 1,024 and their 64 registers up to 32 bytes were spilled on sm_100

namespace {

struct Problem {
  const real* x;
  const real* y;
  double* prices;
  double* distance;  // of a column from the source of the search, if its stamp is that of the search
  int* stamp;        // the last search that settled a column
  int* from;         // the row that a column is reached from
  int* column_of;
  int* row_of;
  int n, d, squared;
};

__device__ __forceinline__ double value_of(const Problem& p, int i, int j) {
  const i64 d = dimension(p.d);
  return exact_cost(p.x + i * d, p.y + j * d, p.d, p.squared) + p.prices[j];
}

__device__ __forceinline__ void match(const Problem& p, int i, int j) {
  p.column_of[i] = j;
  p.row_of[j] = i;
}

// Keep the rows that hold a column of their smallest value; of the others, the lowest that wants a
// column nobody holds gets it. `best` is scratch of a place a row, `from` of a place a column.
// *largest is raised to the bits of the largest number that is computed with.
__device__ void keep_the_happy(const Problem& p, int* best, u64* largest) {
  const int me = static_cast<int>(threadIdx.x), step = static_cast<int>(blockDim.x);
  for (int j = me; j < p.n; j += step) p.row_of[j] = FREE, p.stamp[j] = FREE, p.from[j] = 0x7fffffff;
  __syncthreads();
  for (int i = warp_id(); i < p.n; i += step / 32) {
    double least = double_of_bits(INFINITE_BITS);
    int column = FREE;
    for (int j = lane_id(); j < p.n; j += 32) {
      const double value = value_of(p, i, j);
      if (value < least) least = value, column = j;
    }
    const Smallest found = warp_smallest(bits_of_double(least), column);
    if (lane_id() == 0) {
      const int own = p.column_of[i];
      const bool happy = own != FREE && value_of(p, i, own) <= double_of_bits(found.key);
      best[i] = found.index;
      if (happy)
        p.row_of[own] = i;
      else
        p.column_of[i] = FREE;
      atomicMax(largest, found.key);
    }
  }
  __syncthreads();
  for (int i = me; i < p.n; i += step) {
    if (p.column_of[i] == FREE && p.row_of[best[i]] == FREE) atomicMin(&p.from[best[i]], i);
  }
  __syncthreads();
  for (int i = me; i < p.n; i += step) {
    if (p.column_of[i] == FREE && p.from[best[i]] == i) match(p, i, best[i]);
  }
  __syncthreads();
}

// The smallest key of the block and its lowest index, known to every thread after one barrier. `round`
// alternates between two sets of places, so that none is written while another thread still reads it.
__device__ Smallest block_smallest(u64 key, int index, int round) {
  __shared__ u64 keys[2][32];
  __shared__ int indices[2][32];
  const Smallest mine = warp_smallest(key, index);
  if (lane_id() == 0) keys[round & 1][warp_id()] = mine.key, indices[round & 1][warp_id()] = mine.index;
  __syncthreads();
  const bool used = lane_id() < static_cast<int>(blockDim.x) / 32;
  return warp_smallest(used ? keys[round & 1][lane_id()] : ~0ull, used ? indices[round & 1][lane_id()] : 0x7fffffff);
}

// Raise the prices of the columns that a search from `source` settled before it came to the free column `end`, and
// match along the path.
__device__ __forceinline__ void raise_and_match(const Problem& p, int source, int end) {
  const double nearest = p.distance[end];
  for (int j = static_cast<int>(threadIdx.x); j < p.n; j += static_cast<int>(blockDim.x)) {
    const double rise = nearest - p.distance[j];
    if (p.stamp[j] == source && rise > 0) p.prices[j] += rise;
  }
  __syncthreads();
  if (threadIdx.x == 0) {
    for (int j = end;;) {
      const int row = p.from[j], previous = p.column_of[row];
      match(p, row, j);
      if (row == source) break;
      j = previous;
    }
  }
  __syncthreads();
}

// Search from the free row `source` to the nearest free column, raise the prices of the columns settled
// on the way, and match along the path. Returns the number of columns looked at from a row. `rounding`:
// lengths that differ by no more are ties, and a free column wins them; telling them apart would visit
// every column of a collinear cloud.
__device__ int augment_from(const Problem& p, int source, double rounding, int* round) {
  const int me = static_cast<int>(threadIdx.x), step = static_cast<int>(blockDim.x);
  int i = source, n_steps = 0, end = FREE;
  double now = 0, offset = 0;  // lengths are offset by the smallest value of the source, which is `now` at first
  for (;;) {
    ++n_steps;
    u64 key = ~0ull;
    int index = 0x7fffffff;
    for (int j = me; j < p.n; j += step) {
      if (p.stamp[j] == source) continue;
      const double length = max(now, offset + value_of(p, i, j));
      if (n_steps == 1 || length < p.distance[j]) p.distance[j] = length, p.from[j] = i;
      const double reached = p.row_of[j] == FREE ? max(0.0, p.distance[j] - rounding) : p.distance[j];
      const u64 bits = bits_of_double(reached);
      if (bits < key) key = bits, index = j;
    }
    const Smallest next = block_smallest(key, index, (*round)++);
    end = next.index;
    i = p.row_of[end];
    if (i == FREE) break;
    if (end % step == me) p.stamp[end] = source;
    now = double_of_bits(next.key);
    offset = now - value_of(p, i, end);
  }
  raise_and_match(p, source, end);
  return n_steps;
}

// Free the rows that are not at their best, and note how far apart lengths have to be to differ.
__device__ __forceinline__ void begin(const Problem& p, int* best, double* rounding, i64* progress) {
  __shared__ u64 largest;
  if (threadIdx.x == 0) largest = 0;
  __syncthreads();
  keep_the_happy(p, best, &largest);
  for (int j = static_cast<int>(threadIdx.x); j < p.n; j += static_cast<int>(blockDim.x)) {
    atomicMax(&largest, bits_of_double(p.prices[j]));
  }
  __syncthreads();
  if (threadIdx.x == 0) {
    *rounding = rounding_of_paths(double_of_bits(largest));
    progress[0] = progress[1] = 0;
  }
  __syncthreads();
}

}  // namespace

// Pairs that are done already are left alone. max_steps bounds the steps of all searches of a pair, per row; where it
// is spent, rows stay free (column -1). A launch takes launch_steps of them, or what its last search needs: a device
// that draws a screen ends what runs for seconds. The first launch of several has `resume` 0; progress[2 * pair] is
// the row that the next goes on with, then how many steps there were. work[2 * pair] counts searches and steps.
extern "C" __global__ void __launch_bounds__(MAX_THREADS, 1)
    augment(const real* x, const real* y, const i64* offsets, int d, int squared, int max_steps, i64 launch_steps,
            int resume, const unsigned char* done, double* distance, int* stamp, int* from, int* row_of, int* best,
            double* roundings, i64* progress, int* column_of, double* prices, i64* work) {
  __shared__ int n_searches;  // not a register, of which none is left
  const i64 pair = blockIdx.x;
  if (done[pair]) return;
  const i64 first = offsets[pair];
  const int n = static_cast<int>(offsets[pair + 1] - first);
  if (prices[first] != prices[first]) return;  // of clouds that are not finite
  const Problem p = {x + first * d,
                     y + first * d,
                     prices + first,
                     distance + first,
                     stamp + first,
                     from + first,
                     column_of + first,
                     row_of + first,
                     n,
                     d,
                     squared};
  if (!resume) begin(p, best + first, roundings + pair, progress + 2 * pair);
  const double rounding = roundings[pair];
  const i64 left = static_cast<i64>(max_steps) * n - progress[2 * pair + 1];
  const int most = static_cast<int>(min(left, launch_steps));
  int i = static_cast<int>(progress[2 * pair]), n_steps = 0, round = 0;
  if (threadIdx.x == 0) n_searches = 0;
  __syncthreads();  // everybody has read what the first thread is to write
  for (; i < n && n_steps < most; ++i) {
    if (p.column_of[i] != FREE) continue;
    n_steps += augment_from(p, i, rounding, &round);
    if (threadIdx.x == 0) ++n_searches;
  }
  if (threadIdx.x == 0) {
    progress[2 * pair] = i, progress[2 * pair + 1] += n_steps;
    work[2 * pair] += n_searches, work[2 * pair + 1] += n_steps;
  }
}

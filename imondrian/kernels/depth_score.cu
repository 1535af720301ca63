// Depths of rows by walks over the forest's own columns: under virtual insertion, and with missing values.
//
// The twin of native/score/depth_score.hpp, step for step: a sum of the same numbers in the same order. Only exp() may
// differ from the CPU's, by a unit in the last place. A thread takes one row; boxes are far larger than what
// shared memory holds and are read by neighbouring threads at about the same time: caches serve them.

#include "common.cuh"

#define THREADS 128
#define LANES (256 / REAL_BITS)  // of the CPU's packs, which decide how its sums round

#define COLUMNS                                                                                             \
  const int *header, const int *feature, const real *threshold, const int *child, const double *time,       \
      const double *mass, const double *leaf_mass, const double *hidden_depth, const int *leaf_point,       \
      const real *lower, const real *upper, const real *rate, const real *points, int n_trees, i64 capacity, \
      i64 width, int d
#define HEADER_SIZE 6

// One tree's slices of the columns (native/base/view.hpp). The padding of rows up to `width` is not read.
struct Tree {
  const int* header;
  const int* feature;
  const real* threshold;
  const int* child;
  const double* time;
  const double* mass;
  const double* leaf_mass;
  const double* hidden_depth;  // c(mass) of each leaf
  const int* leaf_point;
  const real* lower;
  const real* upper;
  const real* rate;
  const real* points;
  i64 width;
  int d;

  __device__ __forceinline__ bool empty() const { return header[1] == 0; }
  __device__ __forceinline__ double mass_of(int v) const { return v < 0 ? leaf_mass[~v] : mass[v]; }
};

#define TREE(t)                                                                                        \
  Tree {                                                                                               \
    header + (t) * HEADER_SIZE, feature + (t) * capacity, threshold + (t) * capacity,                  \
        child + 2 * (t) * capacity, time + (t) * capacity, mass + (t) * capacity,                      \
        leaf_mass + (t) * capacity, hidden_depth + (t) * capacity, leaf_point + (t) * capacity,        \
        lower + (t) * capacity * width, upper + (t) * capacity * width, rate + (t) * width, points, width, d \
  }

struct Excesses {
  const real* x;
  const real* lo;
  const real* hi;
  const real* rate;
  __device__ Wide of(int j) const {
    return x[j] < lo[j] ? wide_side(x[j], lo[j], rate[j]) : wide_side(hi[j], x[j], rate[j]);
  }
};

// The rate at which a cut would separate x from the box [lo, hi], summed as the CPU's packs sum it.
__device__ __forceinline__ double separation_rate(const Tree& tree, const real* x, const real* lo, const real* hi) {
  real sum[LANES] = {};
  bool any = false;
  for (int first = 0; first < tree.d; first += LANES) {
#pragma unroll
    for (int k = 0; k < LANES; ++k) {
      const int j = first + k;
      if (j >= tree.d) break;
      const real below = lo[j] - x[j];
      const real above = x[j] - hi[j];
      const real outside = below > above ? below : above;
      sum[k] += (outside > 0 ? outside : 0) * tree.rate[j];
      any |= outside > 0;
    }
  }
#pragma unroll
  for (int by = LANES / 2; by > 0; by /= 2) {
#pragma unroll
    for (int k = 0; k < by; ++k) sum[k] += sum[k + by];
  }
  const double total = static_cast<double>(sum[0]);
  if ((total >= PLAIN_LEAST && total <= PLAIN_MOST) || (total == 0 && !any)) return total;
  return wide_sum(Excesses{x, lo, hi, tree.rate}, tree.d);
}

// Where a walk stands: see native/score/depth_score.hpp.
struct Walk {
  int node;
  double depth;
  double born;
  double hazard;
  double expected;

  __device__ __forceinline__ void pass(const Tree& tree, const real* x) {
    const i64 at = node * tree.width;
    expected += hazard > 0 ? exp(-hazard) : 1.0;
    hazard += separation_rate(tree, x, tree.lower + at, tree.upper + at) * (tree.time[node] - born);
  }
  __device__ __forceinline__ bool gone() const { return !(hazard <= 40.0); }
  __device__ __forceinline__ double end(const Tree& tree, const real* x) const {
    if (gone()) return expected;
    const real* held = tree.points + tree.leaf_point[~node] * tree.width;
    const bool at_point = !(separation_rate(tree, x, held, held) > 0);
    return expected + exp(-hazard) * (at_point ? tree.hidden_depth[~node] : 1.0);
  }
};

__device__ __forceinline__ double insertion_depth(const Tree& tree, const real* x) {
  Walk walk = {tree.header[0], 0, 0, 0, 0};
  while (walk.node >= 0) {
    walk.pass(tree, x);
    if (walk.gone()) break;
    const i64 v = walk.node;
    walk.born = tree.time[v];
    walk.node = tree.child[2 * v + (x[tree.feature[v]] > tree.threshold[v])];
  }
  return walk.end(tree, x);
}

extern "C" __global__ void __launch_bounds__(THREADS)
insertion_depths(COLUMNS, const real* x, i64 n, double* depth, i64* missing, u64* counts) {
  const i64 i = static_cast<i64>(blockIdx.x) * THREADS + threadIdx.x;
  if (i >= n) return;
  const real* row = x + i * d;
  if (note_row(row, 1, d, i, missing, counts)) return;
  double sum = 0;
  for (i64 t = 0; t < n_trees; ++t) {
    const Tree tree = TREE(t);
    if (!tree.empty()) sum += insertion_depth(tree, row);
  }
  depth[i] = sum / n_trees;
}

// Ways that are still to be gone: entry e of thread k at [e * n_threads + k], so that a warp's lie together.
struct Ways {
  int* node;
  double* number;  // share, depth, born, hazard, expected: five rows of an entry
  i64 n_threads;
  i64 thread;
  int height;

  __device__ __forceinline__ void push(const Walk& walk, double share) {
    const i64 entry = height++;
    node[entry * n_threads + thread] = walk.node;
    double* to = number + 5 * entry * n_threads + thread;
    to[0] = share;
    to[n_threads] = walk.depth;
    to[2 * n_threads] = walk.born;
    to[3 * n_threads] = walk.hazard;
    to[4 * n_threads] = walk.expected;
  }
  __device__ __forceinline__ Walk pop(double* share) {
    const i64 entry = --height;
    const double* from = number + 5 * entry * n_threads + thread;
    *share = from[0];
    return {node[entry * n_threads + thread], from[n_threads], from[2 * n_threads], from[3 * n_threads],
            from[4 * n_threads]};
  }
};

// At a cut whose value x lacks it goes both ways, in proportion to their masses, the left one first.
__device__ __forceinline__ double forked_depth(const Tree& tree, const real* x, bool insertion, Ways& ways) {
  double total = 0;
  ways.push({tree.header[0], 0, 0, 0, 0}, 1);
  while (ways.height > 0) {
    double share;
    Walk walk = ways.pop(&share);
    while (walk.node >= 0 && !walk.gone()) {
      const i64 v = walk.node;
      if (insertion) walk.pass(tree, x);
      walk.depth += 1;
      walk.born = tree.time[v];
      const real value = x[tree.feature[v]];
      const int left = tree.child[2 * v];
      const int right = tree.child[2 * v + 1];
      if (value == value) {
        walk.node = value > tree.threshold[v] ? right : left;
        continue;
      }
      const double goes_left = tree.mass_of(left) / (tree.mass_of(left) + tree.mass_of(right));
      walk.node = right;
      ways.push(walk, share * (1 - goes_left));
      walk.node = left;
      share *= goes_left;
    }
    total += share * (insertion ? walk.end(tree, x) : walk.depth + tree.hidden_depth[~walk.node]);
  }
  return total;
}

// Either depth of the rows that `missing` names. The scratch has room for as many ways a thread as the highest
// tree has levels, plus one.
extern "C" __global__ void __launch_bounds__(THREADS, 4)
forked_depths(COLUMNS, const real* x, const i64* missing, i64 n_missing, int insertion, int* way_node,
              double* way_number, double* depth) {
  const i64 n_threads = static_cast<i64>(gridDim.x) * THREADS;
  const i64 thread = static_cast<i64>(blockIdx.x) * THREADS + threadIdx.x;
  Ways ways = {way_node, way_number, n_threads, thread, 0};
  for (i64 k = thread; k < n_missing; k += n_threads) {
    const real* row = x + missing[k] * d;
    double sum = 0;
    for (i64 t = 0; t < n_trees; ++t) {
      const Tree tree = TREE(t);
      if (!tree.empty()) sum += forked_depth(tree, row, insertion != 0, ways);
    }
    depth[missing[k]] = sum / n_trees;
  }
}

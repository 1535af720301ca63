// Depths of rows by walks over the forest's own columns: under virtual insertion, and with missing values.
//
// The twin of native/score/depth_score.hpp, step for step: a sum of the same numbers in the same order. Only exp() may
// differ from the CPU's own (native/score/survival.hpp), by a unit in the last place or two. A thread takes one row;
// boxes are far larger than what shared memory holds and are read by neighbouring threads at about the same time:
// caches serve them.

#include "tree.cuh"

#define THREADS 128
#define LANES (256 / REAL_BITS)  // of the CPU's packs, which decide how its sums round

struct DepthTree : Tree {
  const double* hidden_depth;  // c(mass) of each leaf
};

#define DEPTH_TREE_T \
  DepthTree { TREE_T, hidden_depth + t* capacity }

// The rate at which a cut would separate x from the box [lo, hi], summed as the CPU's packs sum it.
__device__ __forceinline__ double separation_rate(const DepthTree& tree, const real* x, const real* lo,
                                                  const real* hi) {
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
  if ((total >= PlainSum<REAL_BITS>::kLeast && total <= PlainSum<REAL_BITS>::kMost) || (total == 0 && !any))
    return total;
  return wide_sum(Excesses<real>{x, lo, hi, tree.rate}, tree.d);
}

// Where a walk stands: see native/score/depth_score.hpp.
struct Walk {
  int node;
  double born;
  double hazard;
  double expected;

  __device__ __forceinline__ void pass(const DepthTree& tree, const real* x) {
    const i64 at = node * tree.width;
    expected += hazard > 0 ? exp(-hazard) : 1.0;
    hazard += separation_rate(tree, x, tree.lower + at, tree.upper + at) * (tree.time[node] - born);
  }
  __device__ __forceinline__ bool gone() const { return !(hazard <= 40.0); }
  __device__ __forceinline__ double end(const DepthTree& tree, const real* x) const {
    if (gone()) return expected;
    const real* held = tree.points + tree.leaf_point[~node] * tree.width;
    const bool at_point = !(separation_rate(tree, x, held, held) > 0);
    return expected + exp(-hazard) * (at_point ? tree.hidden_depth[~node] : 1.0);
  }
};

__device__ __forceinline__ double insertion_depth(const DepthTree& tree, const real* x) {
  Walk walk = {tree.root(), 0, 0, 0};
  while (walk.node >= 0) {
    walk.pass(tree, x);
    if (walk.gone()) break;
    const i64 v = walk.node;
    walk.born = tree.time[v];
    walk.node = tree.child[2 * v + (x[tree.feature[v]] > tree.threshold[v])];
  }
  return walk.end(tree, x);
}

extern "C" __global__ void __launch_bounds__(THREADS, 4)
    insertion_depths(COLUMNS, const double* hidden_depth, const real* x, i64 n, double* depth, i64* missing,
                     u64* counts) {
  const i64 i = static_cast<i64>(blockIdx.x) * THREADS + threadIdx.x;
  if (i >= n) return;
  const real* row = x + i * d;
  if (note_row(row, 1, d, i, missing, counts)) return;
  double sum = 0;
  for (i64 t = 0; t < n_trees; ++t) {
    const DepthTree tree = DEPTH_TREE_T;
    if (!tree.empty()) sum += insertion_depth(tree, row);
  }
  depth[i] = sum / n_trees;
}

// Depth of a row that lacks values: from v it goes on to way_child[first + v] then, and pays way_gain[first + v]
// (native/score/means.hpp).
__device__ __forceinline__ double mended_depth(const DepthTree& tree, i64 first, const real* x, const int* way_child,
                                               const double* way_gain, bool insertion) {
  Walk walk = {tree.root(), 0, 0, 0};
  double gain = 0;
  int n_levels = 0;
  while (walk.node >= 0) {
    const i64 v = walk.node;
    if (insertion) {
      walk.pass(tree, x);
      if (walk.gone()) return walk.expected;
      walk.born = tree.time[v];
    }
    ++n_levels;
    const real value = x[tree.feature[v]];
    if (value == value) {
      walk.node = tree.child[2 * v + (value > tree.threshold[v])];
      continue;
    }
    walk.node = way_child[first + v];
    if (insertion) {
      walk.expected -= exp(-walk.hazard) * way_gain[first + v];
    } else {
      gain += way_gain[first + v];
    }
  }
  return insertion ? walk.end(tree, x) : n_levels + tree.hidden_depth[~walk.node] - gain;
}

// Either depth of the rows that `missing` names.
extern "C" __global__ void __launch_bounds__(THREADS, 4)
    mended_depths(COLUMNS, const double* hidden_depth, const real* x, const i64* missing, i64 n_missing, int insertion,
                  const int* way_child, const double* way_gain, double* depth) {
  const i64 k = static_cast<i64>(blockIdx.x) * THREADS + threadIdx.x;
  if (k >= n_missing) return;
  const real* row = x + missing[k] * d;
  double sum = 0;
  for (i64 t = 0; t < n_trees; ++t) {
    const DepthTree tree = DEPTH_TREE_T;
    if (!tree.empty()) sum += mended_depth(tree, t * capacity, row, way_child, way_gain, insertion != 0);
  }
  depth[missing[k]] = sum / n_trees;
}

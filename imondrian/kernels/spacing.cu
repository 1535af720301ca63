// Mean log spacings of rows, by walks over the forest's own columns: the twin of native/score/spacing.hpp, step for
// step. Only log() may differ from the CPU's, by a unit in the last place.

#include "tree.cuh"
#include "shared/clean.hpp"

#define THREADS 128
#define LANES (256 / REAL_BITS)  // of the CPU's packs, which decide how its sums round
#define LN_2 0.693147180559945309417

struct CleanTree : Tree {
  __device__ __forceinline__ bool sees_few() const { return bag[0] >= 0 && d > kBagSize; }
  __device__ __forceinline__ double clean_of(int v) const { return v < 0 ? leaf_clean[~v] : clean[v]; }
  __device__ __forceinline__ double clean_needed() const { return imondrian::clean_needed(clean_of(root())); }
};

// The sides of a box stretched to x, of the features that a tree sees (null: all).
struct StretchedSubset {
  const real* x;
  const real* lo;
  const real* hi;
  const real* rate;
  const int* bag;
  __device__ Wide wide_of(Index k) const {
    const Index j = bag ? bag[k] : k;
    if (j < 0) return Wide{0, 0};
    return wide_side(x[j] < lo[j] ? x[j] : lo[j], x[j] > hi[j] ? x[j] : hi[j], rate[j]);
  }
};

// kFloor + the extent of the box of v stretched to x, summed as the CPU's packs sum it: over all
// features, or those of the tree's bag in its order.
__device__ __forceinline__ double stretched_extent(const CleanTree& tree, int v, const real* x) {
  const i64 at = v < 0 ? static_cast<i64>(tree.leaf_point[~v]) * tree.width : v * tree.width;
  const real* lo = (v < 0 ? tree.points : tree.lower) + at;
  const real* hi = (v < 0 ? tree.points : tree.upper) + at;
  const bool few = tree.sees_few();
  const int n = few ? kBagSize : tree.d;
  real sum[LANES] = {};
  int n_odd = 0;  // values that differ where all others are one
  for (int first = 0; first < n; first += LANES) {
#pragma unroll
    for (int k = 0; k < LANES; ++k) {
      if (first + k >= n) break;
      const int j = few ? tree.bag[first + k] : first + k;
      if (j < 0) continue;
      const real side = (x[j] > hi[j] ? x[j] : hi[j]) - (x[j] < lo[j] ? x[j] : lo[j]);
      sum[k] += (side > 0 ? side : 0) * tree.rate[j];
      n_odd += tree.rate[j] == 0 && (x[j] < lo[j] || x[j] > lo[j]);
    }
  }
#pragma unroll
  for (int by = LANES / 2; by > 0; by /= 2) {
#pragma unroll
    for (int k = 0; k < by; ++k) sum[k] += sum[k + by];
  }
  double extent = static_cast<double>(sum[0]);
  if (!(extent <= PlainSum<REAL_BITS>::kMost))
    extent = wide_sum(StretchedSubset{x, lo, hi, tree.rate, few ? tree.bag : nullptr}, n);
  return floored_extent(extent, n_odd);
}

// The smallest box on the path of x that holds enough clean mass, or the root if there is none.
__device__ __forceinline__ int clean_box(const CleanTree& tree, const real* x) {
  const double needed = tree.clean_needed();
  int v = tree.root();
  int box = v;
  while (v >= 0) {
    if (tree.clean[v] < needed) return box;
    box = v;
    v = tree.child[2 * static_cast<i64>(v) + (x[tree.feature[v]] > tree.threshold[v])];
  }
  return tree.leaf_clean[~v] < needed ? box : v;
}

extern "C" __global__ void __launch_bounds__(THREADS)
    log_spacings(COLUMNS, const real* x, i64 n, double* spacing, i64* missing, u64* counts) {
  const i64 i = static_cast<i64>(blockIdx.x) * THREADS + threadIdx.x;
  if (i >= n) return;
  const real* row = x + i * d;
  if (note_row(row, 1, d, i, missing, counts)) return;
  // One logarithm, of a product kept as a mantissa in [1, 2) and an exponent.
  double mantissa = 1;
  i64 exponent = 0;
  int n_present = 0;
  for (i64 t = 0; t < n_trees; ++t) {
    const CleanTree tree = {TREE_T};
    if (tree.empty()) continue;
    ++n_present;
    mantissa *= stretched_extent(tree, clean_box(tree, row), row);
    const i64 bits = __double_as_longlong(mantissa);
    exponent += (bits >> 52) - 1023;
    mantissa = __longlong_as_double((bits & 0xfffffffffffffLL) | 0x3ff0000000000000LL);
  }
  spacing[i] = (log(mantissa) + static_cast<double>(exponent) * LN_2) / n_present;
}

// The rows that `missing` names: for want of a value they go on from v to way_child[v], and pay way_gain[v]
// (native/score/means.hpp).
extern "C" __global__ void __launch_bounds__(THREADS)
    mended_spacings(COLUMNS, const real* x, const i64* missing, i64 n_missing, const int* way_child,
                    const double* way_gain, double* spacing) {
  const i64 k = static_cast<i64>(blockIdx.x) * THREADS + threadIdx.x;
  if (k >= n_missing) return;
  const real* row = x + missing[k] * d;
  double sum = 0;
  int n_present = 0;
  for (i64 t = 0; t < n_trees; ++t) {
    const CleanTree tree = {TREE_T};
    if (tree.empty()) continue;
    ++n_present;
    int v = tree.root();
    const double needed = tree.clean_needed();
    double gain = 0;
    while (v >= 0 && tree.clean[v] >= needed) {
      const real value = row[tree.feature[v]];
      const bool lacks = value != value;
      const int next =
          lacks ? way_child[t * capacity + v] : tree.child[2 * static_cast<i64>(v) + (value > tree.threshold[v])];
      if (lacks) gain += way_gain[t * capacity + v];
      if (tree.clean_of(next) < needed) break;
      v = next;
    }
    sum += log(stretched_extent(tree, v, row)) - gain;
  }
  spacing[missing[k]] = sum / n_present;
}

// sign / (1 + 4 ** -excess) in place, the excess being 0 where the unusual begins and -1 at the middle.
extern "C" __global__ void __launch_bounds__(256)
    scores_of_spacings(double* spacing, i64 n, double middle, double to_limit, double sign) {
  const i64 i = static_cast<i64>(blockIdx.x) * 256 + threadIdx.x;
  if (i >= n) return;
  // NaN where every tree is empty: nothing to compare with.
  const double excess = spacing[i] == spacing[i] ? (spacing[i] - middle) / to_limit - 1.0 : 0.0;
  spacing[i] = sign * (0.5 * (1.0 + tanh(LN_2 * excess)));
}

// Whole trees from rows: batch fitting, and boxes that were left out of it.
#include <atomic>
#include <numeric>
#include <vector>

#include "build.hpp"
#include "dispatch.hpp"
#include "nativekit/parallel.hpp"
#include "nativekit/simd.hpp"
#include "sample.hpp"
#include "scale.hpp"

namespace imondrian {
namespace {

// The hot loops, one clone an instruction set. T is spelled out: clones cannot be templates.
#define IMONDRIAN_KERNELS(T)                                                                       \
  NK_CLONES void build_rows(Tree<T>& tree, std::int32_t* rows, std::int32_t n, const double* mass, \
                            BuildScratch<T>& scratch) {                                            \
    build_tree(tree, rows, n, mass, scratch);                                                      \
  }                                                                                                \
  NK_CLONES void find_tree_rates(Tree<T>& tree, const std::int32_t* rows, std::int64_t n,          \
                                 const double* weight, ScaleScratch<T>& scratch) {                 \
    find_rates(Rows<T>{tree.points, tree.width, rows, n, weight}, tree.n_features, tree.rate,      \
               scratch);                                                                           \
  }                                                                                                \
  NK_CLONES void fill_tree_boxes(Tree<T>& tree) { compute_boxes(tree); }
IMONDRIAN_KERNELS(float)
IMONDRIAN_KERNELS(double)
#undef IMONDRIAN_KERNELS

template <class T>
void fit_tree(const ForestView& forest, const T* x, std::int64_t n, const double* weight,
              std::int64_t n_sample, bool own_rows, std::int64_t t) {
  Tree<T> tree(forest, t);
  const std::int64_t k = std::min(n, n_sample);
  std::vector<std::int32_t> rows(static_cast<std::size_t>(k));
  SampleScratch scratch;
  std::vector<std::int64_t> drawn(static_cast<std::size_t>(k < n ? k : 0));
  if (k < n) {
    Rng rng(tree.rng);
    if (weight) {
      sample_weighted(rng, n, k, weight, drawn.data(), scratch);
    } else {
      sample_uniform(rng, n, k, drawn.data(), scratch);
    }
    if (forest.drawn) std::copy(drawn.begin(), drawn.end(), forest.drawn + t * k);
  }
  T* points = static_cast<T*>(forest.points);
  for (std::int64_t i = 0; i < k; ++i) {
    if (own_rows) NK_PREFETCH(x + drawn[std::min(i + 12, k - 1)] * tree.n_features);
    const std::int64_t row = own_rows ? t * k + i : (k < n ? drawn[i] : i);
    if (own_rows) copy_padded(points + row * tree.width, x + drawn[i] * tree.n_features, tree.n_features, tree.width);
    rows[i] = static_cast<std::int32_t>(row);
  }
  if (forest.scaled && k < n) {
    ScaleScratch<T> scale;
    find_tree_rates(tree, rows.data(), k, nullptr, scale);
  }
  BuildScratch<T> build;
  // A subsampled row counts once: its weight has already decided how likely it was to be drawn.
  build_rows(tree, rows.data(), static_cast<std::int32_t>(k), k < n ? nullptr : weight, build);
}

// Trees that hold all rows have one scale.
template <class T>
void share_rates(const ForestView& forest, std::int64_t n, const double* weight) {
  std::vector<std::int32_t> rows(static_cast<std::size_t>(n));
  std::iota(rows.begin(), rows.end(), 0);
  ScaleScratch<T> scratch;
  Tree<T> first(forest, 0);
  find_tree_rates(first, rows.data(), n, weight, scratch);
  for (std::int64_t t = 1; t < forest.n_trees; ++t) copy_row(Tree<T>(forest, t).rate, first.rate, forest.width);
}

template <class T>
Status fit_as(const ForestView& forest, const T* x, std::int64_t n, const double* weight,
              std::int64_t n_sample, bool own_rows, int n_threads) {
  std::atomic<bool> no_memory{false};
  if (!own_rows) {
    T* points = static_cast<T*>(forest.points);
    for (std::int64_t i = 0; i < n; ++i) {
      copy_padded(points + i * forest.width, x + i * forest.n_features, forest.n_features, forest.width);
    }
  }
  if (forest.scaled && n_sample >= n) share_rates<T>(forest, n, weight);
  nativekit::parallel_for(forest.n_trees, n_threads, [&](std::int64_t t) {
    try {
      fit_tree(forest, x, n, weight, n_sample, own_rows, t);
    } catch (const std::bad_alloc&) {
      no_memory = true;
    }
  });
  return no_memory ? Status::kNoMemory : Status::kOk;
}

template <class T>
Status boxes_as(const ForestView& forest, int n_threads) {
  std::atomic<bool> no_memory{false};
  nativekit::parallel_for(forest.n_trees, n_threads, [&](std::int64_t t) {
    try {
      Tree<T> tree(forest, t);
      fill_tree_boxes(tree);
    } catch (const std::bad_alloc&) {
      no_memory = true;
    }
  });
  return no_memory ? Status::kNoMemory : Status::kOk;
}

}  // namespace

Status fit(const ForestView& forest, bool is64, const void* x, std::int64_t n, const double* weight,
           std::int64_t n_sample, bool own_rows, int n_threads) {
  return dispatch(is64, x, [&](auto rows) { return fit_as(forest, rows, n, weight, n_sample, own_rows, n_threads); });
}

Status fill_boxes(const ForestView& forest, bool is64, int n_threads) {
  return is64 ? boxes_as<double>(forest, n_threads) : boxes_as<float>(forest, n_threads);
}

}  // namespace imondrian

// Scores of rows under the whole forest.
#include <atomic>
#include <vector>

#include "score/packed_walk.hpp"
#include "dispatch.hpp"
#include "nativekit/parallel.hpp"
#include "score/score_window.hpp"

namespace imondrian::NK_ISA {

#define IMONDRIAN_KERNELS(T)                                                                       \
  void insertion_depths(const Tree<T>& tree, const T* x, std::int64_t n, double* out) {  \
    for (std::int64_t i = 0; i < n; ++i) out[i] += insertion_depth(tree, x + i * tree.width);      \
  }                                                                                                \
  double depth_with_missing(const Tree<T>& tree, const T* x, Score score,                \
                                      std::vector<Fork>& forks) {                                  \
    return forked_depth(tree, x, score, forks);                                                    \
  }
IMONDRIAN_KERNELS(float)
IMONDRIAN_KERNELS(double)
#undef IMONDRIAN_KERNELS

namespace {

constexpr std::int64_t kScoreChunk = 1024;  // rows a thread scores before it asks for more
constexpr std::int64_t kPackFrom = 64;      // rows from which packing the trees pays

double mean_norm(const ForestView& forest) {
  double sum = 0.0;
  for (std::int64_t t = 0; t < forest.n_trees; ++t) sum += hidden_depth(Tree<double>(forest, t).total_mass());
  return sum / static_cast<double>(forest.n_trees);
}

// Add up the leaf depths of few rows (n, n_features), straight on the trees.
template <class T>
void add_leaf_depths(const ForestView& forest, const T* x, std::int64_t n, double* out) {
  for (std::int64_t first = 0; first < forest.n_trees; first += kTreesAbreast) {
    Abreast<T> trees(forest, first);
    for (std::int64_t i = 0; i < n; ++i) {
      trees.find_leaves(x + i * forest.n_features, false);
      for (int k = 0; k < trees.n_trees(); ++k) out[i] += trees.depth(k);
    }
  }
}

// Score again the rows of x (n, stride) that lack a value: they go both ways.
template <class T>
void score_missing(const ForestView& forest, const T* x, std::int64_t n, std::int64_t stride, Score score,
                   double* depth) {
  std::vector<Fork> forks;
  for (std::int64_t i = 0; i < n; ++i) {
    if (!has_missing(x + i * stride, forest.n_features)) continue;
    depth[i] = 0.0;
    for (std::int64_t t = 0; t < forest.n_trees; ++t) {
      const Tree<T> tree(forest, t);
      if (!tree.empty()) depth[i] += depth_with_missing(tree, x + i * stride, score, forks);
    }
  }
}

// Mean depth of n rows of x (n, n_features): on packed trees where there are any.
template <class T>
void score_chunk(const ForestView& forest, const T* x, std::int64_t n, Score score,
                 const std::vector<PackedTree<T>>& packs, PackedScan<T, double> scan, double* out) {
  const std::int64_t d = forest.n_features, width = forest.width;
  std::vector<T> padded;
  std::fill(out, out + n, 0.0);
  if (score == Score::kInsertion) {
    padded.resize(static_cast<std::size_t>(n * width));
    for (std::int64_t i = 0; i < n; ++i) copy_padded(padded.data() + i * width, x + i * d, d, width);
  } else if (packs.empty()) {
    add_leaf_depths(forest, x, n, out);
  }
  for (std::int64_t t = 0; t < forest.n_trees && !(packs.empty() && padded.empty()); ++t) {
    const Tree<T> tree(forest, t);
    if (tree.empty()) continue;
    if (padded.empty()) {
      scan(packs[t], x, n, d, d, out);
    } else {
      insertion_depths(tree, padded.data(), n, out);
    }
  }
  score_missing(forest, padded.empty() ? x : padded.data(), n, padded.empty() ? d : width, score, out);
  for (std::int64_t i = 0; i < n; ++i) out[i] /= static_cast<double>(forest.n_trees);
}

template <class T>
Status score_as(const ForestView& forest, const T* x, std::int64_t n, Score score, double* depth,
                int n_threads) {
  const std::int64_t d = forest.n_features, trees = forest.n_trees;
  const bool packed = score == Score::kDepth && n >= kPackFrom;
  std::vector<PackedTree<T>> packs(packed ? static_cast<std::size_t>(trees) : 0);
  std::atomic<bool> no_memory{false};
  const PackedScan<T, double> scan = choose_scan<T, double>(d);
  if (packed) {
    nativekit::parallel_for(trees, n * trees < 20000 ? 1 : n_threads, [&](std::int64_t t) {
      try {
        const Tree<T> tree(forest, t);
        if (tree.empty()) return;
        LeafEnds<T> ends(tree);
        packs[t] = pack_blocks(tree, ends);
      } catch (const std::bad_alloc&) {
        no_memory = true;
      }
    });
  }
  if (no_memory) return Status::kNoMemory;
  const std::int64_t n_chunks = (n + kScoreChunk - 1) / kScoreChunk;
  nativekit::parallel_for(n_chunks, n_threads, [&](std::int64_t c) {
    const std::int64_t begin = c * kScoreChunk, count = std::min(kScoreChunk, n - begin);
    try {
      score_chunk(forest, x + begin * d, count, score, packs, scan, depth + begin);
    } catch (const std::bad_alloc&) {
      no_memory = true;
    }
  });
  return no_memory ? Status::kNoMemory : Status::kOk;
}

}  // namespace

double hidden_depth_of(double mass) { return hidden_depth(mass); }

void spacing_excess(const ForestView& forest, const double* spacing, std::int64_t n, double* out) {
  const Usual usual(Recent(forest.recent));
  for (std::int64_t i = 0; i < n; ++i) out[i] = usual.excess(spacing[i]);
}

Status score(const ForestView& forest, bool is64, const void* x, std::int64_t n, Score kind,
             double* depth, double* norm, int n_threads) {
  if (kind == Score::kSpacing) {
    *norm = 1.0;
    const Status status = dispatch(is64, x, [&](auto rows) { return spacings_as(forest, rows, n, depth, n_threads); });
    NK_ISA::spacing_excess(forest, depth, n, depth);
    return status;
  }
  *norm = mean_norm(forest);
  return dispatch(is64, x, [&](auto rows) { return score_as(forest, rows, n, kind, depth, n_threads); });
}

}  // namespace imondrian::NK_ISA

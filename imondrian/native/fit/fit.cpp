// Whole trees from rows: batch fitting, and boxes that were left out of it.
#include <atomic>
#include <numeric>
#include <vector>

#include "base/sample.hpp"
#include "dispatch.hpp"
#include "fit/clean_mass.hpp"
#include "nativekit/parallel.hpp"
#include "tree/build.hpp"
#include "tree/feature_subset.hpp"
#include "tree/scale.hpp"

namespace imondrian::NK_ISA {
namespace {

template <class T>
void build_rows(Tree<T>& tree, std::int32_t* rows, std::int32_t n, const double* mass, BuildScratch<T>& scratch) {
  build_tree(tree, rows, n, mass, scratch);
}

template <class T>
void find_tree_rates(Tree<T>& tree, const std::int32_t* rows, std::int64_t n, const double* weight,
                     ScaleScratch<T>& scratch) {
  const Rows<T> found{tree.points, tree.width, rows, n, weight};
  find_rates(found, tree, tree.rate, scratch);
}

template <class T>
void find_tree_levels(Tree<T>& tree, bool scaled, const std::int32_t* rows, std::int64_t n, const double* weight,
                      ScaleScratch<T>& scratch) {
  const Rows<T> found{tree.points, tree.width, rows, n, weight};
  find_nominal_units(found, tree, scaled, {tree.bit_rate, tree.level_root, tree.entropy}, scratch);
}

template <class T>
void fill_tree_boxes(Tree<T>& tree) {
  compute_boxes(tree);
}

// Draw which k of n rows tree t gets, from its own generator.
void draw_tree(const ForestView& forest, std::int64_t t, std::int64_t n, std::int64_t k, const double* weight,
               std::int64_t* rows) {
  Rng rng(forest.rng + 4 * t);
  SampleScratch scratch;
  if (weight) {
    sample_weighted(rng, n, k, weight, rows, scratch);
  } else {
    sample_uniform(rng, n, k, rows, scratch);
  }
}

// Ask for all of a short row, the beginning of a long one.
template <class T>
void prefetch_row(const T* x, std::int64_t n_features) {
  constexpr std::int64_t kLine = 64 / sizeof(T), kMost = 4 * kLine;
  for (std::int64_t j = 0; j < std::min(n_features, kMost); j += kLine) NK_PREFETCH(x + j);
  NK_PREFETCH(x + std::min(n_features, kMost) - 1);
}

// Build tree t from the rows of x that it draws, or that forest.drawn names (already_drawn), or from all; samples,
// where there are any, learn which rows it holds, and which of x those are.
template <class T>
void fit_tree(const ForestView& forest, const T* x, std::int64_t n, const double* weight, std::int64_t n_sample,
              bool own_rows, bool already_drawn, std::int64_t t, Samples* samples) {
  Tree<T> tree(forest, t);
  const std::int64_t k = std::min(n, n_sample);
  const bool sampled = already_drawn || k < n;
  std::vector<std::int32_t> rows(static_cast<std::size_t>(k));
  std::vector<std::int64_t> own(static_cast<std::size_t>(sampled && !already_drawn ? k : 0));
  const std::int64_t* drawn = already_drawn ? forest.drawn + t * k : own.data();
  if (sampled && !already_drawn) {
    draw_tree(forest, t, n, k, weight, own.data());
    if (forest.drawn) std::copy(own.begin(), own.end(), forest.drawn + t * k);
  }
  T* points = static_cast<T*>(forest.points);
  for (std::int64_t i = 0; i < k; ++i) {
    if (own_rows) prefetch_row(x + drawn[std::min(i + 12, k - 1)] * tree.n_features, tree.n_features);
    const std::int64_t row = own_rows ? t * k + i : (sampled ? drawn[i] : i);
    if (own_rows) copy_padded(points + row * tree.width, x + drawn[i] * tree.n_features, tree.n_features, tree.width);
    rows[i] = static_cast<std::int32_t>(row);
  }
  if (sampled && (forest.scaled || tree.kinds.any())) {
    ScaleScratch<T> scale;
    if (forest.scaled) find_tree_rates(tree, rows.data(), k, nullptr, scale);
    if (tree.kinds.any()) find_tree_levels(tree, forest.scaled != 0, rows.data(), k, nullptr, scale);
  }
  BuildScratch<T> build;
  if (samples) {
    build.leaf_of.resize(static_cast<std::size_t>(own_rows ? k : n));
    build.first_row = own_rows ? static_cast<std::int32_t>(t * k) : 0;
    std::copy(rows.begin(), rows.end(), samples->row.begin() + t * k);
    for (std::int64_t i = 0; i < k; ++i) samples->point[t * k + i] = static_cast<std::int32_t>(sampled ? drawn[i] : i);
  }
  // A subsampled row counts once: its weight has already decided how likely it was to be drawn.
  build_rows(tree, rows.data(), static_cast<std::int32_t>(k), sampled ? nullptr : weight, build);
  nativekit::in_runs(samples ? k : 0, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = t * k + begin; i < t * k + end; ++i) {
      samples->leaf[i] = build.leaf_of[samples->row[i] - build.first_row];
    }
  });
}

// Number the points from rows of x to what some tree holds.
void number_points(std::int64_t n, Samples& samples) {
  std::vector<std::int32_t> number(static_cast<std::size_t>(n), -1);
  const std::int64_t n_places = static_cast<std::int64_t>(samples.point.size());
  nativekit::in_runs(n_places, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      if (number[samples.point[i]] < 0) number[samples.point[i]] = samples.row[i];
    }
  });
  for (std::int64_t i = 0; i < n; ++i) {
    if (number[i] < 0) continue;
    samples.stored.push_back(number[i]);
    number[i] = static_cast<std::int32_t>(samples.n_points++);
  }
  nativekit::in_runs(n_places, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) samples.point[i] = number[samples.point[i]];
  });
}

// Trees that hold all rows have one scale.
template <class T>
void share_rates(const ForestView& forest, std::int64_t n, const double* weight) {
  std::vector<std::int32_t> rows(static_cast<std::size_t>(n));
  std::iota(rows.begin(), rows.end(), 0);
  ScaleScratch<T> scratch;
  Tree<T> first(forest, 0);
  first.bag = nullptr;  // the rates of all features, until its own turn comes
  if (forest.scaled) find_tree_rates(first, rows.data(), n, weight, scratch);
  if (first.kinds.any()) find_tree_levels(first, forest.scaled != 0, rows.data(), n, weight, scratch);
  for (std::int64_t t = forest.n_trees - 1; t >= 0; --t) {
    Tree<T> tree(forest, t);
    for (std::int64_t j = 0; j < tree.n_features && forest.scaled; ++j) tree.rate[j] = rate_in(tree, j, first.rate[j]);
    for (std::int64_t k = 0; k < tree.kinds.n; ++k) {
      const std::int32_t j = tree.kinds.which[k];
      tree.bit_rate[j] = rate_in(tree, j, first.bit_rate[j]);
      tree.level_root[j] = first.level_root[j];
      tree.entropy[j] = first.entropy[j];
    }
  }
}

template <class T>
Status fit_as(const ForestView& forest, const T* x, std::int64_t n, const double* weight, std::int64_t n_sample,
              bool own_rows, bool already_drawn, int n_threads) {
  std::atomic<bool> no_memory{false};
  if (!own_rows) {
    T* points = static_cast<T*>(forest.points);
    nativekit::Paced pace(1 << 20);
    for (std::int64_t i = 0; i < n; ++i) {
      pace.did(forest.width);
      copy_padded(points + i * forest.width, x + i * forest.n_features, forest.n_features, forest.width);
    }
  }
  const bool sampled = already_drawn || n_sample < n;
  if (!sampled && (forest.scaled || forest.n_nominal > 0)) share_rates<T>(forest, n, weight);
  const std::int64_t k = std::min(n, n_sample);
  Samples samples;
  Samples* const held = forest.clean ? &samples : nullptr;
  if (held) {
    samples.n_sample = k;
    samples.weight = sampled ? nullptr : weight;
    for (auto* column : {&samples.row, &samples.leaf, &samples.point})
      nativekit::fill_in_runs(*column, static_cast<std::size_t>(forest.n_trees * k), 0);
  }
  nativekit::parallel_for(forest.n_trees, n_threads, [&](std::int64_t t) {
    try {
      fit_tree(forest, x, n, weight, n_sample, own_rows, already_drawn, t, held);
    } catch (const std::bad_alloc&) {
      no_memory = true;
    }
  });
  if (no_memory) return Status::kNoMemory;
  if (held) {
    number_points(n, samples);
    trim<T>(forest, samples, n_threads);
  }
  return Status::kOk;
}

template <class T>
Status bags_as(const ForestView& forest, std::int64_t known, const std::int32_t* order) {
  for (std::int64_t t = 0; t < forest.n_trees; ++t) {
    Tree<T> tree(forest, t);
    const int wanted = wanted_in_bag(forest, t);
    const bool changed = wanted > 0 && draw_bag(tree, wanted, known, order);
    if (changed && !tree.empty()) forest.stream[kStreamSize * t + kLook] = 0;  // renewed before it learns on
    const std::int64_t from = tree.empty() ? 0 : known;
    for (std::int64_t k = from; k < tree.n_features && !forest.scaled; ++k) {
      const std::int32_t j = order[k];
      if (tree.kinds.is_nominal(j)) {
        tree.bit_rate[j] = bit_rate_of(tree, j, 1.0);
      } else {
        tree.rate[j] = rate_in(tree, j, T(1));
      }
    }
  }
  return Status::kOk;
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
           std::int64_t n_sample, bool own_rows, bool already_drawn, int n_threads) {
  return dispatch(is64, x, [&](auto rows) {
    return fit_as(forest, rows, n, weight, n_sample, own_rows, already_drawn, n_threads);
  });
}

Status draw_rows(const ForestView& forest, std::int64_t n, const double* weight, std::int64_t n_sample, int n_threads) {
  return guarded([&] {
    std::atomic<bool> no_memory{false};
    nativekit::parallel_for(forest.n_trees, n_threads, [&](std::int64_t t) {
      try {
        draw_tree(forest, t, n, n_sample, weight, forest.drawn + t * n_sample);
      } catch (const std::bad_alloc&) {
        no_memory = true;
      }
    });
    return no_memory ? Status::kNoMemory : Status::kOk;
  });
}

Status draw_bags(const ForestView& forest, bool is64, std::int64_t known, const std::int32_t* order) {
  return is64 ? bags_as<double>(forest, known, order) : bags_as<float>(forest, known, order);
}

Status fill_boxes(const ForestView& forest, bool is64, int n_threads) {
  return guarded([&] { return is64 ? boxes_as<double>(forest, n_threads) : boxes_as<float>(forest, n_threads); });
}

}  // namespace imondrian::NK_ISA

// Scores of rows under the whole forest.
#include <atomic>
#include <vector>

#include "dispatch.hpp"
#include "nativekit/parallel.hpp"
#include "score/depth_batch.hpp"
#include "score/insertion.hpp"
#include "score/insertion_batch.hpp"
#include "score/score_window.hpp"
#include "score/ways.hpp"

namespace imondrian::NK_ISA {

template <class T>
void insertion_depths(const Tree<T>& tree, const T* x, std::int64_t n, double* out) {
  for (std::int64_t i = 0; i < n; ++i) {
    const T* const row = x + i * tree.width;
    const bool nothing = row[0] != row[0] && lack_of(row, tree.n_features) == Lack::kAll;
    out[i] += nothing ? insertion_depth_of_nothing(tree, row) : insertion_depth(tree, row);
  }
}

template <class T>
double depth_with_missing(const Tree<T>& tree, const T* x) {
  return mended_depth(tree, x);
}

template <class T>
void depths_with_missing(const Abreast<T>& trees, const T* x, Lack lack, double* depth) {
  if (lack != Lack::kAll) return trees.find_mended_depths(x, depth);
  for (int k = 0; k < trees.n_trees(); ++k) depth[k] = trees.tree(k).empty() ? 0.0 : depth_of_nothing(trees.tree(k), x);
}

template <class T>
void walk_packed_ways(const PackedWays<T>& tree, const T* x, std::int64_t n, std::int64_t stride, std::int32_t* end,
                      double* gain) {
  walk_ways(tree, x, n, stride, end, gain);
}

namespace {

constexpr std::int64_t kScoreChunk = 1024;  // rows a thread scores before it asks for more
// From how many rows for each leaf of a tree tables pay (bench/bench_forest_calls.py), beside as many over the number
// of features: the fewer, the more groups of trees there are.
constexpr double kRowsPerLeaf = 6.0;

double mean_norm(const ForestView& forest) {
  double sum = 0.0;
  for (std::int64_t t = 0; t < forest.n_trees; ++t) sum += hidden_depth(Tree<double>(forest, t).total_mass());
  return sum / static_cast<double>(forest.n_trees);
}

// Add up the leaf depths of few rows (n, n_features) that all lack a value, or that all lack none, straight on the
// trees.
template <class T>
void add_leaf_depths(const ForestView& forest, const T* x, std::int64_t n, bool missing, double* out) {
  const std::int64_t d = forest.n_features;
  double depth[kTreesAbreast];
  for (std::int64_t first = 0; first < forest.n_trees; first += kTreesAbreast) {
    nativekit::stop_if_asked();
    Abreast<T> trees(forest, first);
    for (std::int64_t i = 0; i < n; ++i) {
      const T* const row = x + i * d;
      if (missing) {
        depths_with_missing(trees, row, lack_of(row, d), depth);
      } else {
        trees.find_leaves(row, false);
        for (int k = 0; k < trees.n_trees(); ++k) depth[k] = trees.depth(k);
      }
      for (int k = 0; k < trees.n_trees(); ++k) out[i] += depth[k];
    }
  }
}

// Call add(rows, n, kind, sums) for the rows of x (n, d) that are of a kind, and for those that are not.
template <class T, class IsOfKind, class Add>
void add_split(const T* x, std::int64_t n, std::int64_t d, double* out, const IsOfKind& is_of_kind, const Add& add) {
  for (const bool kind : {false, true}) {
    std::vector<std::int64_t> which;
    std::vector<T> rows;
    for (std::int64_t i = 0; i < n; ++i) {
      if (is_of_kind(x + i * d) != kind) continue;
      which.push_back(i);
      rows.insert(rows.end(), x + i * d, x + (i + 1) * d);
    }
    std::vector<double> sums(which.size());
    for (std::size_t k = 0; k < which.size(); ++k) sums[k] = out[which[k]];
    const std::int64_t m = static_cast<std::int64_t>(which.size());
    if (m > 0) add(rows.data(), m, kind, sums.data());
    for (std::size_t k = 0; k < which.size(); ++k) out[which[k]] = sums[k];
  }
}

// The same, the kind being whether rows lack a value.
template <class T, class Add>
void add_by_kind(const T* x, std::int64_t n, std::int64_t d, double* out, const Add& add) {
  if (!has_missing(x, n * d)) return add(x, n, false, out);
  add_split(x, n, d, out, [d](const T* row) { return has_missing(row, d); }, add);
}

// Add up the depths of few rows (n, n_features) under virtual insertion: some trees find all leaves side by side, then
// each of them has all rows climb, so that its boxes stay in a cache.
template <class T>
void add_insertion_depths(const ForestView& forest, const T* x, std::int64_t n, double* out) {
  struct End {
    std::int32_t leaf, levels;
  };
  const std::int64_t d = forest.n_features, width = forest.width;
  std::vector<T> rows(static_cast<std::size_t>(n * width));
  std::vector<char> alone(static_cast<std::size_t>(n));  // rows that walk down by themselves
  std::vector<End> ends(alone.size() * kTreesAbreast);
  for (std::int64_t i = 0; i < n; ++i) {
    copy_padded(rows.data() + i * width, x + i * d, d, width);
    alone[i] = forest.n_nominal > 0 || has_missing(x + i * d, d);
  }
  InsertionWalk<T> walk;
  for (std::int64_t first = 0; first < forest.n_trees; first += kTreesAbreast) {
    nativekit::stop_if_asked();
    Abreast<T> trees(forest, first);
    for (std::int64_t i = 0; i < n; ++i) {
      if (alone[i]) continue;
      trees.find_leaves(rows.data() + i * width, false);
      for (int k = 0; k < trees.n_trees(); ++k) ends[k * n + i] = {trees.leaf(k), trees.levels(k)};
    }
    for (int k = 0; k < trees.n_trees(); ++k) {
      const Tree<T>& tree = trees.tree(k);
      if (tree.empty()) continue;
      for (std::int64_t i = 0; i < n; ++i) {
        const T* const row = rows.data() + i * width;
        if (alone[i]) {
          insertion_depths(tree, row, 1, out + i);
        } else {
          out[i] += walk.depth(tree, row, ends[k * n + i].leaf, ends[k * n + i].levels);
        }
      }
    }
  }
}

// The same of insertion depths: walks cost more the more features there are.
double rows_per_leaf_inserted(std::int64_t d) { return std::max(5.0 - static_cast<double>(d) / 16.0, 1.5); }

// Rows that a thread takes at a time: the more, the more of them end in each leaf, but they are to stay in a cache.
std::int64_t insertion_chunk(std::int64_t n, std::int64_t row_bytes, int n_threads) {
  constexpr std::int64_t kRowBytes = 256 << 10;
  const std::int64_t each = (n + n_threads - 1) / std::max(n_threads, 1);
  return std::clamp<std::int64_t>(kRowBytes / row_bytes, std::min<std::int64_t>(each, kScoreChunk), 8 * kScoreChunk);
}

// Call body(x, n, sums) for the rows of x (n, d), some at a time.
template <class T, class Body>
void for_chunks(const T* x, std::int64_t n, std::int64_t d, double* out, int n_threads, const Body& body,
                std::int64_t chunk = kScoreChunk) {
  std::atomic<bool> no_memory{false};
  nativekit::parallel_for((n + chunk - 1) / chunk, n_threads, [&](std::int64_t c) {
    const std::int64_t begin = c * chunk, count = std::min(chunk, n - begin);
    try {
      body(x + begin * d, count, out + begin);
    } catch (const std::bad_alloc&) {
      no_memory = true;
    }
  });
  if (no_memory) throw std::bad_alloc();
}

template <class T>
void sum_leaf_depths(const ForestView& given, const T* x, std::int64_t n, double* out, int n_threads) {
  const std::int64_t d = given.n_features;
  WithMeans with_means(given);
  const bool any_missing = has_missing(x, n * d);
  if (any_missing) with_means.make_depth();
  const ForestView& forest = with_means.forest();
  if (!tables_pay(forest, n, kRowsPerLeaf + kRowsPerLeaf / static_cast<double>(d))) {
    return for_chunks(x, n, d, out, n_threads, [&](const T* rows, std::int64_t count, double* sums) {
      add_by_kind(rows, count, d, sums, [&](const T* alike, std::int64_t m, bool missing, double* to) {
        add_leaf_depths(forest, alike, m, missing, to);
      });
    });
  }
  for (std::int64_t first = 0; first < forest.n_trees;) {
    const DepthBatch<T> trees(forest, first, any_missing, n_threads);
    for_chunks(x, n, d, out, n_threads, [&](const T* rows, std::int64_t count, double* sums) {
      add_by_kind(rows, count, d, sums, [&](const T* alike, std::int64_t m, bool missing, double* to) {
        missing ? trees.add_missing(alike, m, d, to) : trees.add(alike, m, d, to);
      });
    });
    first = trees.end();
  }
}

// Add up the depths under virtual insertion of rows of x (n, n_features).
template <class T>
void sum_insertions(const ForestView& given, const T* x, std::int64_t n, double* out, int n_threads) {
  const std::int64_t d = given.n_features;
  WithMeans with_means(given);
  const bool any_missing = has_missing(x, n * d);
  if (any_missing) with_means.make_depth();
  const ForestView& forest = with_means.forest();
  if (forest.n_nominal > 0 || !tables_pay(forest, n, rows_per_leaf_inserted(d))) {
    return for_chunks(x, n, d, out, n_threads, [&](const T* rows, std::int64_t count, double* sums) {
      add_insertion_depths(forest, rows, count, sums);
    });
  }
  const std::int64_t chunk = insertion_chunk(n, d * static_cast<std::int64_t>(sizeof(T)), n_threads);
  for (std::int64_t first = 0; first < forest.n_trees;) {
    const InsertionBatch<T> trees(forest, first, any_missing, n_threads);
    const auto is_plain = [&](const T* row) { return trees.is_plain(row); };
    const auto add = [&](const T* rows, std::int64_t count, double* sums) {
      add_by_kind(rows, count, d, sums, [&](const T* alike, std::int64_t m, bool missing, double* to) {
        bool all = true;
        for (std::int64_t i = 0; i < m; ++i) all &= is_plain(alike + i * d);
        if (all) return trees.add(alike, m, missing, to);
        add_split(alike, m, d, to, is_plain, [&](const T* same, std::int64_t count, bool plain, double* sum) {
          plain ? trees.add(same, count, missing, sum) : trees.add_alone(same, count, sum);
        });
      });
    };
    for_chunks(x, n, d, out, n_threads, add, chunk);
    first = trees.end();
  }
}

// Mean depths of n rows of x (n, n_features).
template <class T>
Status score_as(const ForestView& forest, const T* x, std::int64_t n, Score score, double* depth, int n_threads) {
  std::fill(depth, depth + n, 0.0);
  score == Score::kInsertion ? sum_insertions(forest, x, n, depth, n_threads)
                             : sum_leaf_depths(forest, x, n, depth, n_threads);
  for (std::int64_t i = 0; i < n; ++i) depth[i] /= static_cast<double>(forest.n_trees);
  return Status::kOk;
}

template <class T>
Status ways_as(const ForestView& given, Score score, std::int32_t* child, double* gain) {
  WithMeans with_means(given);
  const bool spacing = score == Score::kSpacing;
  if (spacing) {
    with_means.make_spacing();
  } else {
    with_means.make_depth();
  }
  for (std::int64_t t = 0; t < given.n_trees; ++t, child += given.capacity, gain += given.capacity) {
    const Tree<T> tree(with_means.forest(), t);
    if (tree.empty()) continue;
    nativekit::stop_if_asked();
    Sight<T> sight;
    sight.look_at(tree);
    BoxScratch<T> scratch;
    if (spacing) prepare_tree_means(tree, sight, scratch);
    for (std::int32_t v = 0; v < tree.header[kNodeMark]; ++v) {
      if (tree.feature[v] == kFree) continue;
      child[v] = tree.child[2 * std::int64_t{v} + drawn_side(tree, v)];
      const std::int32_t left = tree.child[2 * std::int64_t{v}], right = tree.child[2 * std::int64_t{v} + 1];
      if (!spacing) {
        gain[v] = depth_means(tree).gain(v, child[v]);
      } else if (tree.clean_of(left) >= clean_needed(tree) || tree.clean_of(right) >= clean_needed(tree)) {
        gain[v] = spacing_means(tree, sight, scratch).gain(v, child[v]);
      }
    }
  }
  return Status::kOk;
}

}  // namespace

double hidden_depth_of(double mass) { return hidden_depth(mass); }

Status drawn_ways(const ForestView& forest, bool is64, Score score, std::int32_t* child, double* gain) {
  return is64 ? dispatch(true, nullptr, [&](auto) { return ways_as<double>(forest, score, child, gain); })
              : dispatch(false, nullptr, [&](auto) { return ways_as<float>(forest, score, child, gain); });
}

void spacing_excess(const ForestView& forest, const double* spacing, std::int64_t n, double* out) {
  const Usual usual(Recent(forest.recent));
  for (std::int64_t i = 0; i < n; ++i) out[i] = usual.excess(spacing[i]);
}

Status score(const ForestView& forest, bool is64, const void* x, std::int64_t n, Score kind, double* depth,
             double* norm, int n_threads) {
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

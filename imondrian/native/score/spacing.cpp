// The spacing score of rows under the whole forest.
#include "score/spacing.hpp"

#include <atomic>
#include <numeric>

#include "dispatch.hpp"
#include "nativekit/parallel.hpp"
#include "score/packed_spacing.hpp"
#include "score/score_window.hpp"
#include "score/tree_batch.hpp"

namespace imondrian::NK_ISA {
namespace {

constexpr std::int64_t kSpacingChunk = 512;  // rows a thread scores before it asks for more
constexpr std::int64_t kMakeBoxesFrom = 8;   // rows from which boxes that no tree stores are shared
// Rows for each leaf of a tree from which tables pay (bench/bench_forest_calls.py): where trees store no boxes, looking
// for one costs more.
constexpr double kRowsPerLeafBoxed = 2.5;
constexpr double kRowsPerLeafUnboxed = 0.4;

// A row at its clean box in a tree, and what it sees.
template <class T>
struct RowLook {
  Ending end;
  const T* x;
  double* extent;

  void write(const Tree<T>&, const Sight<T>&, double value, BoxScratch<T>&) const { *extent = value; }
  Held held() const { return {}; }
};

// The chunk's rows on one tree that stores no boxes, each of which is made once for all rows.
template <class T>
class ManyLooks {
 public:
  explicit ManyLooks(const Chunk<T>& chunk) : chunk_(chunk), extents_(chunk.n_whole + chunk.lacking.size()) {}

  void add(const Tree<T>& tree, const Sight<T>& sight, std::int64_t width, LogSum* sums, double* log_sums) {
    const SpacingMeans<T> means = spacing_means(tree, sight, scratch_);
    if (!chunk_.lacking.empty()) prepare_tree_means(tree, sight, scratch_);
    looks_.clear();
    gains_.clear();
    for (std::size_t i = 0; i < extents_.size(); ++i) {
      nativekit::stop_if_asked();
      const std::int64_t at = static_cast<std::int64_t>(i) - chunk_.n_whole;
      const T* x =
          at < 0 ? chunk_.whole.data() + static_cast<std::int64_t>(i) * width : chunk_.holed.data() + at * width;
      const Ending end = at < 0 ? Ending{clean_box(tree, leaf_under(tree, x)), 0.0} : find_ending(tree, x, means);
      if (at >= 0) gains_.push_back(end.gain);
      looks_.push_back({end, x, &extents_[i]});
    }
    measure_looks(tree, sight, looks_, scratch_);
    for (std::int64_t i = 0; i < chunk_.n_whole; ++i) sums[i].add_log_of(extents_[i]);
    for (std::size_t i = 0; i < gains_.size(); ++i) {
      log_sums[chunk_.lacking[i]] += std::log(extents_[chunk_.n_whole + i]) - gains_[i];
    }
  }

 private:
  const Chunk<T>& chunk_;
  std::vector<double> extents_, gains_;
  std::vector<RowLook<T>> looks_;
  BoxScratch<T> scratch_;
};

template <class T>
void look_at_made_boxes(const ForestView& forest, const Chunk<T>& chunk, LogSum* sums, double* log_sums) {
  ManyLooks<T> looks(chunk);
  for (std::int64_t t = 0; t < forest.n_trees; ++t) {
    const Tree<T> tree(forest, t);
    if (tree.empty()) continue;
    Sight<T> sight;
    sight.look_at(tree);
    looks.add(tree, sight, forest.width, sums, log_sums);
  }
}

// Row by row, straight on the trees.
template <class T>
void score_few(const ForestView& forest, const Chunk<T>& chunk, LogSum* sums, LogSum* near_sums, double* log_sums) {
  if (!forest.lower && !is_wide(forest) &&
      chunk.n_whole + static_cast<std::int64_t>(chunk.lacking.size()) >= kMakeBoxesFrom) {
    return look_at_made_boxes(forest, chunk, sums, log_sums);
  }
  for (std::int64_t first = 0; first < forest.n_trees; first += kTreesAbreast) {
    nativekit::stop_if_asked();
    TreeGroup<T> group(forest, first);
    double extent[kTreesAbreast], away[kTreesAbreast];
    for (std::int64_t i = 0; i < chunk.n_whole; ++i) {
      const T* row = chunk.whole.data() + i * forest.width;
      group.find_leaves(row, false);
      look_across(group, row, extent, away);
      for (int k = 0; k < group.n_trees(); ++k) {
        if (group.tree(k).empty()) continue;
        sums[i].add_log_of(extent[k]);
        if (near_sums) near_sums[i].add_log_of(away[k]);
      }
    }
    for (int k = 0; k < group.n_trees() && !chunk.lacking.empty(); ++k) {
      if (group.tree(k).empty()) continue;
      prepare_tree_means(group.tree(k), group.sight(k), group.scratch());
      for (std::size_t i = 0; i < chunk.lacking.size(); ++i) {
        nativekit::stop_if_asked();
        const T* row = chunk.holed.data() + static_cast<std::int64_t>(i) * forest.width;
        log_sums[chunk.lacking[i]] +=
            spacing_with_missing(group.tree(k), row, lack_of(row, forest.n_features), group.sight(k), group.scratch());
      }
    }
  }
}

// Trees from `first` on, as many as there is room for.
template <class T>
struct SpacingBatch {
  const LevelCodes<T>& codes;
  TreeBatch<T> trees;
  std::vector<PackedSpacing<T>> packs;

  SpacingBatch(const ForestView& forest, std::int64_t first, bool missing, const LevelCodes<T>& codes, int n_threads)
      : codes(codes), trees(batch_size<T>(forest, forest.n_trees - first,
                                          bytes_beside(forest, missing) + codes.bytes(forest.capacity)),
                            forest.n_features),
        packs(static_cast<std::size_t>(trees.size())) {
    std::atomic<bool> no_memory{false};
    nativekit::parallel_for(trees.size(), n_threads, [&](std::int64_t k) {
      try {
        WalkTree<T> walk;
        packs[k] = pack_spacing(Tree<T>(forest, first + k), missing, codes, walk);
        if (!walk.nodes.empty()) trees.set(k, std::move(walk));
      } catch (const std::bad_alloc&) {
        no_memory = true;
      }
    });
    if (no_memory) throw std::bad_alloc();
    trees.finish();
  }

  // What a tree takes up but for its walk: few of its leaves are clean boxes.
  static std::int64_t bytes_beside(const ForestView& forest, bool missing) {
    return forest.capacity *
           (forest.width * static_cast<std::int64_t>(sizeof(T)) + (missing ? 2 * sizeof(WayNode<T>) : 0));
  }

  void add(Chunk<T>& chunk, std::int64_t width, LogSum* sums, LogSum* near_sums, double* log_sums) const {
    RowBatch<T> rows;
    if (chunk.n_whole > 0) rows.load(trees, chunk.whole.data(), chunk.n_whole, width);
    if (codes.n() > 0) {
      codes.find(chunk.whole.data(), chunk.n_whole, width, chunk.whole_codes);
      codes.find(chunk.holed.data(), static_cast<std::int64_t>(chunk.lacking.size()), width, chunk.holed_codes);
    }
    for (std::int64_t k = 0; k < trees.size(); ++k) {
      nativekit::stop_if_asked();
      if (packs[k].rate.empty()) continue;
      add_packed(packs[k], chunk.n_whole > 0 ? rows.find(k) : nullptr, width, chunk, sums, near_sums, log_sums);
    }
  }
};

// Whether n rows are enough for packing trees to pay. Distances of wide forests ask for levels row by row.
bool packs_pay(const ForestView& forest, std::int64_t n) {
  if (is_wide(forest) && forest.n_nominal > 0) return false;
  return tables_pay(forest, n, forest.lower ? kRowsPerLeafBoxed : kRowsPerLeafUnboxed);
}

template <class T>
double trees_present(const ForestView& forest) {
  double present = 0.0;
  for (std::int64_t t = 0; t < forest.n_trees; ++t) present += !Tree<T>(forest, t).empty();
  return present;
}

// `out`: mean log spacings of a chunk; of rows with missing values from their sums over the trees there, of the
// others, which come one after the other, from `sums` and, where distances count for `near`, `near_sums`.
template <class T>
void finish_rows(const T* x, std::int64_t n, std::int64_t d, double present, const LogSum* sums,
                 const LogSum* near_sums, double near, double* out) {
  for (std::int64_t i = 0; i < n; ++i) {
    if (!has_missing(x + i * d, d)) {
      out[i] = (sums++)->sum();
      if (near_sums) out[i] = (1.0 - near) * out[i] + near * (near_sums++)->sum();
    }
    out[i] /= present;
  }
}

}  // namespace

template <class T>
Status spacings_as(const ForestView& given, const T* x, std::int64_t n, double* out, int n_threads) {
  const std::int64_t d = given.n_features, n_chunks = (n + kSpacingChunk - 1) / kSpacingChunk;
  const bool missing = has_missing(x, n * d);
  WithMeans with_means(given);
  if (missing) with_means.make_spacing();
  const ForestView& forest = with_means.with_levels<T>();
  const bool wide = is_wide(forest);
  std::vector<LogSum> sums(static_cast<std::size_t>(n)), near_sums(wide ? sums.size() : 0);
  const auto near_from = [&](std::int64_t i) { return wide ? near_sums.data() + i : nullptr; };
  std::fill(out, out + n, 0.0);
  std::atomic<bool> no_memory{false};
  const auto for_chunks = [&](const auto& body) {
    nativekit::parallel_for(n_chunks, n_threads, [&](std::int64_t c) {
      const std::int64_t begin = c * kSpacingChunk, count = std::min(kSpacingChunk, n - begin);
      try {
        Chunk<T> chunk;
        chunk.load(x + begin * d, count, d, forest.width);
        body(chunk, sums.data() + begin, near_from(begin), out + begin);
      } catch (const std::bad_alloc&) {
        no_memory = true;
      }
    });
  };
  if (!packs_pay(forest, n)) {
    for_chunks([&](const Chunk<T>& chunk, LogSum* products, LogSum* near, double* logs) {
      score_few(forest, chunk, products, near, logs);
    });
  } else {
    const LevelCodes<T> codes(forest);
    for (std::int64_t first = 0; first < forest.n_trees && !no_memory;) {
      const SpacingBatch<T> batch(forest, first, missing, codes, n_threads);
      for_chunks([&](Chunk<T>& chunk, LogSum* products, LogSum* near, double* logs) {
        batch.add(chunk, forest.width, products, near, logs);
      });
      first += batch.trees.size();
    }
  }
  const double present = trees_present<T>(forest);
  for (std::int64_t begin = 0; begin < n; begin += kSpacingChunk) {
    finish_rows(x + begin * d, std::min(kSpacingChunk, n - begin), d, present, sums.data() + begin, near_from(begin),
                near_weight(forest), out + begin);
  }
  return no_memory ? Status::kNoMemory : Status::kOk;
}

template <class T>
void look_across(TreeGroup<T>& group, const T* x, double* extent, double* away) {
  group.look(x, extent, away);
}

template <class T>
double spacing_with_missing(const Tree<T>& tree, const T* x, Lack lack, const Sight<T>& sight, BoxScratch<T>& scratch) {
  const auto find = [&] { return mended_spacing(tree, x, sight, scratch); };
  return lack == Lack::kAll ? known_or(tree, tree.mean_spacing, find) : find();
}

template <class T>
double look_with_missing(const Tree<T>& tree, const T* x, Lack lack, const Sight<T>& sight, BoxScratch<T>& scratch,
                         double& depth) {
  if (lack == Lack::kAll) {
    depth = depth_of_nothing(tree, x);
    return spacing_with_missing(tree, x, lack, sight, scratch);
  }
  const Ending end = find_ending(tree, x, spacing_means(tree, sight, scratch), depth);
  return sight.value(tree, end.box, x, scratch) - end.gain;
}

template <class T>
void prepare_tree_means(const Tree<T>& tree, const Sight<T>& sight, BoxScratch<T>& scratch) {
  prepare_means(tree, sight, scratch);
}

}  // namespace imondrian::NK_ISA

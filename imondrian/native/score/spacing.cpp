// The spacing score of rows under the whole forest.
#include "score/spacing.hpp"

#include <atomic>
#include <numeric>

#include "dispatch.hpp"
#include "nativekit/parallel.hpp"
#include "score/score_window.hpp"
#include "score/tree_batch.hpp"

namespace imondrian::NK_ISA {
namespace {

constexpr std::int64_t kSpacingChunk = 512;  // rows a thread scores before it asks for more
// Rows for each leaf of a tree from which tables pay (bench/bench_forest_calls.py): where trees store no boxes, looking
// for one costs more.
constexpr double kRowsPerLeafBoxed = 2.5;
constexpr double kRowsPerLeafUnboxed = 0.4;

// Walks end where the clean box is known: in the child whose mass falls short, or where both would.
template <class T>
class CleanBoxEnds {
 public:
  explicit CleanBoxEnds(const Tree<T>& tree)
      : tree_(tree), needed_(clean_needed(tree)),
        place_(static_cast<std::size_t>(tree.header[kNodeMark]) + tree.header[kLeafMark], kNobody) {}

  bool goes_on(std::int32_t v) const {
    return v >= 0 && (enough(tree_.child[2 * std::int64_t{v}]) || enough(tree_.child[2 * std::int64_t{v} + 1]));
  }
  std::int32_t end(std::int32_t parent, std::int32_t v, double) { return place(parent, v); }
  std::int32_t place(std::int32_t parent, std::int32_t v) {
    const std::int32_t box = parent == kNobody || enough(v) ? v : parent;
    std::int32_t& place = place_[box < 0 ? tree_.header[kNodeMark] + ~box : box];
    if (place == kNobody) {
      place = static_cast<std::int32_t>(boxes_.size());
      boxes_.push_back(box);
    }
    return place;
  }
  // The place of a box where walks end, or kNobody.
  std::int32_t place_of(std::int32_t box) const { return place_[box < 0 ? tree_.header[kNodeMark] + ~box : box]; }
  std::vector<double> take_values() const { return {}; }
  const std::vector<std::int32_t>& boxes() const { return boxes_; }

 private:
  bool enough(std::int32_t v) const { return tree_.clean_of(v) >= needed_; }
  const Tree<T>& tree_;
  double needed_;
  std::vector<std::int32_t> place_, boxes_;
};

// A tree as many rows see it once they have reached its clean boxes: every such box as the tree sees it.
template <class T>
struct PackedSpacing {
  PackedWays<T> ways;  // where some rows lack values
  std::int64_t width = 0;
  bool few = false, constant = false;
  std::int32_t bag[kBagSize] = {};
  std::vector<T> rate, boxes;  // (width), (ends, 2, width)
};

template <class T>
void write_boxes(const Tree<T>& tree, const Sight<T>& sight, const CleanBoxEnds<T>& ends, T* out) {
  const std::int64_t width = sight.width();
  const auto visit = [&](std::int32_t v, const T* lo, const T* hi) {
    const std::int64_t place = ends.place_of(v);
    if (place < 0) return;
    copy_row(out + 2 * width * place, lo, width);
    copy_row(out + 2 * width * place + width, hi, width);
  };
  for (std::size_t k = 0; k < ends.boxes().size(); ++k) {
    T* to = out + 2 * width * static_cast<std::int64_t>(k);
    if (tree.lower || ends.boxes()[k] < 0) sight.box(tree, ends.boxes()[k], to, to + width);
  }
  if (tree.lower) return;
  BoxSweep<T>(tree, sight).run(visit);
}

// The width in packs, if it is not 0, lets compilers unroll what they do a row.
template <int kPacks, class T>
NK_INLINE void add_extents_of(const PackedSpacing<T>& tree, const T* x, const std::int32_t* end, std::int64_t n,
                              LogSum* sums) {
  const std::int64_t width = kPacks > 0 ? kPacks * Pack<T>::kLanes : tree.width;
  const T* const boxes = tree.boxes.data();
  const T* const rate = tree.rate.data();
  const bool constant = tree.constant;
  for (std::int64_t i = 0; i < n; ++i) {
    const T* lo = boxes + end[i] * 2 * width;
    sums[i].add_log_of(stretched_extent(x + i * width, lo, lo + width, rate, width, constant));
  }
}

template <class T>
void add_extents(const PackedSpacing<T>& tree, const T* x, const std::int32_t* end, std::int64_t n, LogSum* sums) {
  switch (tree.width / Pack<T>::kLanes) {
    case 1:
      return add_extents_of<1>(tree, x, end, n, sums);
    case 2:
      return add_extents_of<2>(tree, x, end, n, sums);
    case 3:
      return add_extents_of<3>(tree, x, end, n, sums);
    case 4:
      return add_extents_of<4>(tree, x, end, n, sums);
    default:
      return add_extents_of<0>(tree, x, end, n, sums);
  }
}

template <class T>
void add_log_extents(const PackedSpacing<T>& tree, const T* x, const std::int32_t* end, const double* gain,
                     const std::vector<std::int64_t>& which, double* sums) {
  const std::int64_t width = tree.width, n = static_cast<std::int64_t>(which.size());
  for (std::int64_t i = 0; i < n; ++i) {
    const T* lo = tree.boxes.data() + end[i] * 2 * width;
    sums[which[i]] +=
        std::log(stretched_extent(x + i * width, lo, lo + width, tree.rate.data(), width, tree.constant)) - gain[i];
  }
}

template <class T>
PackedSpacing<T> pack_spacing(const Tree<T>& tree, bool missing, WalkTree<T>& walk) {
  PackedSpacing<T> packed;
  if (tree.empty()) return packed;
  CleanBoxEnds<T> ends(tree);
  walk = pack_walk(tree, ends);
  Sight<T> sight;
  sight.look_at(tree);
  if (missing) {
    BoxScratch<T> scratch;
    prepare_tree_means(tree, sight, scratch);
    packed.ways = pack_ways(tree, ends, spacing_means(tree, sight, scratch));
  }
  packed.few = sees_few(tree);
  packed.constant = sight.has_constants();
  if (packed.few) std::copy(tree.bag, tree.bag + kBagSize, packed.bag);
  packed.width = sight.width();
  packed.rate.assign(sight.rate(), sight.rate() + packed.width);
  packed.boxes.resize(ends.boxes().size() * static_cast<std::size_t>(2 * packed.width));
  write_boxes(tree, sight, ends, packed.boxes.data());
  return packed;
}

// Scratch of one thread for a chunk of rows.
template <class T>
struct Chunk {
  std::vector<T> whole, holed, few;   // padded rows without and with missing values
  std::vector<std::int64_t> lacking;  // which of all are the latter
  std::int64_t n_whole = 0;
  std::vector<std::int32_t> end;
  std::vector<double> gain;

  // Copy rows of x (n, d).
  void load(const T* x, std::int64_t n, std::int64_t d, std::int64_t width) {
    whole.resize(static_cast<std::size_t>(n * width));
    n_whole = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      T* const row = whole.data() + n_whole * width;
      copy_padded(row, x + i * d, d, width);
      if (has_missing(row, d)) {
        lacking.push_back(i);
        holed.insert(holed.end(), row, row + width);
      } else {
        ++n_whole;
      }
    }
    gain.resize(lacking.size());
  }

  // Of n padded rows, what a tree with a bag sees; all others see them as they are.
  const T* seen(const PackedSpacing<T>& tree, const T* rows, std::int64_t n, std::int64_t width) {
    if (!tree.few) return rows;
    few.resize(std::max(few.size(), static_cast<std::size_t>(n * kBagWidth)));
    T* to = few.data();
    for (std::int64_t i = 0; i < n; ++i, to += kBagWidth) {
      for (int k = 0; k < kBagSize; ++k) to[k] = rows[i * width + tree.bag[k]];
      for (int k = kBagSize; k < kBagWidth; ++k) to[k] = std::numeric_limits<T>::quiet_NaN();
    }
    return few.data();
  }
};

template <class T>
void add_packed(const PackedSpacing<T>& tree, const std::int32_t* end, std::int64_t width, Chunk<T>& chunk,
                LogSum* sums, double* log_sums) {
  const std::int64_t n = chunk.n_whole, m = static_cast<std::int64_t>(chunk.lacking.size());
  if (n > 0) add_extents(tree, chunk.seen(tree, chunk.whole.data(), n, width), end, n, sums);
  if (m == 0) return;
  chunk.end.resize(static_cast<std::size_t>(m));
  walk_packed_ways(tree.ways, chunk.holed.data(), m, width, chunk.end.data(), chunk.gain.data());
  const T* rows = chunk.seen(tree, chunk.holed.data(), m, width);
  add_log_extents(tree, rows, chunk.end.data(), chunk.gain.data(), chunk.lacking, log_sums);
}

// Row by row, straight on the trees.
template <class T>
void score_few(const ForestView& forest, const Chunk<T>& chunk, LogSum* sums, double* log_sums) {
  for (std::int64_t first = 0; first < forest.n_trees; first += kTreesAbreast) {
    nativekit::stop_if_asked();
    TreeGroup<T> group(forest, first);
    double extent[kTreesAbreast];
    for (std::int64_t i = 0; i < chunk.n_whole; ++i) {
      const T* row = chunk.whole.data() + i * forest.width;
      group.find_leaves(row, false);
      look_across(group, row, extent);
      for (int k = 0; k < group.n_trees(); ++k) {
        if (!group.tree(k).empty()) sums[i].add_log_of(extent[k]);
      }
    }
    for (int k = 0; k < group.n_trees() && !chunk.lacking.empty(); ++k) {
      if (group.tree(k).empty()) continue;
      prepare_tree_means(group.tree(k), group.sight(k), group.scratch());
      for (std::size_t i = 0; i < chunk.lacking.size(); ++i) {
        nativekit::stop_if_asked();
        const T* row = chunk.holed.data() + static_cast<std::int64_t>(i) * forest.width;
        log_sums[chunk.lacking[i]] += spacing_with_missing(group.tree(k), row, group.sight(k), group.scratch());
      }
    }
  }
}

// Trees from `first` on, as many as there is room for.
template <class T>
struct SpacingBatch {
  TreeBatch<T> trees;
  std::vector<PackedSpacing<T>> packs;

  SpacingBatch(const ForestView& forest, std::int64_t first, bool missing, int n_threads)
      : trees(batch_size<T>(forest, forest.n_trees - first, bytes_beside(forest, missing)), forest.n_features),
        packs(static_cast<std::size_t>(trees.size())) {
    std::atomic<bool> no_memory{false};
    nativekit::parallel_for(trees.size(), n_threads, [&](std::int64_t k) {
      try {
        WalkTree<T> walk;
        packs[k] = pack_spacing(Tree<T>(forest, first + k), missing, walk);
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

  void add(Chunk<T>& chunk, std::int64_t width, LogSum* sums, double* log_sums) const {
    RowBatch<T> rows;
    if (chunk.n_whole > 0) rows.load(trees, chunk.whole.data(), chunk.n_whole, width);
    for (std::int64_t k = 0; k < trees.size(); ++k) {
      nativekit::stop_if_asked();
      if (packs[k].rate.empty()) continue;
      add_packed(packs[k], chunk.n_whole > 0 ? rows.find(k) : nullptr, width, chunk, sums, log_sums);
    }
  }
};

// `out`: mean log spacings of a chunk; of rows with missing values from their sums over the trees there, of the
// others, which come one after the other, from `sums`.
template <class T>
void finish_rows(const T* x, std::int64_t n, std::int64_t d, double present, const LogSum* sums, double* out) {
  for (std::int64_t i = 0; i < n; ++i) out[i] = (has_missing(x + i * d, d) ? out[i] : (sums++)->sum()) / present;
}

}  // namespace

template <class T>
Status spacings_as(const ForestView& given, const T* x, std::int64_t n, double* out, int n_threads) {
  const std::int64_t d = given.n_features, n_chunks = (n + kSpacingChunk - 1) / kSpacingChunk;
  const bool missing = has_missing(x, n * d);
  WithMeans with_means(given);
  if (missing) with_means.make_spacing();
  const ForestView& forest = with_means.forest();
  std::vector<LogSum> sums(static_cast<std::size_t>(n));
  std::fill(out, out + n, 0.0);
  std::atomic<bool> no_memory{false};
  const auto for_chunks = [&](const auto& body) {
    nativekit::parallel_for(n_chunks, n_threads, [&](std::int64_t c) {
      const std::int64_t begin = c * kSpacingChunk, count = std::min(kSpacingChunk, n - begin);
      try {
        Chunk<T> chunk;
        chunk.load(x + begin * d, count, d, forest.width);
        body(chunk, sums.data() + begin, out + begin);
      } catch (const std::bad_alloc&) {
        no_memory = true;
      }
    });
  };
  if (!tables_pay(forest, n, forest.lower ? kRowsPerLeafBoxed : kRowsPerLeafUnboxed)) {
    for_chunks(
        [&](const Chunk<T>& chunk, LogSum* products, double* logs) { score_few(forest, chunk, products, logs); });
  } else {
    for (std::int64_t first = 0; first < forest.n_trees && !no_memory;) {
      const SpacingBatch<T> batch(forest, first, missing, n_threads);
      for_chunks(
          [&](Chunk<T>& chunk, LogSum* products, double* logs) { batch.add(chunk, forest.width, products, logs); });
      first += batch.trees.size();
    }
  }
  double present = 0.0;
  for (std::int64_t t = 0; t < forest.n_trees; ++t) present += !Tree<T>(forest, t).empty();
  for (std::int64_t begin = 0; begin < n; begin += kSpacingChunk) {
    finish_rows(x + begin * d, std::min(kSpacingChunk, n - begin), d, present, sums.data() + begin, out + begin);
  }
  return no_memory ? Status::kNoMemory : Status::kOk;
}

template <class T>
void look_across(TreeGroup<T>& group, const T* x, double* extent) {
  group.look(x, extent);
}

template <class T>
double spacing_with_missing(const Tree<T>& tree, const T* x, const Sight<T>& sight, BoxScratch<T>& scratch) {
  return mended_spacing(tree, x, sight, scratch);
}

template <class T>
double look_with_missing(const Tree<T>& tree, const T* x, const Sight<T>& sight, BoxScratch<T>& scratch,
                         double& depth) {
  const Ending end = find_ending(tree, x, spacing_means(tree, sight, scratch), depth);
  return std::log(sight.extent(tree, end.box, x, scratch)) - end.gain;
}

template <class T>
void prepare_tree_means(const Tree<T>& tree, const Sight<T>& sight, BoxScratch<T>& scratch) {
  prepare_means(tree, sight, scratch);
}

}  // namespace imondrian::NK_ISA

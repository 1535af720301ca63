// The spacing score of rows under the whole forest.
#include "score/spacing.hpp"

#include <atomic>
#include <numeric>

#include "score/packed_walk.hpp"
#include "dispatch.hpp"
#include "nativekit/parallel.hpp"
#include "score/score_window.hpp"

namespace imondrian::NK_ISA {
namespace {

constexpr std::int64_t kSpacingChunk = 512;        // rows a thread scores before it asks for more
constexpr std::int64_t kSpacingPackFrom = 256;          // rows from which packing the trees pays
constexpr std::int64_t kPackedBytes = 16 << 20;  // of packed trees at a time, or one

// Walks end where the clean box is known: in the child whose mass falls short, or where both would.
template <class T>
class CleanBoxEnds {
 public:
  explicit CleanBoxEnds(const Tree<T>& tree)
      : tree_(tree), needed_(clean_needed(tree)), place_(static_cast<std::size_t>(tree.header[kNodeMark]), kNobody) {}

  bool goes_on(std::int32_t v) const {
    return v >= 0 && (enough(tree_.child[2 * std::int64_t{v}]) || enough(tree_.child[2 * std::int64_t{v} + 1]));
  }
  std::int32_t end(std::int32_t parent, std::int32_t v, double) {
    const std::int32_t box = parent == kNobody || enough(v) ? v : parent;
    std::int32_t place = static_cast<std::int32_t>(boxes_.size());
    if (box >= 0) place = place_[box] < 0 ? place_[box] = place : place_[box];
    if (place == static_cast<std::int32_t>(boxes_.size())) boxes_.push_back(box);
    return place;
  }
  std::vector<double> take_values() const { return {}; }
  const std::vector<std::int32_t>& boxes() const { return boxes_; }

 private:
  bool enough(std::int32_t v) const { return tree_.clean_of(v) >= needed_; }
  const Tree<T>& tree_;
  double needed_;
  std::vector<std::int32_t> place_, boxes_;
};

// A tree as many rows see it: the walk to the clean box, and every such box as the tree sees it.
template <class T>
struct PackedSpacing {
  PackedTree<T> walk;
  std::int64_t width = 0;
  bool few = false, constant = false;
  std::int32_t bag[kBagSize] = {};
  std::vector<T> rate, boxes;  // (width), (ends, 2, width)
};

#define IMONDRIAN_KERNELS(T)                                                                           \
  void write_boxes(const Tree<T>& tree, const Sight<T>& sight,                               \
                             const std::vector<std::int32_t>& boxes, T* out) {                         \
    const std::int64_t width = sight.width();                                                          \
    for (const std::int32_t box : boxes) {                                                             \
      sight.box(tree, box, out, out + width);                                                          \
      out += 2 * width;                                                                                \
    }                                                                                                  \
  }                                                                                                    \
  void add_extents(const PackedSpacing<T>& tree, const T* x, const std::int32_t* end,        \
                             std::int64_t n, LogSum* sums) {                                           \
    const std::int64_t width = tree.width;                                                             \
    for (std::int64_t i = 0; i < n; ++i) {                                                             \
      const T* lo = tree.boxes.data() + end[i] * 2 * width;                                            \
      sums[i].add_log_of(                                                                              \
          stretched_extent(x + i * width, lo, lo + width, tree.rate.data(), width, tree.constant));    \
    }                                                                                                  \
  }                                                                                                    \

IMONDRIAN_KERNELS(float)
IMONDRIAN_KERNELS(double)
#undef IMONDRIAN_KERNELS

template <class T>
PackedSpacing<T> pack_spacing(const Tree<T>& tree) {
  PackedSpacing<T> packed;
  if (tree.empty()) return packed;
  CleanBoxEnds<T> ends(tree);
  packed.walk = pack_blocks(tree, ends);
  Sight<T> sight;
  sight.look_at(tree);
  packed.few = sees_few(tree);
  packed.constant = sight.has_constants();
  if (packed.few) std::copy(tree.bag, tree.bag + kBagSize, packed.bag);
  packed.width = sight.width();
  packed.rate.assign(sight.rate(), sight.rate() + packed.width);
  packed.boxes.resize(ends.boxes().size() * static_cast<std::size_t>(2 * packed.width));
  write_boxes(tree, sight, ends.boxes(), packed.boxes.data());
  return packed;
}

// Scratch of one thread for a chunk of rows.
template <class T>
struct Chunk {
  std::vector<T> padded, few;
  std::vector<std::int32_t> end;

  // Copy rows of x (n, d), padded; returns whether any value is missing.
  void load(const T* x, std::int64_t n, std::int64_t d, std::int64_t width) {
    padded.resize(static_cast<std::size_t>(n * width));
    for (std::int64_t i = 0; i < n; ++i) copy_padded(padded.data() + i * width, x + i * d, d, width);
  }
};

template <class T>
void add_packed(const PackedSpacing<T>& tree, PackedScan<T, std::int32_t> scan, std::int64_t n, std::int64_t d,
                std::int64_t width, Chunk<T>& chunk, LogSum* sums) {
  chunk.end.resize(static_cast<std::size_t>(n));
  scan(tree.walk, chunk.padded.data(), n, width, d, chunk.end.data());
  const T* rows = chunk.padded.data();
  if (tree.few) {
    chunk.few.assign(static_cast<std::size_t>(n * kBagWidth), std::numeric_limits<T>::quiet_NaN());
    for (std::int64_t i = 0; i < n; ++i) {
      for (int k = 0; k < kBagSize; ++k) chunk.few[i * kBagWidth + k] = rows[i * width + tree.bag[k]];
    }
    rows = chunk.few.data();
  }
  add_extents(tree, rows, chunk.end.data(), n, sums);
}

// Mean log spacing of a padded row with missing values.
template <class T>
double mean_with_missing(const ForestView& forest, const T* x, std::int64_t n_present, BoxScratch<T>& scratch,
                         std::vector<Way>& ways) {
  double sum = 0.0;
  Sight<T> sight;
  for (std::int64_t t = 0; t < forest.n_trees; ++t) {
    const Tree<T> tree(forest, t);
    if (tree.empty()) continue;
    sight.look_at(tree);
    sum += spacing_with_missing(tree, x, sight, scratch, ways);
  }
  return sum / static_cast<double>(n_present);
}

template <class T>
void finish_rows(const ForestView& forest, const T* x, std::int64_t n, const LogSum* sums, double* out) {
  BoxScratch<T> scratch;
  std::vector<Way> ways;
  std::vector<T> row(static_cast<std::size_t>(forest.width));
  std::int64_t n_present = 0;
  for (std::int64_t t = 0; t < forest.n_trees; ++t) n_present += !Tree<T>(forest, t).empty();
  for (std::int64_t i = 0; i < n; ++i) {
    const T* values = x + i * forest.n_features;
    if (has_missing(values, forest.n_features)) {
      copy_padded(row.data(), values, forest.n_features, forest.width);
      out[i] = mean_with_missing(forest, row.data(), n_present, scratch, ways);
    } else {
      out[i] = sums[i].sum() / static_cast<double>(n_present);
    }
  }
}

// Row by row, straight on the trees.
template <class T>
void score_few(const ForestView& forest, const T* x, std::int64_t n, LogSum* sums) {
  Chunk<T> chunk;
  chunk.load(x, n, forest.n_features, forest.width);
  for (std::int64_t first = 0; first < forest.n_trees; first += kTreesAbreast) {
    TreeGroup<T> group(forest, first);
    double extent[kTreesAbreast];
    for (std::int64_t i = 0; i < n; ++i) {
      const T* row = chunk.padded.data() + i * forest.width;
      group.find_leaves(row, false);
      look_across(group, row, extent);
      for (int k = 0; k < group.n_trees(); ++k) {
        if (!group.tree(k).empty()) sums[i].add_log_of(extent[k]);
      }
    }
  }
}

// Trees from `first` on, packed: as many as their room allows. Returns the next tree.
template <class T>
std::int64_t pack_some(const ForestView& forest, std::int64_t first, int n_threads,
                       std::vector<PackedSpacing<T>>& packs) {
  const std::int64_t bytes = forest.capacity * (forest.width * static_cast<std::int64_t>(sizeof(T)) + 64);
  const std::int64_t n = std::clamp<std::int64_t>(kPackedBytes / bytes, 1, forest.n_trees - first);
  std::atomic<bool> no_memory{false};
  packs.clear();
  packs.resize(static_cast<std::size_t>(n));
  nativekit::parallel_for(n, n_threads, [&](std::int64_t k) {
    try {
      packs[k] = pack_spacing(Tree<T>(forest, first + k));
    } catch (const std::bad_alloc&) {
      no_memory = true;
    }
  });
  if (no_memory) throw std::bad_alloc();
  return first + n;
}

}  // namespace

template <class T>
Status spacings_as(const ForestView& forest, const T* x, std::int64_t n, double* out, int n_threads) {
  const std::int64_t d = forest.n_features, n_chunks = (n + kSpacingChunk - 1) / kSpacingChunk;
  std::vector<LogSum> sums(static_cast<std::size_t>(n));
  std::atomic<bool> no_memory{false};
  const auto for_chunks = [&](const auto& body) {
    nativekit::parallel_for(n_chunks, n_threads, [&](std::int64_t c) {
      const std::int64_t begin = c * kSpacingChunk, count = std::min(kSpacingChunk, n - begin);
      try {
        body(x + begin * d, begin, count);
      } catch (const std::bad_alloc&) {
        no_memory = true;
      }
    });
  };
  if (n < kSpacingPackFrom) {
    for_chunks([&](const T* rows, std::int64_t begin, std::int64_t count) {
      score_few(forest, rows, count, sums.data() + begin);
    });
  } else {
    const PackedScan<T, std::int32_t> scan = choose_scan<T, std::int32_t>(d);
    std::vector<PackedSpacing<T>> packs;
    for (std::int64_t first = 0; first < forest.n_trees && !no_memory;) {
      first = pack_some(forest, first, n_threads, packs);
      for_chunks([&](const T* rows, std::int64_t begin, std::int64_t count) {
        Chunk<T> chunk;
        chunk.load(rows, count, d, forest.width);
        for (const PackedSpacing<T>& tree : packs) {
          if (!tree.rate.empty()) add_packed(tree, scan, count, d, forest.width, chunk, sums.data() + begin);
        }
      });
    }
  }
  for_chunks([&](const T* rows, std::int64_t begin, std::int64_t count) {
    finish_rows(forest, rows, count, sums.data() + begin, out + begin);
  });
  return no_memory ? Status::kNoMemory : Status::kOk;
}
template Status spacings_as(const ForestView&, const float*, std::int64_t, double*, int);
template Status spacings_as(const ForestView&, const double*, std::int64_t, double*, int);

#define IMONDRIAN_KERNELS(T)                                                                       \
  void look_across(TreeGroup<T>& group, const T* x, double* extent) {                    \
    group.look(x, extent);                                                                         \
  }                                                                                                \
  double spacing_with_missing(const Tree<T>& tree, const T* x, const Sight<T>& sight,    \
                                        BoxScratch<T>& scratch, std::vector<Way>& ways) {          \
    return forked_spacing(tree, x, sight, scratch, ways);                                          \
  }
IMONDRIAN_KERNELS(float)
IMONDRIAN_KERNELS(double)
#undef IMONDRIAN_KERNELS

}  // namespace imondrian::NK_ISA

#include "core.hpp"

#include <limits>
#include <new>
#include <optional>
#include <vector>

#include "blocks.hpp"
#include "build.hpp"
#include "nativekit/parallel.hpp"
#include "nativekit/simd.hpp"
#include "paths.hpp"
#include "sample.hpp"
#include "stream.hpp"

namespace imondrian {
namespace {

constexpr std::int64_t kLearnBlock = 256;   // rows a tree learns before the next tree has its turn
constexpr std::int64_t kScoreChunk = 1024;  // rows a thread scores before it asks for more
constexpr std::int64_t kPackFrom = 64;      // rows from which packing the trees pays

template <class T>
void copy_padded(T* to, const T* from, std::int64_t n_features, std::int64_t width) {
  for (std::int64_t j = 0; j < n_features; ++j) to[j] = from[j];
  for (std::int64_t j = n_features; j < width; ++j) to[j] = std::numeric_limits<T>::quiet_NaN();
}

// x - x is 0 for finite values and NaN for the others; comparing keeps the loop free of branches.
NK_CLONES bool finite_piece(const double* x, std::int64_t n) {
  std::int64_t bad = 0;
  for (std::int64_t i = 0; i < n; ++i) bad += !(x[i] - x[i] == 0.0);
  return bad == 0;
}
NK_CLONES bool finite_piece(const float* x, std::int64_t n) {
  std::int32_t bad = 0;
  for (std::int64_t i = 0; i < n; ++i) bad += !(x[i] - x[i] == 0.0f);
  return bad == 0;
}

// The hot loops, one clone an instruction set. T is spelled out: clones cannot be templates.
#define IMONDRIAN_KERNELS(T, SUFFIX)                                                               \
  NK_CLONES void build_##SUFFIX(Tree<T>& tree, std::int32_t* rows, std::int32_t n,                 \
                                const double* row_mass, BuildScratch<T>& scratch) {                \
    build_tree(tree, rows, n, row_mass, scratch);                                                  \
  }                                                                                                \
  NK_CLONES void insertion_depths_##SUFFIX(const Tree<T>& tree, const T* x, std::int64_t n,        \
                                           double* out) {                                          \
    for (std::int64_t i = 0; i < n; ++i) out[i] += insertion_depth(tree, x + i * tree.width);      \
  }                                                                                                \
  NK_CLONES double learn_##SUFFIX(TreeStream<T>& stream, std::int32_t row, double mass,            \
                                  Gather gather) {                                                 \
    if (gather == Gather::kDepth) return stream.template learn<Gather::kDepth>(row, mass);         \
    if (gather == Gather::kInsertion) return stream.template learn<Gather::kInsertion>(row, mass); \
    return stream.template learn<Gather::kNothing>(row, mass);                                     \
  }                                                                                                \
  NK_CLONES bool remove_##SUFFIX(Tree<T>& tree, std::int32_t leaf, double mass) {                  \
    return remove(tree, leaf, mass, false);                                                        \
  }                                                                                                \
  NK_CLONES void boxes_##SUFFIX(Tree<T>& tree) { compute_boxes(tree); }
IMONDRIAN_KERNELS(float, f32)
IMONDRIAN_KERNELS(double, f64)
#undef IMONDRIAN_KERNELS

template <class T>
struct Kernels;
template <>
struct Kernels<float> {
  static constexpr auto build = build_f32;
  static constexpr auto insertion_depths = insertion_depths_f32;
  static constexpr auto learn = learn_f32;
  static constexpr auto remove = remove_f32;
  static constexpr auto boxes = boxes_f32;
};
template <>
struct Kernels<double> {
  static constexpr auto build = build_f64;
  static constexpr auto insertion_depths = insertion_depths_f64;
  static constexpr auto learn = learn_f64;
  static constexpr auto remove = remove_f64;
  static constexpr auto boxes = boxes_f64;
};

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
  BuildScratch<T> build;
  // A subsampled row counts once: its weight has already decided how likely it was to be drawn.
  Kernels<T>::build(tree, rows.data(), static_cast<std::int32_t>(k), k < n ? nullptr : weight, build);
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
      Kernels<T>::boxes(tree);
    } catch (const std::bad_alloc&) {
      no_memory = true;
    }
  });
  return no_memory ? Status::kNoMemory : Status::kOk;
}

// Up to kTreesAbreast trees through one block of new rows: `depths` and `norms` (c(mass)), n values a
// tree, unless nothing is gathered. Trees that a row leaves as they are score it side by side.
template <class T>
class GroupLearner {
 public:
  GroupLearner(const ForestView& forest, std::int64_t first, Gather gather)
      : forest_(forest), first_(first),
        n_trees_(static_cast<int>(std::min<std::int64_t>(kTreesAbreast, forest.n_trees - first))),
        gather_(gather) {
    for (int k = 0; k < n_trees_; ++k) streams_[k].emplace(forest, first + k);
  }

  void learn(const std::int32_t* rows, const double* weight, std::int64_t n, double* depths,
             double* norms) {
    const bool scored = gather_ != Gather::kNothing;
    for (int k = 0; scored && k < n_trees_; ++k) start_norm(k, 0);
    for (std::int64_t i = 0; i < n; ++i) {
      int idle[kTreesAbreast], n_idle = 0;
      for (int k = 0; k < n_trees_; ++k) {
        TreeStream<T>& stream = *streams_[k];
        if (!stream.keeps_next()) {
          idle[n_idle++] = k;
          stream.skip();
          continue;
        }
        const double depth = Kernels<T>::learn(stream, rows[i], weight ? weight[i] : 1.0, gather_);
        if (!scored) continue;
        depths[k * n + i] = depth;
        if (stream.tree().total_mass() != mass_[k]) {
          write_norm(k, norms + k * n, i + 1);
          start_norm(k, i + 1);
        }
      }
      if (!scored || n_idle == 0) continue;
      double found[kTreesAbreast] = {};
      score_idle(idle, n_idle, rows[i], found);
      for (int k = 0; k < n_idle; ++k) depths[idle[k] * n + i] = found[k];
    }
    for (int k = 0; scored && k < n_trees_; ++k) write_norm(k, norms + k * n, n);
  }

 private:
  void score_idle(const int* idle, int n, std::int32_t row, double* found) {
    const T* x = static_cast<const T*>(forest_.points) + std::int64_t{row} * forest_.width;
    std::int64_t first[kTreesAbreast];
    std::int32_t root[kTreesAbreast], roots = 0;
    for (int k = 0; k < n; ++k) {
      first[k] = (first_ + idle[k]) * forest_.capacity;
      roots |= root[k] = streams_[idle[k]]->tree().root();
    }
    const bool abreast = gather_ == Gather::kDepth && roots >= 0;
    if (abreast && leaf_depths_across(forest_, first, root, n, x, found)) return;
    for (int k = 0; k < n; ++k) {
      const Tree<T>& tree = streams_[idle[k]]->tree();
      if (gather_ == Gather::kInsertion) {
        Kernels<T>::insertion_depths(tree, x, 1, found + k);
      } else {
        found[k] = leaf_depth(tree, x);
      }
    }
  }

  // c(mass) changes only while a tree fills up: it is written for whole runs of rows.
  void start_norm(int k, std::int64_t from) {
    mass_[k] = streams_[k]->tree().total_mass();
    from_[k] = from;
  }
  void write_norm(int k, double* norms, std::int64_t to) const {
    std::fill(norms + from_[k], norms + to, hidden_depth(mass_[k]));
  }

  const ForestView& forest_;
  std::int64_t first_;
  int n_trees_;
  Gather gather_;
  std::optional<TreeStream<T>> streams_[kTreesAbreast];
  double mass_[kTreesAbreast] = {};
  std::int64_t from_[kTreesAbreast] = {};
};

// Column means of (trees, n): each row's values are added in the order of the trees.
void average(const double* values, std::int64_t trees, std::int64_t n, double* out) {
  std::fill(out, out + n, 0.0);
  for (std::int64_t t = 0; t < trees; ++t) {
    for (std::int64_t i = 0; i < n; ++i) out[i] += values[t * n + i];
  }
  for (std::int64_t i = 0; i < n; ++i) out[i] /= static_cast<double>(trees);
}

template <class T>
Status learn_as(const ForestView& forest, const T* x, std::int64_t n, const double* weight,
                Score score, double* depth, double* norm, std::int64_t* learnt, int n_threads) {
  *learnt = 0;
  const std::int64_t trees = forest.n_trees;
  std::vector<double> partial(depth ? static_cast<std::size_t>(2 * trees * std::min(n, kLearnBlock)) : 0);
  std::vector<std::int32_t> rows(static_cast<std::size_t>(std::min(n, kLearnBlock)));
  T* points = static_cast<T*>(forest.points);
  for (std::int64_t begin = 0; begin < n; begin += kLearnBlock) {
    const std::int64_t count = std::min(kLearnBlock, n - begin);
    if (*forest.n_free_rows < count) sweep_rows(forest);
    if (*forest.n_free_rows < count) return Status::kNoRoom;
    for (std::int64_t i = 0; i < count; ++i) {
      rows[i] = forest.free_rows[--*forest.n_free_rows];
      copy_padded(points + rows[i] * forest.width, x + (begin + i) * forest.n_features, forest.n_features, forest.width);
    }
    double* depths = partial.data();
    double* norms = partial.data() + (depth ? trees * count : 0);
    const Gather gather = depth ? static_cast<Gather>(score) : Gather::kNothing;
    const int threads = count * trees < 2000 ? 1 : n_threads;
    nativekit::parallel_for((trees + kTreesAbreast - 1) / kTreesAbreast, threads, [&](std::int64_t g) {
      const std::int64_t first = g * kTreesAbreast, offset = depth ? first * count : 0;
      GroupLearner<T>(forest, first, gather)
          .learn(rows.data(), weight ? weight + begin : nullptr, count, depths + offset, norms + offset);
    });
    if (depth) {
      average(depths, trees, count, depth + begin);
      average(norms, trees, count, norm + begin);
    }
    *learnt = begin + count;
  }
  return Status::kOk;
}

template <class T>
Status forget_as(const ForestView& forest, const T* x, std::int64_t n, std::int64_t* removed,
                 int n_threads) {
  std::vector<std::int32_t> counts(static_cast<std::size_t>(n), 0);
  nativekit::parallel_for(forest.n_trees, n_threads, [&](std::int64_t t) {
    Tree<T> tree(forest, t);
    for (std::int64_t i = 0; i < n; ++i) {
      const std::int32_t leaf = find_leaf(tree, x + i * tree.n_features);
      if (leaf == kNobody) continue;
      const std::int32_t row = tree.leaf_point[leaf];
      if (Kernels<T>::remove(tree, leaf, 1.0)) nativekit::atomic_add(forest.refs + row, -1);
      nativekit::atomic_add(counts.data() + i, 1);
    }
  });
  for (std::int64_t i = 0; i < n; ++i) removed[i] = counts[i];
  return Status::kOk;
}

double mean_norm(const ForestView& forest) {
  double sum = 0.0;
  for (std::int64_t t = 0; t < forest.n_trees; ++t) sum += hidden_depth(Tree<double>(forest, t).total_mass());
  return sum / static_cast<double>(forest.n_trees);
}

// Leaf depths of one row summed over the trees, in their order, eight trees side by side.
template <class T>
double sum_leaf_depths(const ForestView& forest, const T* x) {
  double sum = 0.0;
  for (std::int64_t begin = 0; begin < forest.n_trees; begin += kTreesAbreast) {
    const int n = static_cast<int>(std::min<std::int64_t>(kTreesAbreast, forest.n_trees - begin));
    std::int64_t first[kTreesAbreast];
    std::int32_t root[kTreesAbreast], roots = 0;
    for (int k = 0; k < n; ++k) {
      first[k] = (begin + k) * forest.capacity;
      roots |= root[k] = forest.header[(begin + k) * kHeaderSize + kRoot];  // -1 where empty
    }
    double found[kTreesAbreast];
    const bool abreast = roots >= 0 && leaf_depths_across(forest, first, root, n, x, found);
    for (int k = 0; k < n; ++k) {
      const Tree<T> tree(forest, begin + k);
      sum += abreast ? found[k] : tree.empty() ? 0.0 : leaf_depth(tree, x);
    }
  }
  return sum;
}

// Blocks compare, and nothing compares with a missing value: such rows walk the trees.
template <class T>
void walk_missing(const ForestView& forest, const T* x, std::int64_t n, double* depth) {
  const std::int64_t d = forest.n_features;
  for (std::int64_t i = 0; i < n; ++i) {
    bool missing = false;
    for (std::int64_t j = 0; j < d; ++j) missing |= x[i * d + j] != x[i * d + j];
    if (!missing) continue;
    depth[i] = sum_leaf_depths(forest, x + i * d);
  }
}

template <class T>
Status score_as(const ForestView& forest, const T* x, std::int64_t n, Score score, double* depth,
                int n_threads) {
  const std::int64_t d = forest.n_features, width = forest.width, trees = forest.n_trees;
  const bool packed = score == Score::kDepth && n >= kPackFrom;
  std::vector<PackedTree<T>> packs(packed ? static_cast<std::size_t>(trees) : 0);
  std::atomic<bool> no_memory{false};
  const PackedScan<T> scan = choose_scan<T>(d);
  if (packed) {
    nativekit::parallel_for(trees, n * trees < 20000 ? 1 : n_threads, [&](std::int64_t t) {
      try {
        const Tree<T> tree(forest, t);
        if (!tree.empty()) packs[t] = BlockPacker<T>(tree).pack();
      } catch (const std::bad_alloc&) {
        no_memory = true;
      }
    });
  }
  if (no_memory) return Status::kNoMemory;
  const std::int64_t n_chunks = (n + kScoreChunk - 1) / kScoreChunk;
  nativekit::parallel_for(n_chunks, n_threads, [&](std::int64_t c) {
    const std::int64_t begin = c * kScoreChunk, count = std::min(kScoreChunk, n - begin);
    double* out = depth + begin;
    for (std::int64_t i = 0; i < count; ++i) out[i] = 0.0;
    std::vector<T> padded;
    if (score == Score::kInsertion) {
      try {
        padded.resize(static_cast<std::size_t>(count * width));
      } catch (const std::bad_alloc&) {
        no_memory = true;
        return;
      }
      for (std::int64_t i = 0; i < count; ++i) copy_padded(padded.data() + i * width, x + (begin + i) * d, d, width);
    }
    if (!packed && score == Score::kDepth) {
      for (std::int64_t i = 0; i < count; ++i) out[i] = sum_leaf_depths(forest, x + (begin + i) * d);
    }
    for (std::int64_t t = 0; t < trees && (packed || score != Score::kDepth); ++t) {
      const Tree<T> tree(forest, t);
      if (tree.empty()) continue;
      if (packed) {
        scan(packs[t], x + begin * d, count, d, d, out);
      } else {
        Kernels<T>::insertion_depths(tree, padded.data(), count, out);
      }
    }
    if (packed) walk_missing(forest, x + begin * d, count, out);
    for (std::int64_t i = 0; i < count; ++i) out[i] /= static_cast<double>(trees);
  });
  return no_memory ? Status::kNoMemory : Status::kOk;
}

// Run body<T>() for the forest's precision, with allocation failures turned into a status.
template <class Body32, class Body64>
Status dispatch(bool is64, const Body32& body32, const Body64& body64) {
  try {
    return is64 ? body64() : body32();
  } catch (const std::bad_alloc&) {
    return Status::kNoMemory;
  }
}

template <class T>
bool all_finite_as(const T* x, std::int64_t n, int n_threads) {
  constexpr std::int64_t kPiece = 1 << 16;
  std::atomic<bool> finite{true};
  nativekit::parallel_for((n + kPiece - 1) / kPiece, n < 4 * kPiece ? 1 : n_threads, [&](std::int64_t p) {
    if (!finite_piece(x + p * kPiece, std::min(kPiece, n - p * kPiece))) finite = false;
  });
  return finite;
}

}  // namespace

bool all_finite(bool is64, const void* x, std::int64_t n, int n_threads) {
  return is64 ? all_finite_as(static_cast<const double*>(x), n, n_threads)
              : all_finite_as(static_cast<const float*>(x), n, n_threads);
}

double hidden_depth_of(double mass) { return hidden_depth(mass); }

#define IMONDRIAN_DISPATCH(CALL32, CALL64) \
  return dispatch(is64, [&] { return CALL32; }, [&] { return CALL64; })

Status fit(const ForestView& forest, bool is64, const void* x, std::int64_t n, const double* weight,
           std::int64_t n_sample, bool own_rows, int n_threads) {
  IMONDRIAN_DISPATCH(
      fit_as(forest, static_cast<const float*>(x), n, weight, n_sample, own_rows, n_threads),
      fit_as(forest, static_cast<const double*>(x), n, weight, n_sample, own_rows, n_threads));
}

Status fill_boxes(const ForestView& forest, bool is64, int n_threads) {
  IMONDRIAN_DISPATCH(boxes_as<float>(forest, n_threads), boxes_as<double>(forest, n_threads));
}

Status learn(const ForestView& forest, bool is64, const void* x, std::int64_t n,
             const double* weight, Score score, double* depth, double* norm, std::int64_t* learnt,
             int n_threads) {
  IMONDRIAN_DISPATCH(learn_as(forest, static_cast<const float*>(x), n, weight, score, depth, norm,
                              learnt, n_threads),
                     learn_as(forest, static_cast<const double*>(x), n, weight, score, depth, norm,
                              learnt, n_threads));
}

Status forget(const ForestView& forest, bool is64, const void* x, std::int64_t n,
              std::int64_t* removed, int n_threads) {
  IMONDRIAN_DISPATCH(forget_as(forest, static_cast<const float*>(x), n, removed, n_threads),
                     forget_as(forest, static_cast<const double*>(x), n, removed, n_threads));
}

Status score(const ForestView& forest, bool is64, const void* x, std::int64_t n, Score kind,
             double* depth, double* norm, int n_threads) {
  *norm = mean_norm(forest);
  IMONDRIAN_DISPATCH(score_as(forest, static_cast<const float*>(x), n, kind, depth, n_threads),
                     score_as(forest, static_cast<const double*>(x), n, kind, depth, n_threads));
}

Status audit(const ForestView& forest, bool is64, Fault* fault, int n_threads) {
  std::vector<Fault> faults(static_cast<std::size_t>(forest.n_trees));
  std::atomic<bool> no_memory{false};
  nativekit::parallel_for(forest.n_trees, n_threads, [&](std::int64_t t) {
    try {
      faults[t] = is64 ? Auditor<double>(forest, t).run() : Auditor<float>(forest, t).run();
    } catch (const std::bad_alloc&) {
      no_memory = true;
    }
  });
  for (const Fault& found : faults) {
    if (found.invariant != 0) {
      *fault = found;
      break;
    }
  }
  return no_memory ? Status::kNoMemory : Status::kOk;
}

}  // namespace imondrian

// Learning and forgetting point by point.
#include <atomic>
#include <new>
#include <optional>
#include <vector>

#include "dispatch.hpp"
#include "nativekit/parallel.hpp"
#include "nativekit/simd.hpp"
#include "renew.hpp"
#include "stream.hpp"

namespace imondrian {
namespace {

constexpr std::int64_t kLearnBlock = 256;  // rows a tree learns before the next tree has its turn

// The hot loops, one clone an instruction set. T is spelled out: clones cannot be templates.
#define IMONDRIAN_KERNELS(T)                                                                       \
  NK_CLONES double learn_row(TreeStream<T>& stream, std::int32_t row, double mass, Gather gather) { \
    if (gather == Gather::kDepth) return stream.template learn<Gather::kDepth>(row, mass);         \
    if (gather == Gather::kInsertion) return stream.template learn<Gather::kInsertion>(row, mass); \
    return stream.template learn<Gather::kNothing>(row, mass);                                     \
  }                                                                                                \
  NK_CLONES void forget_point(TreeStream<T>& stream, std::int32_t leaf) { stream.forget(leaf); }   \
  NK_CLONES void attend_scale(ScaleKeeper<T>& keeper, const T* x, RenewScratch<T>& scratch) {      \
    keeper.attend(x, scratch);                                                                     \
  }
IMONDRIAN_KERNELS(float)
IMONDRIAN_KERNELS(double)
#undef IMONDRIAN_KERNELS

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

  // Returns false if there was no memory for a score; the rows are learnt all the same.
  bool learn(const std::int32_t* rows, const double* weight, std::int64_t n, double* depths,
             double* norms) {
    const bool scored = gather_ != Gather::kNothing;
    for (int k = 0; scored && k < n_trees_; ++k) start_norm(k, 0);
    for (std::int64_t i = 0; i < n; ++i) {
      const bool missing = has_missing(point(rows[i]), forest_.n_features);
      int idle[kTreesAbreast], n_idle = 0;
      for (int k = 0; k < n_trees_; ++k) {
        TreeStream<T>& stream = *streams_[k];
        if (!stream.keeps_next()) {
          idle[n_idle++] = k;
          stream.skip();
          continue;
        }
        const double depth = learn_one(k, rows[i], weight ? weight[i] : 1.0, missing);
        if (!scored) continue;
        depths[k * n + i] = depth;
        if (stream.tree().total_mass() != mass_[k]) {
          write_norm(k, norms + k * n, i + 1);
          start_norm(k, i + 1);
        }
      }
      if (!scored || n_idle == 0) continue;
      double found[kTreesAbreast] = {};
      score_idle(idle, n_idle, point(rows[i]), missing, found);
      for (int k = 0; k < n_idle; ++k) depths[idle[k] * n + i] = found[k];
    }
    for (int k = 0; scored && k < n_trees_; ++k) write_norm(k, norms + k * n, n);
    return !no_memory_;
  }

 private:
  const T* point(std::int32_t row) const {
    return static_cast<const T*>(forest_.points) + std::int64_t{row} * forest_.width;
  }

  // A point is scored on its way in, unless its score and its way differ: it goes several ways, or the
  // tree's scale is seen to in between.
  double learn_one(int k, std::int32_t row, double mass, bool missing) {
    TreeStream<T>& stream = *streams_[k];
    const T* x = point(row);
    ScaleKeeper<T> keeper(forest_, first_ + k);
    const bool due = keeper.is_due(x);
    if (!due && !(missing && gather_ != Gather::kNothing)) return learn_row(stream, row, mass, gather_);
    const double depth = gather_ == Gather::kNothing ? 0.0 : score_alone(stream.tree(), x, missing);
    if (due) attend_scale(keeper, x, scratch_);
    learn_row(stream, row, mass, Gather::kNothing);
    return depth;
  }

  double score_alone(const Tree<T>& tree, const T* x, bool missing) {
    if (tree.empty()) return 0.0;
    const Score score = static_cast<Score>(gather_);
    if (missing) return score_missing(tree, x, score);
    if (score == Score::kDepth) return leaf_depth(tree, x);
    double depth = 0.0;
    insertion_depths(tree, x, 1, &depth);
    return depth;
  }

  double score_missing(const Tree<T>& tree, const T* x, Score score) {
    try {
      return depth_with_missing(tree, x, score, forks_);
    } catch (const std::bad_alloc&) {
      no_memory_ = true;  // learning goes on, so that no tree is left behind
      return 0.0;
    }
  }

  void score_idle(const int* idle, int n, const T* x, bool missing, double* found) {
    std::int64_t first[kTreesAbreast];
    std::int32_t root[kTreesAbreast], roots = 0;
    for (int k = 0; k < n; ++k) {
      first[k] = (first_ + idle[k]) * forest_.capacity;
      roots |= root[k] = streams_[idle[k]]->tree().root();
    }
    if (gather_ == Gather::kDepth && !missing && roots >= 0) {
      leaf_depths_across(forest_, first, root, n, x, found);
    } else {
      for (int k = 0; k < n; ++k) found[k] = score_alone(streams_[idle[k]]->tree(), x, missing);
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
  RenewScratch<T> scratch_;
  std::vector<Fork> forks_;
  bool no_memory_ = false;
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
  std::atomic<bool> no_memory{false};
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
      GroupLearner<T> learner(forest, first, gather);
      const double* weights = weight ? weight + begin : nullptr;
      if (!learner.learn(rows.data(), weights, count, depths + offset, norms + offset)) no_memory = true;
    });
    if (depth) {
      average(depths, trees, count, depth + begin);
      average(norms, trees, count, norm + begin);
    }
    *learnt = begin + count;
    if (no_memory) return Status::kNoMemory;
  }
  return Status::kOk;
}

// Whether tree t holds each row of x, repeats counted; with `remove`, also take them out.
template <class T>
void forget_in_tree(const ForestView& forest, std::int64_t t, const T* x, std::int64_t n, bool remove,
                    std::int32_t* counts) {
  TreeStream<T> stream(forest, t);
  Tree<T>& tree = stream.tree();
  std::vector<double> taken(remove ? 0 : static_cast<std::size_t>(tree.header[kLeafMark]), 0.0);
  std::vector<std::int32_t> stack;
  const auto left_in = [&](std::int32_t leaf) { return tree.leaf_mass[leaf] - (remove ? 0.0 : taken[leaf]); };
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int32_t leaf = find_held(tree, x + i * tree.n_features, left_in, stack);
    if (leaf == kNobody) continue;
    if (remove) {
      forget_point(stream, leaf);
    } else {
      taken[leaf] += 1.0;
    }
    nativekit::atomic_add(counts + i, 1);
  }
}

template <class T>
Status forget_as(const ForestView& forest, const T* x, std::int64_t n, bool remove, std::int64_t* holders,
                 int n_threads) {
  std::vector<std::int32_t> counts(static_cast<std::size_t>(n), 0);
  std::atomic<bool> no_memory{false};
  nativekit::parallel_for(forest.n_trees, n_threads, [&](std::int64_t t) {
    try {
      forget_in_tree(forest, t, x, n, remove, counts.data());
    } catch (const std::bad_alloc&) {
      no_memory = true;
    }
  });
  for (std::int64_t i = 0; i < n; ++i) holders[i] = counts[i];
  return no_memory ? Status::kNoMemory : Status::kOk;
}

}  // namespace

Status learn(const ForestView& forest, bool is64, const void* x, std::int64_t n,
             const double* weight, Score score, double* depth, double* norm, std::int64_t* learnt,
             int n_threads) {
  return dispatch(is64, x, [&](auto rows) {
    return learn_as(forest, rows, n, weight, score, depth, norm, learnt, n_threads);
  });
}

Status forget(const ForestView& forest, bool is64, const void* x, std::int64_t n, bool remove,
              std::int64_t* holders, int n_threads) {
  return dispatch(is64, x, [&](auto rows) { return forget_as(forest, rows, n, remove, holders, n_threads); });
}

}  // namespace imondrian

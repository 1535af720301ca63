// Learning and forgetting point by point.
#include <atomic>
#include <new>
#include <optional>
#include <vector>

#include "dispatch.hpp"
#include "fit/clean_mass.hpp"
#include "nativekit/parallel.hpp"
#include "score/score_window.hpp"
#include "stream/rescale.hpp"
#include "stream/stream.hpp"

namespace imondrian::NK_ISA {
namespace {

// Rows that trees learn before the next ones have their turn: more than kLearnBlock where the store has room for them
// anyway, as trees that have been read should be used while they are near.
constexpr std::int64_t kLearnBlock = 256, kMostLearnt = 1024;

template <class T>
void learn_row(TreeStream<T>& stream, std::int32_t row, std::int32_t leaf, Amount amount, double now) {
  stream.learn(row, leaf, amount, now);
}

template <class T>
void expire_points(TreeStream<T>& stream, double now) {
  stream.expire(now);
}

template <class T>
void forget_point(TreeStream<T>& stream, std::int32_t leaf) {
  stream.forget(leaf);
}

template <class T>
void attend_scale(ScaleKeeper<T>& keeper, const T* x, RenewScratch<T>& scratch) {
  keeper.attend(x, scratch);
}

// Whether arrivals keep their clean mass: not those among the shallowest share of the last, once there are
// enough to tell. Every group of trees judges for itself, so that none waits for another.
template <class T>
class Judge {
 public:
  // `group` starts at tree `first`, and lives as long.
  Judge(const ForestView& forest, std::int64_t first, TreeGroup<T>& group)
      : group_(group), share_(flagged_share(forest)),
        recent_(forest.recent + (1 + first / kTreesAbreast) * kRecentSize) {}

  // The verdict on padded row x, whose leaves the group has found, and what each tree makes of it, `step` apart:
  // its stretched extent, or its log spacing where the row lacks values; NaN where the tree is empty. `near`, of wide
  // forests: distances, where it lacks none.
  bool flags(const T* x, Lack lack, double* seen, double* near, std::int64_t step) {
    const bool missing = lack != Lack::kNone;
    double extent[kTreesAbreast], away[kTreesAbreast], sum = 0.0, present = 0.0;
    if (!missing) look_across(group_, x, extent, away);
    for (int k = 0; k < group_.n_trees(); ++k) {
      const Tree<T>& tree = group_.tree(k);
      if (tree.empty()) {
        seen[k * step] = std::numeric_limits<double>::quiet_NaN();
        continue;
      }
      double depth = missing ? 0.0 : group_.depth(k);
      if (near) near[k * step] = missing ? 1.0 : away[k];
      if (missing) extent[k] = look_with_missing(tree, x, lack, group_.sight(k), group_.scratch(), depth);
      seen[k * step] = extent[k];
      sum += depth;
      present += 1.0;
    }
    if (present == 0.0) return false;
    const bool flagged = recent_.size() >= kFewRecent && sum / present < recent_.quantile(share_);
    recent_.add(sum / present);
    return flagged;
  }

 private:
  TreeGroup<T>& group_;
  double share_;
  Recent recent_;
};

// What learning gathers: scores from just before.
enum class Gather : int { kDepth = 0, kInsertion = 1, kNothing = 2 };

// Up to kTreesAbreast trees through one block of new rows: `depths` and `norms` (c(mass)), n values a
// tree, unless nothing is gathered; `seen` of a forest that judges its arrivals, and `near` of a wide one.
template <class T>
class GroupLearner {
 public:
  GroupLearner(const ForestView& forest, std::int64_t first, Gather gather)
      : forest_(forest), first_(first), gather_(gather), group_(forest, first) {
    if (forest.clean) judge_.emplace(forest, first, group_);
  }

  // Returns false if there was no memory for a score; the rows are learnt all the same.
  bool learn(const std::int32_t* rows, const double* weight, const double* when, std::int64_t n, double* depths,
             double* norms, double* seen, double* near) {
    const bool scored = gather_ != Gather::kNothing;
    for (int k = 0; scored && k < group_.n_trees(); ++k) start_norm(k, 0);
    for (std::int64_t i = 0; i < n; ++i) {
      nativekit::stop_if_asked();
      const T* x = static_cast<const T*>(forest_.points) + std::int64_t{rows[i]} * forest_.width;
      const Lack lack = lack_of(x, forest_.n_features);
      const double now = when ? when[i] : 0.0;
      walk(x, lack != Lack::kNone, now);
      const double mass = weight ? weight[i] : 1.0;
      const bool flagged = judge_ && is_flagged(x, lack, seen + i, near ? near + i : nullptr, n);
      double depth[kTreesAbreast];
      if (gather_ == Gather::kDepth && lack != Lack::kNone) depths_with_missing(group_, x, lack, depth);
      for (int k = 0; k < group_.n_trees(); ++k) {
        if (scored) depths[k * n + i] = lack != Lack::kNone && gather_ == Gather::kDepth ? depth[k] : score(k, x);
        if (!change(k, x, rows[i], {mass, flagged ? 0.0 : mass}, now)) continue;
        if (scored && group_.tree(k).total_mass() != mass_[k]) {
          write_norm(k, norms + k * n, i + 1);
          start_norm(k, i + 1);
        }
      }
    }
    for (int k = 0; scored && k < group_.n_trees(); ++k) write_norm(k, norms + k * n, n);
    return !no_memory_;
  }

 private:
  // Find the leaves of row x where they are asked for. One that lacks values is scored on other ways (means.hpp).
  void walk(const T* x, bool missing, double now) {
    if (!missing && (judge_ || gather_ == Gather::kDepth)) return group_.find_leaves(x, missing);
    int keeping[kTreesAbreast], n = 0;
    for (int k = 0; k < group_.n_trees(); ++k) {
      if (keeps_next(forest_, first_ + k, now)) keeping[n++] = k;
    }
    group_.find_leaves(x, missing, keeping, n);
  }

  // Let tree k keep the row or pass, and let points go; returns whether it has changed.
  bool change(int k, const T* x, std::int32_t row, Amount amount, double now) {
    const bool keeps = keeps_next(forest_, first_ + k, now);
    if (keeps) {
      learn_one(k, x, row, amount, now);
    } else {
      skip_next(forest_, first_ + k, now);
    }
    if (!has_outlived(forest_, first_ + k, now)) return keeps;
    if (!changing_[k]) changing_[k].emplace(forest_, first_ + k);
    expire_points(changing_[k]->stream, now);
    return true;
  }

  void learn_one(int k, const T* x, std::int32_t row, Amount amount, double now) {
    if (!changing_[k]) changing_[k].emplace(forest_, first_ + k);
    std::int32_t leaf = group_.leaf(k);
    if (changing_[k]->keeper.is_due(x)) {
      attend_scale(changing_[k]->keeper, x, scratch_);
      group_.look_at(k);
      leaf = leaf_under(group_.tree(k), x);
    }
    learn_row(changing_[k]->stream, row, leaf, amount, now);
  }

  bool is_flagged(const T* x, Lack lack, double* seen, double* near, std::int64_t step) {
    try {
      return judge_->flags(x, lack, seen, near, step);
    } catch (const std::bad_alloc&) {
      no_memory_ = true;
      return false;
    }
  }

  // Of a row without missing values, or the insertion score of any.
  double score(int k, const T* x) {
    const Tree<T>& tree = group_.tree(k);
    if (tree.empty()) return 0.0;
    if (gather_ == Gather::kDepth) return group_.depth(k);
    double depth = 0.0;
    insertion_depths(tree, x, 1, &depth);
    return depth;
  }

  // c(mass) changes only while a tree fills up: it is written for whole runs of rows.
  void start_norm(int k, std::int64_t from) {
    mass_[k] = group_.tree(k).total_mass();
    from_[k] = from;
  }
  void write_norm(int k, double* norms, std::int64_t to) const {
    std::fill(norms + from_[k], norms + to, hidden_depth(mass_[k]));
  }

  // What it takes to change a tree: made for those that do change, which are few where points come singly.
  struct Changing {
    Changing(const ForestView& forest, std::int64_t t) : stream(forest, t), keeper(forest, t) {}
    TreeStream<T> stream;
    ScaleKeeper<T> keeper;
  };

  const ForestView& forest_;
  std::int64_t first_;
  Gather gather_;
  TreeGroup<T> group_;
  std::optional<Changing> changing_[kTreesAbreast];
  std::optional<Judge<T>> judge_;
  RenewScratch<T> scratch_;
  bool no_memory_ = false;
  double mass_[kTreesAbreast] = {};
  std::int64_t from_[kTreesAbreast] = {};
};

// Learn one row that nobody scores: only the trees that keep it are touched.
template <class T>
void learn_alone(const ForestView& forest, std::int32_t row, double mass, double now) {
  const T* x = static_cast<const T*>(forest.points) + std::int64_t{row} * forest.width;
  const bool missing = has_missing(x, forest.n_features);
  RenewScratch<T> scratch;
  std::int64_t keeping[kTreesAbreast];
  int n = 0;
  const auto learn = [&] {
    Abreast<T> trees(forest, keeping, n);
    trees.find_leaves(x, missing);
    for (int k = 0; k < n; ++k) {
      TreeStream<T> stream(forest, keeping[k]);
      ScaleKeeper<T> keeper(forest, keeping[k]);
      std::int32_t leaf = trees.leaf(k);
      if (keeper.is_due(x)) {
        attend_scale(keeper, x, scratch);
        leaf = leaf_under(stream.tree(), x);
      }
      learn_row(stream, row, leaf, {mass, mass}, now);
    }
    n = 0;
  };
  for (std::int64_t t = 0; t < forest.n_trees; ++t) {
    if (!keeps_next(forest, t, now)) {
      skip_next(forest, t, now);
      continue;
    }
    keeping[n++] = t;
    if (n == kTreesAbreast) learn();
  }
  if (n > 0) learn();
  for (std::int64_t t = 0; t < forest.n_trees; ++t) {
    if (!has_outlived(forest, t, now)) continue;
    TreeStream<T> stream(forest, t);
    expire_points(stream, now);
  }
}

// Column means of (trees, n): each row's values are added in the order of the trees.
void average(const double* values, std::int64_t trees, std::int64_t n, double* out) {
  std::fill(out, out + n, 0.0);
  for (std::int64_t t = 0; t < trees; ++t) {
    for (std::int64_t i = 0; i < n; ++i) out[i] += values[t * n + i];
  }
  for (std::int64_t i = 0; i < n; ++i) out[i] /= static_cast<double>(trees);
}

// What the trees that are not empty saw of one row (Judge::flags): its mean log spacing, to the bits of a score's.
class Sighting {
 public:
  void add_extent(double extent) { add(extents_, extent); }
  void add_distance(double away) { add(distances_, away); }
  void add_log(double value) {
    const bool seen = value == value;
    logs_ += seen ? value : 0.0;
    present_ += seen;
  }
  bool any() const { return present_ > 0.0; }
  // `near`: what distances count for, if they were added.
  double mean(double near) const {
    const double extents = extents_.sum();
    return (logs_ + (near > 0.0 ? (1.0 - near) * extents + near * distances_.sum() : extents)) / present_;
  }

 private:
  void add(LogSum& sum, double value) {
    const bool seen = value == value;  // NaN: the tree is empty
    sum.add_log_of(seen ? value : 1.0);
    present_ += &sum == &extents_ && seen;
  }

  LogSum extents_, distances_;
  double logs_ = 0.0, present_ = 0.0;  // either the logs or the products are of no tree
};

// What trees saw of rows, (trees, n) each.
struct Looks {
  std::vector<double> extents, distances;  // extents or logs; distances of wide forests alone

  Looks(const ForestView& forest, std::int64_t n)
      : extents(forest.clean ? static_cast<std::size_t>(forest.n_trees * n) : 0),
        distances(is_wide(forest) ? extents.size() : 0) {}
  double* extents_from(std::int64_t place) { return extents.empty() ? nullptr : extents.data() + place; }
  double* distances_from(std::int64_t place) { return distances.empty() ? nullptr : distances.data() + place; }
};

// From what trees saw of each row to how unusual it was among the recent ones; rows join them.
template <class T>
void measure_spacings(const ForestView& forest, const T* x, std::int64_t n, const Looks& seen, double* out) {
  std::vector<Sighting> sightings(static_cast<std::size_t>(n));
  std::vector<char> logs(static_cast<std::size_t>(n));
  for (std::int64_t i = 0; i < n; ++i) logs[i] = has_missing(x + i * forest.n_features, forest.n_features);
  const bool no_logs = std::find(logs.begin(), logs.end(), 1) == logs.end();
  for (std::int64_t t = 0; t < forest.n_trees; ++t) {  // rows inside: a sum waits for its last factor
    for (std::int64_t i = 0; i < n; ++i) {
      const double value = seen.extents[t * n + i];
      if (!no_logs && logs[i]) {
        sightings[i].add_log(value);
      } else {
        sightings[i].add_extent(value);
        if (!seen.distances.empty()) sightings[i].add_distance(seen.distances[t * n + i]);
      }
    }
  }
  Recent recent(forest.recent);
  for (std::int64_t i = 0; i < n; ++i) {
    const double spacing = sightings[i].mean(logs[i] ? 0.0 : near_weight(forest));
    if (out) out[i] = Usual(recent).excess(spacing);
    if (sightings[i].any()) recent.add(spacing);
  }
}

// Put rows into free places of the store; `rows` are which.
template <class T>
void store_rows(const ForestView& forest, const T* x, std::int64_t n, std::int32_t* rows) {
  T* const points = static_cast<T*>(forest.points);
  for (std::int64_t i = 0; i < n; ++i) {
    rows[i] = forest.free_rows[--*forest.n_free_rows];
    copy_padded(points + rows[i] * forest.width, x + i * forest.n_features, forest.n_features, forest.width);
  }
}

template <class T>
Status learn_as(const ForestView& given, const T* x, std::int64_t n, const double* weight, const double* stamp,
                Score score, double* depth, double* norm, std::int64_t* learnt, int n_threads) {
  *learnt = 0;
  WithMeans with_means(given);
  if ((given.clean || depth) && has_missing(x, n * given.n_features)) {
    with_means.make_depth();
    if (given.clean) with_means.make_spacing();
  }
  const ForestView& forest = with_means.with_levels<T>();
  const std::int64_t trees = forest.n_trees;
  const bool spaced = depth && score == Score::kSpacing, gathers = depth && !spaced;
  std::vector<double> partial(gathers ? static_cast<std::size_t>(2 * trees * std::min(n, kMostLearnt)) : 0);
  Looks seen(forest, std::min(n, kMostLearnt));
  std::vector<std::int32_t> rows(static_cast<std::size_t>(std::min(n, kMostLearnt)));
  std::vector<double> when(forest.clock ? static_cast<std::size_t>(std::min(n, kMostLearnt)) : 0);
  std::atomic<bool> no_memory{false};
  for (std::int64_t begin = 0, count = 0; begin < n; begin += count) {
    const std::int64_t left = n - begin;
    if (*forest.n_free_rows < std::min(kLearnBlock, left)) sweep_rows(forest);
    if (*forest.n_free_rows < std::min(kLearnBlock, left)) return Status::kNoRoom;
    count = std::min({kMostLearnt, left, *forest.n_free_rows});
    store_rows(forest, x + begin * forest.n_features, count, rows.data());
    for (std::int64_t i = 0; forest.clock && i < count; ++i) when[i] = tick(forest.clock, stamp[begin + i]);
    if (count == 1 && !gathers && !forest.clean) {
      learn_alone<T>(forest, rows[0], weight ? weight[begin] : 1.0, forest.clock ? when[0] : 0.0);
      *learnt = begin + count;
      continue;
    }
    double* depths = partial.data();
    double* norms = partial.data() + (gathers ? trees * count : 0);
    const Gather gather = gathers ? static_cast<Gather>(score) : Gather::kNothing;
    const int threads = count * trees < 2000 ? 1 : n_threads;
    nativekit::parallel_for((trees + kTreesAbreast - 1) / kTreesAbreast, threads, [&](std::int64_t g) {
      const std::int64_t first = g * kTreesAbreast, offset = gathers ? first * count : 0;
      GroupLearner<T> learner(forest, first, gather);
      const double* weights = weight ? weight + begin : nullptr;
      const std::int64_t place = first * count;
      const double* const times = forest.clock ? when.data() : nullptr;
      if (!learner.learn(rows.data(), weights, times, count, depths + offset, norms + offset, seen.extents_from(place),
                         seen.distances_from(place))) {
        no_memory = true;
      }
    });
    if (forest.clean)
      measure_spacings(forest, x + begin * forest.n_features, count, seen, spaced ? depth + begin : nullptr);
    if (spaced) std::fill(norm + begin, norm + begin + count, 1.0);
    if (gathers) {
      average(depths, trees, count, depth + begin);
      average(norms, trees, count, norm + begin);
    }
    *learnt = begin + count;
    if (no_memory) return Status::kNoMemory;
  }
  return Status::kOk;
}

// Whether tree t holds each row of x, repeats counted; with `remove`, also take them out. All are found
// first: cuts that go with a point would let others be found where they were not looked for.
template <class T>
void forget_in_tree(const ForestView& forest, std::int64_t t, const T* x, std::int64_t n, bool remove,
                    std::int32_t* counts) {
  TreeStream<T> stream(forest, t);
  Tree<T>& tree = stream.tree();
  std::vector<double> taken(static_cast<std::size_t>(tree.header[kLeafMark]), 0.0);
  std::vector<std::int32_t> stack, found;
  const auto left_in = [&](std::int32_t leaf) { return tree.leaf_mass[leaf] - taken[leaf]; };
  for (std::int64_t i = 0; i < n; ++i) {
    nativekit::stop_if_asked();
    const std::int32_t leaf = find_held(tree, x + i * tree.n_features, left_in, stack);
    if (leaf == kNobody) continue;
    taken[leaf] += 1.0;
    if (remove) found.push_back(leaf);
    nativekit::atomic_add(counts + i, 1);
  }
  for (const std::int32_t leaf : found) {
    nativekit::stop_if_asked();
    forget_point(stream, leaf);
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

Status learn(const ForestView& forest, bool is64, const void* x, std::int64_t n, const double* weight,
             const double* stamp, Score score, double* depth, double* norm, std::int64_t* learnt, int n_threads) {
  return dispatch(is64, x, [&](auto rows) {
    return learn_as(forest, rows, n, weight, stamp, score, depth, norm, learnt, n_threads);
  });
}

Status forget(const ForestView& forest, bool is64, const void* x, std::int64_t n, bool remove, std::int64_t* holders,
              int n_threads) {
  return dispatch(is64, x, [&](auto rows) { return forget_as(forest, rows, n, remove, holders, n_threads); });
}

}  // namespace imondrian::NK_ISA

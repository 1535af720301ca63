// The flags of a batch, and what its usual points score.
#include "fit/clean_mass.hpp"

#include <atomic>
#include <limits>

#include "dispatch.hpp"
#include "nativekit/parallel.hpp"
#include "score/depth_batch.hpp"
#include "score/score_window.hpp"

namespace imondrian::NK_ISA {
namespace {

constexpr std::int64_t kChunk = 1024;     // points a thread scores before it asks for more
constexpr double kNoise = 2.0;            // standard errors that depths may be apart and still be equal
constexpr std::int64_t kLookedAt = 1024;  // points that show what usual ones score

struct Seen {
  double spacing, depth;
};

// A point where it ends in a tree.
template <class T>
struct Look {
  Ending end;
  const T* x;
  std::int32_t but;  // its own leaf, where nothing else there is clean
  double own;        // of its mass that is left out
  Seen* seen;

  Held held() const { return {but, own}; }

  void write(const Tree<T>& tree, const Sight<T>& sight, double extent, BoxScratch<T>& scratch) const {
    const double away = sight.near() == 0.0 ? kFar : sight.nearest(tree, end.box, x, but);
    seen->spacing = sight.value(tree, end.box, extent, away, scratch) - end.gain;
  }
};

template <class T>
class Trimmer {
 public:
  Trimmer(const ForestView& forest, const Samples& samples, int n_threads)
      : with_means_(forest), forest_(with_means_.forest()), samples_(samples), n_threads_(n_threads),
        flagged_(static_cast<std::size_t>(samples.n_points), 0), depth_(flagged_.size()) {
    if (samples.weight) {
      mass_.resize(flagged_.size());
      for (std::size_t p = 0; p < mass_.size(); ++p) mass_[p] = samples.weight[samples.stored[p]];
    }
  }

  void run() {
    nativekit::Paced pace(1 << 20);
    for (std::int64_t p = 0; p < samples_.n_points; ++p) {
      pace.did(forest_.n_features);
      missing_.push_back(has_missing(point(p), forest_.n_features));
    }
    if (std::find(missing_.begin(), missing_.end(), 1) != missing_.end()) {
      with_means_.make_depth();
      with_means_.make_spacing();
    }
    with_means_.with_levels<T>();
    sum_depths();
    flagged_ = flag_shallow(depth_, mass_.empty() ? nullptr : mass_.data(), flagged_share(forest_));
    spare_like_points();
    for_trees([&](std::int64_t t) {
      Tree<T> tree(forest_, t);
      set_clean(tree, samples_, t, flagged_);
    });
    remember();
  }

 private:
  const T* point(std::int64_t p) const {
    return static_cast<const T*>(forest_.points) + std::int64_t{samples_.stored[p]} * forest_.width;
  }

  template <class Body>
  void for_each(std::int64_t n, const Body& body) {
    std::atomic<bool> no_memory{false};
    nativekit::parallel_for(n, n_threads_, [&](std::int64_t i) {
      try {
        body(i);
      } catch (const std::bad_alloc&) {
        no_memory = true;
      }
    });
    if (no_memory) throw std::bad_alloc();
  }
  template <class Body>
  void for_trees(const Body& body) {
    for_each(forest_.n_trees, body);
  }

  // body(i) for every place in a tree where a point is held, one after the other.
  template <class Body>
  void for_places(const Body& body) const {
    nativekit::in_runs(static_cast<std::int64_t>(samples_.row.size()), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) body(i);
    });
  }

  // One copy of a point.
  double copy(std::int64_t i) const { return std::min(1.0, samples_.mass(i)); }

  // Depth of a point in a tree that holds it so many levels down, without `own` of its mass.
  double held_depth(const Tree<T>& tree, std::int64_t i, double levels, double own) const {
    return levels + hidden_depth(tree.leaf_mass[samples_.leaf[i]] - own);
  }
  double held_depth(const Tree<T>& tree, std::int64_t i) const {
    return held_depth(tree, i, levels_above(tree, samples_.leaf[i]), copy(i));
  }

  // Depths summed over the trees; where a tree holds the point, without one copy of it.
  void sum_depths() {
    const std::int64_t m = samples_.n_sample, trees = forest_.n_trees;
    std::fill(depth_.begin(), depth_.end(), 0.0);
    std::vector<double> held;
    nativekit::fill_in_runs(held, samples_.row.size(), 0.0);
    const bool everywhere = samples_.all_in_all(trees);
    for_trees([&](std::int64_t t) {
      const Tree<T> tree(forest_, t);
      nativekit::Paced pace(1 << 16);
      for (std::int64_t i = t * m; i < (t + 1) * m; ++i) {
        const double levels = levels_above(tree, samples_.leaf[i]);
        held[i] = held_depth(tree, i, levels, copy(i));
        pace.did(static_cast<std::int64_t>(levels));
        if (everywhere) continue;
        const std::int32_t p = samples_.point[i];
        held[i] -= missing_[p] ? depth_with_missing(tree, point(p)) : held_depth(tree, i, levels, 0.0);
      }
    });
    if (!everywhere) sum_all_depths();
    for_places([&](std::int64_t i) { depth_[samples_.point[i]] += held[i]; });
  }

  // As if no tree held any of the points.
  void sum_all_depths() {
    for (std::int64_t first = 0; first < forest_.n_trees;) {
      const DepthBatch<T> trees(forest_, first, false, n_threads_);
      for_each((samples_.n_points + kChunk - 1) / kChunk, [&](std::int64_t c) {
        const std::int64_t begin = c * kChunk, n = std::min(kChunk, samples_.n_points - begin), width = forest_.width;
        std::vector<T> rows(static_cast<std::size_t>(n * width));
        for (std::int64_t i = 0; i < n; ++i) copy_row(rows.data() + i * width, point(begin + i), width);
        trees.add(rows.data(), n, width, depth_.data() + begin);
      });
      first = trees.end();
    }
    std::vector<std::int64_t> lacking;
    for (std::int64_t p = 0; p < samples_.n_points; ++p) {
      if (missing_[p]) lacking.push_back(p);
    }
    for_each(static_cast<std::int64_t>(lacking.size()), [&](std::int64_t i) {
      const std::int64_t p = lacking[i];
      depth_[p] = 0.0;
      for (std::int64_t t = 0; t < forest_.n_trees; ++t) {
        depth_[p] += depth_with_missing(Tree<T>(forest_, t), point(p));
      }
    });
  }

  // Which points the trees hold many equals of, enough to stand for themselves.
  std::vector<char> find_crowds() const {
    std::vector<char> crowded(flagged_.size(), 0);
    for (std::int64_t t = 0; t < forest_.n_trees; ++t) {
      const Tree<T> tree(forest_, t);
      nativekit::Paced pace(1 << 18);
      for (std::int64_t i = t * samples_.n_sample; i < (t + 1) * samples_.n_sample; ++i) {
        pace.did(1);
        crowded[samples_.point[i]] |= tree.leaf_mass[samples_.leaf[i]] - copy(i) >= kEnoughClean;
      }
    }
    return crowded;
  }

  // Mean levels above each of the points that are `wanted`, in the trees that hold it.
  std::vector<double> mean_levels(const std::vector<char>& wanted) {
    const std::int64_t m = samples_.n_sample;
    std::vector<double> held, sum(wanted.size(), 0.0), n(wanted.size(), 0.0);
    nativekit::fill_in_runs(held, samples_.row.size(), 0.0);
    for_trees([&](std::int64_t t) {
      const Tree<T> tree(forest_, t);
      for (std::int64_t i = t * m; i < (t + 1) * m; ++i) {
        nativekit::stop_if_asked();
        if (wanted[samples_.point[i]]) held[i] = levels_above(tree, samples_.leaf[i]);
      }
    });
    for_places([&](std::int64_t i) { sum[samples_.point[i]] += held[i], n[samples_.point[i]] += 1.0; });
    for (std::size_t p = 0; p < sum.size(); ++p) sum[p] /= n[p];
    return sum;
  }

  // A value that many points share is flagged or kept as a whole. Between two such values as deep, chance (the trees'
  // generators) would choose: those within the noise of the shallowest that is kept are kept with it. Levels vary by no
  // more than their mean (they are sums of independent chances).
  void spare_like_points() {
    std::vector<char> wanted = find_crowds();
    double least = std::numeric_limits<double>::infinity();
    for (std::size_t p = 0; p < depth_.size(); ++p) {
      if (wanted[p] && !flagged_[p]) least = std::min(least, grains(p));
    }
    if (least == std::numeric_limits<double>::infinity()) return;
    for (std::size_t p = 0; p < depth_.size(); ++p) wanted[p] = wanted[p] && (flagged_[p] || grains(p) == least);
    const std::vector<double> levels = mean_levels(wanted);
    double border = 0.0;
    for (std::size_t p = 0; p < wanted.size(); ++p) {
      if (wanted[p] && !flagged_[p]) border = std::max(border, levels[p]);
    }
    for (std::size_t p = 0; p < wanted.size(); ++p) {
      if (!wanted[p] || !flagged_[p]) continue;
      const double noise = std::sqrt((levels[p] + border) * static_cast<double>(forest_.n_trees));
      if (least - grains(p) <= std::nearbyint(kNoise * noise / kGrain)) flagged_[p] = 0;
    }
  }
  double grains(std::size_t p) const { return std::nearbyint(depth_[p] / kGrain); }

  // What one tree makes of points, `n` of them added one by one.
  class Looker {
   public:
    Looker(const Tree<T>& tree, std::int64_t n) : tree_(tree) {
      sight_.look_at(tree);
      looks_.reserve(static_cast<std::size_t>(n));
    }
    // See a point that the tree holds in that box.
    void see_held(std::int32_t box, const T* x, Held held, double depth, Seen* seen) {
      add({box, 0.0}, x, held, depth, seen);
    }
    // See one that ends in that leaf (~slot).
    void see_at(std::int32_t leaf, const T* x, double depth, Seen* seen) {
      add({clean_box(tree_, leaf), 0.0}, x, {}, depth, seen);
    }
    void see_missing(const T* x, Seen* seen) {
      nativekit::stop_if_asked();
      prepare_tree_means(tree_, sight_, scratch_);
      double depth = 0.0;
      const Ending end = find_ending(tree_, x, spacing_means(tree_, sight_, scratch_), depth);
      add(end, x, {}, depth, seen);
    }
    void finish() { measure_looks(tree_, sight_, looks_, scratch_); }

   private:
    void add(Ending end, const T* x, Held held, double depth, Seen* seen) {
      seen->depth = depth;
      looks_.push_back({end, x, held.but, held.mass, seen});
    }

    const Tree<T>& tree_;
    Sight<T> sight_;
    BoxScratch<T> scratch_;
    std::vector<Look<T>> looks_;
  };

  // What trees make of points spread over the batch (of all, where every tree holds all), each without its
  // own mass.
  void remember() {
    const bool everywhere = samples_.all_in_all(forest_.n_trees);
    const std::int64_t n = everywhere ? samples_.n_points : std::min(kLookedAt, samples_.n_points);
    std::vector<std::int64_t> looked(static_cast<std::size_t>(n));
    std::vector<std::int32_t> place(flagged_.size(), -1);
    for (std::int64_t i = 0; i < n; ++i) {
      looked[i] = i * samples_.n_points / n;
      place[looked[i]] = static_cast<std::int32_t>(i);
    }
    std::vector<Seen> seen;
    nativekit::fill_in_runs(seen, static_cast<std::size_t>(forest_.n_trees * n), {});
    std::vector<T> rows(everywhere ? 0 : static_cast<std::size_t>(n * forest_.width));
    for (std::int64_t i = 0; i < n && !everywhere; ++i) {
      copy_row(rows.data() + i * forest_.width, point(looked[i]), forest_.width);
    }
    for_trees([&](std::int64_t t) {
      std::vector<std::int64_t> held(static_cast<std::size_t>(n), -1);
      for (std::int64_t i = t * samples_.n_sample; i < (t + 1) * samples_.n_sample; ++i) {
        if (const std::int32_t at = place[samples_.point[i]]; at >= 0) held[at] = i;
      }
      look_at(Tree<T>(forest_, t), looked, held, rows, seen.data() + t * n);
    });
    write_recent(seen, looked);
  }

  // The leaf of a point that the tree holds, unless more than one copy of it is clean there.
  std::int32_t alone(const Tree<T>& tree, std::int64_t i) const {
    const std::int32_t leaf = samples_.leaf[i];
    return tree.leaf_clean[leaf] > copy(i) ? kNobody : leaf;
  }

  // What one tree makes of them: `held` says where it holds them; where it does not hold all, `rows` are theirs.
  void look_at(const Tree<T>& tree, const std::vector<std::int64_t>& looked, const std::vector<std::int64_t>& held,
               const std::vector<T>& rows, Seen* seen) {
    const std::int64_t n = static_cast<std::int64_t>(looked.size());
    LeafEnds<T> ends(tree);
    std::vector<std::int32_t> end(rows.empty() ? 0 : looked.size(), 0);
    if (!rows.empty()) {
      const WalkTree<T> walk = pack_walk(tree, ends);
      if (tree.kinds.any()) {
        std::vector<WordBits<T>> keys;
        find_keys(tree.kinds, rows.data(), n, forest_.width, forest_.n_features, keys);
        walk_on_keys(walk, keys.data(), n, forest_.width, end.data());
      } else {
        walk_on(walk, rows.data(), n, forest_.width, end.data());
      }
    }
    Looker looker(tree, n);
    for (std::int64_t i = 0; i < n; ++i) {
      const T* x = point(looked[i]);
      if (held[i] >= 0) {
        looker.see_held(held_box(tree, held[i]), x, {alone(tree, held[i]), copy(held[i])}, held_depth(tree, held[i]),
                        seen + i);
      } else if (missing_[looked[i]]) {
        looker.see_missing(x, seen + i);
      } else {
        looker.see_at(ends.leaves()[end[i]], x, ends.values()[end[i]], seen + i);
      }
    }
    looker.finish();
  }

  // The clean box of a point that the tree holds, without one copy of it.
  std::int32_t held_box(const Tree<T>& tree, std::int64_t i) const {
    const double own = flagged_[samples_.point[i]] ? 0.0 : copy(i);
    const double needed = clean_needed(tree.clean_of(tree.root()) - own);
    std::int32_t v = ~samples_.leaf[i], up = tree.leaf_parent[~v];
    for (; up != kNobody && tree.clean_of(v) - own < needed; up = tree.parent[up]) v = up;
    return v;
  }

  // Mean spacings under the forest, mean depths under each group of trees.
  void write_recent(const std::vector<Seen>& seen, const std::vector<std::int64_t>& looked) {
    const std::int64_t trees = forest_.n_trees, n = static_cast<std::int64_t>(looked.size());
    std::vector<std::pair<double, double>> spacing(looked.size()), depth(looked.size());
    for (std::int64_t i = 0; i < n; ++i) spacing[i] = depth[i] = {0.0, mass_.empty() ? 1.0 : mass_[looked[i]]};
    for (std::int64_t first = 0; first < trees; first += kTreesAbreast) {
      const std::int64_t end = std::min<std::int64_t>(first + kTreesAbreast, trees);
      nativekit::Paced pace(1 << 15);
      for (std::int64_t i = 0; i < n; ++i) {
        pace.did(1);
        double sum = 0.0;
        for (std::int64_t t = first; t < end; ++t) {
          spacing[i].first += seen[t * n + i].spacing / static_cast<double>(trees);
          sum += seen[t * n + i].depth;
        }
        depth[i].first = sum / static_cast<double>(end - first);
      }
      std::vector<std::pair<double, double>> group = depth;
      Recent(forest_.recent + (1 + first / kTreesAbreast) * kRecentSize).fill(group);
    }
    Recent(forest_.recent).fill(spacing);
  }

  WithMeans with_means_;
  const ForestView& forest_;
  const Samples& samples_;
  int n_threads_;
  std::vector<char> missing_;  // by point: whether it lacks values
  std::vector<char> flagged_;
  std::vector<double> depth_, mass_;
};

}  // namespace

template <class T>
void trim(const ForestView& forest, const Samples& samples, int n_threads) {
  Trimmer<T>(forest, samples, n_threads).run();
}

}  // namespace imondrian::NK_ISA

// The flags of a batch, and what its usual points score.
#include "trim.hpp"

#include <atomic>

#include "dispatch.hpp"
#include "nativekit/parallel.hpp"
#include "nativekit/simd.hpp"
#include "recent.hpp"

namespace imondrian {
namespace {

constexpr std::int64_t kChunk = 1024;     // points a thread scores before it asks for more
constexpr std::int64_t kLookedAt = 1024;  // points that show what usual ones score

template <class T>
class Trimmer {
 public:
  Trimmer(const ForestView& forest, const Samples& samples, int n_threads)
      : forest_(forest), samples_(samples), n_threads_(n_threads),
        flagged_(static_cast<std::size_t>(samples.n_points), 0),
        depth_(flagged_.size()) {
    if (samples.weight) {
      mass_.resize(flagged_.size());
      for (std::size_t p = 0; p < mass_.size(); ++p) mass_[p] = samples.weight[samples.stored[p]];
    }
  }

  void run() {
    for (const bool clean : {false, true}) {
      sum_depths(clean);
      flagged_ = flag_shallow(depth_, mass_.empty() ? nullptr : mass_.data());
      for_trees([&](std::int64_t t) {
        Tree<T> tree(forest_, t);
        set_clean(tree, samples_, t, &flagged_);
      });
    }
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
  void for_trees(const Body& body) { for_each(forest_.n_trees, body); }

  // A point's own clean mass: one copy of it.
  double own(std::int64_t i, bool clean) const {
    return clean && flagged_[samples_.point[i]] ? 0.0 : std::min(1.0, samples_.mass(i));
  }

  // Depths summed over the trees; where a tree holds the point, without its own mass.
  void sum_depths(bool clean) {
    const std::int64_t m = samples_.n_sample, trees = forest_.n_trees;
    std::fill(depth_.begin(), depth_.end(), 0.0);
    std::vector<double> held(samples_.row.size());
    const bool everywhere = samples_.all_in_all(trees);
    for_trees([&](std::int64_t t) {
      const Tree<T> tree(forest_, t);
      std::vector<Way> ways;
      std::vector<Fork> forks;
      for (std::int64_t i = t * m; i < (t + 1) * m; ++i) {
        held[i] = held_depth(tree, samples_.leaf[i], own(i, clean), clean);
        if (everywhere) continue;
        const T* x = point(samples_.point[i]);
        held[i] -= has_missing(x, forest_.n_features) ? forked(tree, x, clean, ways, forks)
                                                      : held_depth(tree, samples_.leaf[i], 0.0, clean);
      }
    });
    if (!everywhere) sum_all_depths(clean);
    for (std::size_t i = 0; i < held.size(); ++i) depth_[samples_.point[i]] += held[i];
  }

  static double forked(const Tree<T>& tree, const T* x, bool clean, std::vector<Way>& ways, std::vector<Fork>& forks) {
    return clean ? forked_clean_depth(tree, x, ways) : depth_with_missing(tree, x, Score::kDepth, forks);
  }

  // As if no tree held any of the points.
  void sum_all_depths(bool clean) {
    std::vector<PackedTree<T>> packs(static_cast<std::size_t>(forest_.n_trees));
    for_trees([&](std::int64_t t) {
      const Tree<T> tree(forest_, t);
      LeafEnds<T> leaves(tree);
      CleanDepthEnds<T> ends(tree);
      packs[t] = clean ? pack_blocks(tree, ends) : pack_blocks(tree, leaves);
    });
    const PackedScan<T, double> scan = choose_scan<T, double>(forest_.n_features);
    for_each((samples_.n_points + kChunk - 1) / kChunk, [&](std::int64_t c) {
      const std::int64_t begin = c * kChunk, n = std::min(kChunk, samples_.n_points - begin), width = forest_.width;
      std::vector<T> rows(static_cast<std::size_t>(n * width));
      for (std::int64_t i = 0; i < n; ++i) copy_row(rows.data() + i * width, point(begin + i), width);
      double* out = depth_.data() + begin;
      for (const PackedTree<T>& pack : packs) scan(pack, rows.data(), n, width, forest_.n_features, out);
      std::vector<Way> ways;
      std::vector<Fork> forks;
      for (std::int64_t i = 0; i < n; ++i) {
        if (!has_missing(point(begin + i), forest_.n_features)) continue;
        out[i] = 0.0;
        for (std::int64_t t = 0; t < forest_.n_trees; ++t) {
          out[i] += forked(Tree<T>(forest_, t), point(begin + i), clean, ways, forks);
        }
      }
    });
  }

  // Spacings of points spread over the batch (of all, where every tree holds all), under each tree.
  void remember() {
    const std::int64_t m = samples_.n_sample, trees = forest_.n_trees;
    const std::int64_t n = samples_.all_in_all(trees) ? samples_.n_points : std::min(kLookedAt, samples_.n_points);
    std::vector<std::int64_t> looked(static_cast<std::size_t>(n));
    std::vector<std::int32_t> place(flagged_.size(), -1);
    for (std::int64_t i = 0; i < n; ++i) {
      looked[i] = i * samples_.n_points / n;
      place[looked[i]] = static_cast<std::int32_t>(i);
    }
    std::vector<double> spacing(static_cast<std::size_t>(trees * n));
    for_trees([&](std::int64_t t) {
      const Tree<T> tree(forest_, t);
      std::vector<std::int64_t> held(static_cast<std::size_t>(n), -1);
      for (std::int64_t i = t * m; i < (t + 1) * m; ++i) {
        if (const std::int32_t at = place[samples_.point[i]]; at >= 0) held[at] = i;
      }
      Sight<T> sight(forest_.width);
      std::vector<Way> ways;
      sight.look_at(tree);
      for (std::int64_t i = 0; i < n; ++i) {
        const T* x = point(looked[i]);
        double& out = spacing[t * n + i];
        if (held[i] >= 0) {
          out = std::log(sight.extent(tree, held_box(tree, samples_.leaf[held[i]], own(held[i], true)), x));
        } else if (has_missing(x, forest_.n_features)) {
          out = spacing_with_missing(tree, x, sight, ways);
        } else {
          out = std::log(sight.extent(tree, clean_box(tree, x), x));
        }
      }
    });
    write_recent(spacing, looked);
  }

  // The smallest box around a leaf with enough clean mass besides `own`.
  static std::int32_t held_box(const Tree<T>& tree, std::int32_t leaf, double own) {
    std::int32_t v = ~leaf, up = tree.leaf_parent[leaf];
    for (; up != kNobody && tree.clean_of(v) - own < kLeastClean; up = tree.parent[up]) v = up;
    return v;
  }

  // Means under the forest and under each group of trees.
  void write_recent(const std::vector<double>& spacing, const std::vector<std::int64_t>& looked) {
    const std::int64_t trees = forest_.n_trees, n = static_cast<std::int64_t>(looked.size());
    std::vector<std::pair<double, double>> all(looked.size()), group(looked.size());
    for (std::int64_t i = 0; i < n; ++i) all[i] = group[i] = {0.0, mass_.empty() ? 1.0 : mass_[looked[i]]};
    for (std::int64_t first = 0; first < trees; first += kTreesAbreast) {
      const std::int64_t end = std::min<std::int64_t>(first + kTreesAbreast, trees);
      for (std::int64_t i = 0; i < n; ++i) {
        double sum = 0.0;
        for (std::int64_t t = first; t < end; ++t) sum += spacing[t * n + i];
        all[i].first += sum / static_cast<double>(trees);
        group[i] = {sum / static_cast<double>(end - first), all[i].second};
      }
      Recent(forest_.recent + (1 + first / kTreesAbreast) * kRecentSize).fill(group);
    }
    Recent(forest_.recent).fill(all);
  }

  const ForestView& forest_;
  const Samples& samples_;
  int n_threads_;
  std::vector<char> flagged_;
  std::vector<double> depth_, mass_;
};

}  // namespace

template <class T>
void trim(const ForestView& forest, const Samples& samples, int n_threads) {
  Trimmer<T>(forest, samples, n_threads).run();
}
template void trim<float>(const ForestView&, const Samples&, int);
template void trim<double>(const ForestView&, const Samples&, int);

}  // namespace imondrian

// Many rows down many trees: where each row ends, by bitmaps or by a walk, whichever costs less in a tree.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "nativekit/parallel.hpp"
#include "score/bitmaps.hpp"

namespace imondrian::NK_ISA {

constexpr std::int64_t kBatchTrees = 128;       // at most: their cuts' ranks fit into two bytes
constexpr std::int64_t kBatchBytes = 16 << 20;  // of tables at a time, or one tree
constexpr int kMostFeatures = 28;               // that a tree cuts, above which a walk costs less
constexpr std::int64_t kRankedPerTree = 2;      // features: ranks cost more than bitmaps save above that

// How many trees a batch takes, of those that are left; `bytes` is what a caller keeps beside each.
template <class T>
std::int64_t batch_size(const ForestView& forest, std::int64_t left, std::int64_t bytes) {
  const std::int64_t walk = forest.capacity * 2 * (sizeof(WalkNode<T>) + sizeof(std::int32_t) + sizeof(double));
  const std::int64_t masks = (2 * kMostEnds + kMostFeatures) * 32 + kMostFeatures * 256;
  return std::clamp<std::int64_t>(kBatchBytes / (walk + masks + bytes), 1, std::min(left, kBatchTrees));
}

template <class T>
class TreeBatch {
 public:
  TreeBatch(std::int64_t n_trees, std::int64_t n_features)
      : n_features_(n_features), trees_(static_cast<std::size_t>(n_trees)) {}

  std::int64_t size() const { return static_cast<std::int64_t>(trees_.size()); }
  std::int64_t n_features() const { return n_features_; }

  // Take tree k; trees that are not given are empty.
  void set(std::int64_t k, WalkTree<T>&& walk) {
    Entry& tree = trees_[k];
    tree.walk = std::move(walk);
    if (tree.walk.kinds.any()) return;  // no ranks tell on which side of a bit a word lies
    tree.top = take_top(tree.walk);
    tree.n_asked = count_features(tree.top, n_features_, kMostFeatures);
    tree.by_masks = tree.n_asked <= kMostFeatures;
  }

  // Rank the cuts and make the masks, once all trees are there.
  void finish() {
    find_features();
    if (static_cast<std::int64_t>(features_.size()) > kRankedPerTree * n_by_masks()) {
      for (Entry& tree : trees_) tree.by_masks = false;
      features_.clear();
    }
    rank_cuts();
    make_groups();
    for (Entry& tree : trees_) settle(tree);
  }

  // What rows need to know of it.
  struct Feature {
    std::int32_t number = 0;
    std::vector<T> cuts;  // distinct, rising
  };
  struct Narrowing {
    std::int32_t feature;            // among those that are ranked
    std::vector<std::uint8_t> byte;  // by rank
  };
  const std::vector<Feature>& features() const { return features_; }
  bool by_masks(std::int64_t k) const { return trees_[k].by_masks; }
  std::int32_t group(std::int64_t k) const { return trees_[k].group; }
  const std::vector<Narrowing>& narrowings(std::int32_t group) const { return groups_[group]; }
  const TreeMasks& masks(std::int64_t k) const { return trees_[k].masks; }
  const WalkTree<T>& walk(std::int64_t k) const { return trees_[k].walk; }
  // By end of the masks: its place, or the node to walk on from; none if they are the same.
  const std::vector<std::int32_t>& reached(std::int64_t k) const { return trees_[k].reached; }
  bool walks_on(std::int64_t k) const { return !trees_[k].walk.nodes.empty(); }

 private:
  struct RankedCut {
    std::int32_t feature, rank, cut;
  };
  struct Entry {
    WalkTree<T> walk;
    TreeTop<T> top;
    bool by_masks = false;
    int n_asked = 0;  // features that the top cuts
    std::int32_t group = -1;
    std::vector<RankedCut> ranked;  // by feature, then rising
    TreeMasks masks;
    std::vector<std::int32_t> reached;
  };
  struct Placed {
    T threshold;
    std::int32_t tree, cut;
    bool operator<(const Placed& other) const { return threshold < other.threshold; }
  };

  std::int64_t n_by_masks() const {
    return std::count_if(trees_.begin(), trees_.end(), [](const Entry& tree) { return tree.by_masks; });
  }

  // Number the features that need ranks.
  void find_features() {
    slot_.assign(static_cast<std::size_t>(n_features_), -1);
    for (const Entry& tree : trees_) {
      if (!tree.by_masks) continue;
      for (const TopCut<T>& cut : tree.top.cuts) {
        if (slot_[cut.feature] >= 0) continue;
        slot_[cut.feature] = static_cast<std::int32_t>(features_.size());
        features_.push_back({cut.feature, {}});
      }
    }
  }

  void rank_cuts() {
    std::vector<std::vector<Placed>> placed(features_.size());
    for (std::int64_t t = 0; t < size(); ++t) {
      if (!trees_[t].by_masks) continue;
      const auto& cuts = trees_[t].top.cuts;
      trees_[t].ranked.reserve(cuts.size());
      for (std::size_t c = 0; c < cuts.size(); ++c) {
        placed[slot_[cuts[c].feature]].push_back(
            {cuts[c].threshold, static_cast<std::int32_t>(t), static_cast<std::int32_t>(c)});
      }
    }
    std::vector<Placed> spread;
    for (std::size_t f = 0; f < features_.size(); ++f) {
      sort_cuts(placed[f], spread);
      std::vector<T>& cuts = features_[f].cuts;
      for (const Placed& at : placed[f]) {
        if (cuts.empty() || cuts.back() != at.threshold) cuts.push_back(at.threshold);
        trees_[at.tree].ranked.push_back(
            {static_cast<std::int32_t>(f), static_cast<std::int32_t>(cuts.size()) - 1, at.cut});
      }
    }
  }

  // Sort by threshold: first into as many parts of the range as there are cuts, which most data makes short.
  static void sort_cuts(std::vector<Placed>& cuts, std::vector<Placed>& spread) {
    const auto [least, most] = std::minmax_element(cuts.begin(), cuts.end());
    const double low = static_cast<double>(least->threshold), range = static_cast<double>(most->threshold) - low;
    const auto n = static_cast<std::int64_t>(cuts.size());
    const double scale = static_cast<double>(n - 1) / range;
    if (n < 64 || !std::isfinite(range) || !std::isfinite(scale)) return std::sort(cuts.begin(), cuts.end());
    const auto part = [&](const Placed& cut) {  // never falls as thresholds rise
      return static_cast<std::int64_t>((static_cast<double>(cut.threshold) - low) * scale);
    };
    std::vector<std::int32_t> begin(static_cast<std::size_t>(n) + 2, 0);
    for (const Placed& cut : cuts) ++begin[part(cut) + 2];
    for (std::size_t i = 2; i < begin.size(); ++i) begin[i] += begin[i - 1];
    spread.resize(cuts.size());
    for (const Placed& cut : cuts) spread[begin[part(cut) + 1]++] = cut;
    for (std::int64_t i = 0; i < n; ++i) {
      if (begin[i + 1] - begin[i] > 1) std::sort(spread.begin() + begin[i], spread.begin() + begin[i + 1]);
    }
    cuts.swap(spread);
  }

  // Neighbouring trees share bytes as long as those can count their cuts.
  void make_groups() {
    std::vector<std::int32_t> held(features_.size(), 0);
    std::int64_t first = 0;
    for (std::int64_t t = 0; t <= size(); ++t) {
      bool full = t == size();
      for (std::size_t i = 0; !full && i < trees_[t].ranked.size(); ++i) {
        full = ++held[trees_[t].ranked[i].feature] > kGroupCuts;
      }
      if (!full) continue;
      if (t > first) make_group(first, t);
      first = t;
      if (t == size()) break;
      std::fill(held.begin(), held.end(), 0);
      for (const RankedCut& cut : trees_[t].ranked) ++held[cut.feature];
    }
  }

  void make_group(std::int64_t first, std::int64_t end) {
    std::vector<std::int32_t> row(features_.size(), -1);
    std::vector<Narrowing> narrowings;
    for (std::int64_t t = first; t < end; ++t) {
      for (const RankedCut& cut : trees_[t].ranked) {
        if (row[cut.feature] < 0) {
          row[cut.feature] = static_cast<std::int32_t>(narrowings.size());
          narrowings.push_back({cut.feature, std::vector<std::uint8_t>(features_[cut.feature].cuts.size() + 1, 0)});
        }
        narrowings[row[cut.feature]].byte[cut.rank + 1] = 1;
      }
    }
    for (Narrowing& narrowing : narrowings) {
      std::uint8_t n = 0;  // in a register, not read back from where it was just written
      for (std::uint8_t& byte : narrowing.byte) byte = n += byte;
    }
    for (std::int64_t t = first; t < end; ++t) {
      trees_[t].group = static_cast<std::int32_t>(groups_.size());
      if (trees_[t].by_masks) make_masks(trees_[t], row, narrowings);
    }
    groups_.push_back(std::move(narrowings));
  }

  static void make_masks(Entry& tree, const std::vector<std::int32_t>& row, const std::vector<Narrowing>& narrowings) {
    tree.masks.begin(static_cast<std::int64_t>(tree.top.ends.size()), static_cast<std::size_t>(tree.n_asked));
    std::int32_t feature = -1;
    for (const RankedCut& at : tree.ranked) {
      if (at.feature != feature) tree.masks.ask(row[feature = at.feature]);
      const TopCut<T>& cut = tree.top.cuts[at.cut];
      tree.masks.cut(narrowings[row[feature]].byte[at.rank], cut.first, cut.middle);
    }
    tree.masks.end();
  }

  // Keep what rows need of a tree, and no more.
  static void settle(Entry& tree) {
    if (tree.by_masks) {
      const bool whole = static_cast<std::int64_t>(tree.top.ends.size()) == tree.walk.n_cuts + 1;
      tree.reached = std::move(tree.top.ends);
      if (whole) {
        for (std::int32_t& end : tree.reached) end = tree.walk.place[end];
        if (counts_up(tree.reached)) tree.reached = {};
        tree.walk = {};
      }
    }
    tree.walk.mass = {};
    tree.top = {};
    tree.ranked = {};
  }

  static bool counts_up(const std::vector<std::int32_t>& numbers) {
    std::int32_t n = 0;
    return std::all_of(numbers.begin(), numbers.end(), [&](std::int32_t number) { return number == n++; });
  }

  std::int64_t n_features_;
  std::vector<Entry> trees_;
  std::vector<std::int32_t> slot_;  // by feature: its place among the ranked
  std::vector<Feature> features_;
  std::vector<std::vector<Narrowing>> groups_;
};

// How many of n cuts, rising, each of the values exceeds. Eight rows go side by side, without a branch.
template <class T>
NK_INLINE void rank_rows(const std::vector<T>& cuts, const T* x, std::int64_t n, std::int64_t stride,
                         std::uint16_t* rank) {
  constexpr int kRows = 8;
  const T* const all = cuts.data();
  for (std::int64_t i = 0; i < n; i += kRows) {
    T value[kRows];
    std::int32_t at[kRows] = {};
    for (int r = 0; r < kRows; ++r) value[r] = x[std::min(i + r, n - 1) * stride];
    for (auto left = static_cast<std::int32_t>(cuts.size()); left > 1;) {
      const std::int32_t half = left / 2;
      for (int r = 0; r < kRows; ++r) at[r] += half & -static_cast<std::int32_t>(all[at[r] + half - 1] < value[r]);
      left -= half;
    }
    for (int r = 0; r < kRows; ++r) {
      rank[i + r] = static_cast<std::uint16_t>(at[r] + (all[at[r]] < value[r]));
    }
  }
}

// Rows on their way down the trees of a batch; one thread's.
template <class T>
class RowBatch {
 public:
  // Look at n rows of x (n, stride), n >= 1, none of which lacks values.
  void load(const TreeBatch<T>& trees, const T* x, std::int64_t n, std::int64_t stride) {
    trees_ = &trees;
    x_ = x, n_ = n, stride_ = stride;
    pitch_ = (n + 7) / 8 * 8;
    group_ = -1;
    keys_.clear();
    end_.resize(static_cast<std::size_t>(pitch_));
    rank_.resize(trees.features().size() * static_cast<std::size_t>(pitch_));
    std::uint16_t* rank = rank_.data();
    for (const auto& feature : trees.features()) {
      rank_rows(feature.cuts, x + feature.number, n, stride, rank);
      rank += pitch_;
    }
  }

  // The places where all rows end in tree k, which is not empty.
  NK_INLINE const std::int32_t* find(std::int64_t k) {
    const TreeBatch<T>& trees = *trees_;
    std::int32_t* const end = end_.data();
    if (!trees.by_masks(k)) {
      std::fill(end_.begin(), end_.end(), 0);
      walk(trees.walk(k), end);
      return end;
    }
    if (trees.group(k) != group_) narrow(trees.group(k));
    trees.masks(k).find(bytes_.data(), pitch_, n_, end);
    const std::vector<std::int32_t>& reached = trees.reached(k);
    for (std::int64_t i = 0; i < n_ && !reached.empty(); ++i) end[i] = reached[end[i]];
    if (trees.walks_on(k)) walk_on(trees.walk(k), x_, n_, stride_, end);
    return end;
  }

 private:
  // Keys are found once, for all trees.
  NK_INLINE void walk(const WalkTree<T>& tree, std::int32_t* end) {
    if (!tree.kinds.any()) return walk_on(tree, x_, n_, stride_, end);
    if (keys_.empty()) find_keys(tree.kinds, x_, n_, stride_, trees_->n_features(), keys_);
    walk_on_keys(tree, keys_.data(), n_, stride_, end);
  }
  void narrow(std::int32_t group) {
    group_ = group;
    const auto& narrowings = trees_->narrowings(group);
    bytes_.resize(narrowings.size() * static_cast<std::size_t>(pitch_));
    std::uint8_t* to = bytes_.data();
    for (const auto& narrowing : narrowings) {
      const std::uint16_t* rank = rank_.data() + narrowing.feature * pitch_;
      const std::uint8_t* byte = narrowing.byte.data();
      for (std::int64_t i = 0; i < pitch_; ++i) *to++ = byte[rank[i]];
    }
  }

  const TreeBatch<T>* trees_ = nullptr;
  const T* x_ = nullptr;
  std::int64_t n_ = 0, stride_ = 0, pitch_ = 0;
  std::int32_t group_ = -1;
  std::vector<std::uint16_t> rank_;  // (ranked features, pitch)
  std::vector<std::uint8_t> bytes_;  // (features of the group, pitch)
  std::vector<std::int32_t> end_;
  std::vector<WordBits<T>> keys_;  // (n, stride), where features are nominal
};

}  // namespace imondrian::NK_ISA

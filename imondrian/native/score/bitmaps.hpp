// Where many rows end in a tree of few ends, without a walk: each cut rules ends out, the first that is left is it.
//
// Ends are numbered from left to right. A row above a cut's threshold is in no end left of that cut; of all ends that
// no cut rules out, the first is where a walk would end (QuickScorer: Lucchese et al., SIGIR 2015). Which ends the cuts
// of one feature rule out depends on how many of them the row's value exceeds, so their masks are made beforehand: one
// AND for each feature that the tree cuts, no branch, no gather, and tables that stay in the first cache.
//
// That number is found once a row and feature, among all cuts of a batch of trees: a rank, exact however close cuts
// are. Groups of trees with at most kGroupCuts cuts of a feature narrow it to a byte, each tree by one more table to
// its own.
#pragma once

#include <algorithm>
#include <cstdint>
#include <queue>
#include <vector>

#include "nativekit/bits.hpp"
#include "score/walk_tree.hpp"

namespace imondrian::NK_ISA {

constexpr std::int32_t kMostEnds = 256;   // bits of a mask
constexpr std::int32_t kGroupCuts = 255;  // of a feature in a group of trees: what a byte can count

// A cut near the root. A row above it is in none of the ends [first, middle).
template <class T>
struct TopCut {
  T threshold;
  std::int32_t feature;
  std::int16_t first, middle;
};

template <class T>
struct TreeTop {
  std::vector<TopCut<T>> cuts;
  std::vector<std::int32_t> ends;  // nodes, from left to right
};

// The cuts that most rows meet: the heaviest, each below another of them. All, if there are few.
template <class T>
std::vector<char> choose_cuts(const WalkTree<T>& tree) {
  std::vector<char> chosen(tree.nodes.size(), tree.n_cuts < kMostEnds);
  if (tree.n_cuts < kMostEnds) return chosen;
  const auto lighter = [&](std::int32_t a, std::int32_t b) {
    return tree.mass[a] != tree.mass[b] ? tree.mass[a] < tree.mass[b] : a > b;
  };
  std::priority_queue<std::int32_t, std::vector<std::int32_t>, decltype(lighter)> open(lighter);
  open.push(0);
  for (int n = 1; n < kMostEnds; ++n) {
    const std::int32_t at = open.top();
    open.pop();
    chosen[at] = 1;
    for (int side = 0; side < 2; ++side) {
      const std::int32_t to = tree.nodes[at].left + side;
      if (!tree.is_end(to)) open.push(to);
    }
  }
  return chosen;
}

template <class T>
TreeTop<T> take_top(const WalkTree<T>& tree) {
  struct Task {
    std::int32_t at, left_of;  // the cut whose left side ends here, or kNobody
  };
  const std::vector<char> chosen = choose_cuts(tree);
  TreeTop<T> top;
  top.cuts.reserve(static_cast<std::size_t>(std::min(tree.n_cuts, kMostEnds)));
  top.ends.reserve(top.cuts.capacity() + 1);
  std::vector<Task> stack{{0, kNobody}};
  while (!stack.empty()) {
    const Task task = stack.back();
    stack.pop_back();
    const auto n_ends = static_cast<std::int16_t>(top.ends.size());
    if (task.left_of >= 0) top.cuts[task.left_of].middle = n_ends;
    const WalkNode<T>& node = tree.nodes[task.at];
    if (tree.is_end(task.at) || !chosen[task.at]) {
      top.ends.push_back(task.at);
      continue;
    }
    stack.push_back({node.left + 1, static_cast<std::int32_t>(top.cuts.size())});
    stack.push_back({node.left, kNobody});
    top.cuts.push_back({node.threshold, node.feature, n_ends, n_ends});
  }
  return top;
}

// How many features a tree's top cuts: `most` + 1 if more than `most`.
template <class T>
int count_features(const TreeTop<T>& top, std::int64_t n_features, int most) {
  std::vector<char> seen(static_cast<std::size_t>(n_features), 0);
  int n = 0;
  for (const TopCut<T>& cut : top.cuts) {
    n += !seen[cut.feature];
    seen[cut.feature] = 1;
    if (n > most) break;
  }
  return n;
}

// The masks of one tree.
class TreeMasks {
 public:
  // Begin with the ends that the tree's top has; cuts follow feature by feature.
  void begin(std::int64_t n_ends, std::size_t n_features) {
    n_words_ = n_ends <= 64 ? 1 : n_ends <= 128 ? 2 : 4;
    const std::size_t most = static_cast<std::size_t>(n_ends) - 1 + n_features;
    asked_.reserve(n_features);
    nth_.resize(kBytes * n_features);
    lines_.resize((most * n_words_ + 3) / 4);
  }
  // Begin a feature: whose bytes lie in that row of the group's.
  void ask(std::int32_t row) {
    end_feature();
    asked_.push_back({row, n_masks_});
    filled_ = 0;
    own_ = 0;
    std::fill_n(mask(n_masks_++), n_words_, ~std::uint64_t{0});
  }
  // The feature's next cut by rising threshold, exceeded where the byte is above `byte`; it rules out [first, middle).
  void cut(std::int32_t byte, std::int32_t first, std::int32_t middle) {
    if (own_ == 0 || byte != last_) {
      fill_up_to(byte);
      std::copy_n(mask(n_masks_ - 1), n_words_, mask(n_masks_));
      ++n_masks_;
      ++own_;
      last_ = byte;
    }
    clear(mask(n_masks_ - 1), first, middle);
  }
  void end() { end_feature(); }

  // The numbers of the ends of n rows; bytes (rows, pitch) are the group's. Writes up to the next multiple of 8.
  NK_INLINE void find(const std::uint8_t* bytes, std::int64_t pitch, std::int64_t n, std::int32_t* end) const {
    if (asked_.empty()) {
      std::fill(end, end + n, 0);
      return;
    }
    switch (n_words_) {
      case 1:
        return intersect<1>(bytes, pitch, n, end);
      case 2:
        return intersect<2>(bytes, pitch, n, end);
      default:
        return intersect<4>(bytes, pitch, n, end);
    }
  }

 private:
  static constexpr std::int32_t kBytes = 256;
  struct Asked {
    std::int32_t row, masks;
  };
  struct alignas(32) Line {
    std::uint64_t word[4];
  };

  std::uint64_t* mask(std::int64_t k) { return lines_.data()->word + k * n_words_; }
  void fill_up_to(std::int32_t byte) {
    std::uint8_t* const nth = nth_.data() + kBytes * (asked_.size() - 1);
    std::fill(nth + filled_, nth + byte + 1, static_cast<std::uint8_t>(own_));
    filled_ = byte + 1;
  }
  void end_feature() {
    if (!asked_.empty()) fill_up_to(kBytes - 1);
  }
  static void clear(std::uint64_t* mask, std::int32_t first, std::int32_t end) {
    while (first < end) {
      const std::int32_t n = std::min(end - first, 64 - first % 64);
      mask[first / 64] &= ~((~std::uint64_t{0} >> (64 - n)) << first % 64);
      first += n;
    }
  }

  template <int kWords>
  NK_INLINE void intersect(const std::uint8_t* bytes, std::int64_t pitch, std::int64_t n, std::int32_t* end) const {
    using Set = nativekit::NK_ISA::BitSet<kWords>;
    constexpr int kRows = Set::kParts == 1 ? 8 : 4;  // as many as registers hold
    const std::uint64_t* masks = lines_.data()->word;
    const std::uint8_t* nth = nth_.data();
    const Asked* asked = asked_.data();
    const std::size_t n_asked = asked_.size();
    for (std::int64_t i = 0; i < n; i += kRows) {
      Set left[kRows];
      const auto look_up = [&](std::size_t k, const auto& take) {
        const std::uint8_t* const byte = bytes + asked[k].row * pitch + i;
        const std::uint8_t* const own = nth + k * kBytes;
        const std::uint64_t* const own_masks = masks + kWords * std::int64_t{asked[k].masks};
        for (int r = 0; r < kRows; ++r) take(r, Set::load(own_masks + kWords * std::size_t{own[byte[r]]}));
      };
      look_up(0, [&](int r, const Set& set) { left[r] = set; });
      for (std::size_t k = 1; k < n_asked; ++k) {
        look_up(k, [&](int r, const Set& set) { left[r] = left[r] & set; });
      }
      for (int r = 0; r < kRows; ++r) end[i + r] = left[r].lowest();
    }
  }

  int n_words_ = 1;
  std::int32_t n_masks_ = 0, filled_ = 0, own_ = 0, last_ = 0;
  std::vector<Asked> asked_;       // by feature that the tree cuts
  std::vector<std::uint8_t> nth_;  // (asked, 256): how many of the tree's own cuts a byte exceeds
  std::vector<Line> lines_;        // by feature and that number: the ends that it leaves
};

}  // namespace imondrian::NK_ISA

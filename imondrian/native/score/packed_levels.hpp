// What levels of nominal features cost in the clean boxes of a tree, for many rows (see spacing.hpp).
//
// A feature with few levels in all trees has a code for each of them, found once a row; where there are many, each tree
// looks its own levels up. Every clean box has the sets of those that are clean in it, and cost nothing.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "score/sight.hpp"

namespace imondrian::NK_ISA {

constexpr std::int32_t kMostCodes = 254;  // levels of a feature that has codes

// Words and their numbers, from 0 on.
template <class T>
class WordNumbers {
 public:
  std::int32_t size() const { return n_; }
  // The number of a word, or kNobody.
  NK_INLINE std::int32_t find(T word) const {
    for (std::size_t at = first(word);; at = (at + 1) & mask_) {
      const Entry& entry = entries_[at];
      if (entry.word == word || entry.number == kNobody) return entry.number;
    }
  }
  // The same, which a new word gets now.
  std::int32_t add(T word) {
    for (std::size_t at = first(word);; at = (at + 1) & mask_) {
      Entry& entry = entries_[at];
      if (entry.number == kNobody) {
        entry = {word, n_++};
        const std::int32_t number = entry.number;
        if (2 * static_cast<std::size_t>(n_) > mask_) grow();
        return number;
      }
      if (entry.word == word) return entry.number;
    }
  }

 private:
  struct Entry {
    T word;
    std::int32_t number;
  };
  // Words are hashes: their bits spread them.
  std::size_t first(T word) const { return static_cast<std::size_t>(word_of(word) >> 2) & mask_; }
  void grow() {
    std::vector<Entry> old(4 * (mask_ + 1), Entry{T(0), kNobody});
    old.swap(entries_);
    mask_ = entries_.size() - 1;
    for (const Entry& entry : old) {
      if (entry.number == kNobody) continue;
      std::size_t at = first(entry.word);
      while (entries_[at].number != kNobody) at = (at + 1) & mask_;
      entries_[at] = entry;
    }
  }

  std::vector<Entry> entries_ = std::vector<Entry>(16, Entry{T(0), kNobody});
  std::size_t mask_ = 15;
  std::int32_t n_ = 0;
};

// The codes of the levels that a forest's stored points have.
template <class T>
class LevelCodes {
 public:
  explicit LevelCodes(const ForestView& forest) : n_(forest.n_nominal) {
    if (n_ == 0) return;
    numbers_.resize(static_cast<std::size_t>(n_));
    const Kinds<T> kinds = Tree<T>(forest, 0).kinds;
    feature_.assign(kinds.which, kinds.which + n_);
    const T* const points = static_cast<const T*>(forest.points);
    nativekit::Paced pace(1 << 18);
    for (std::int64_t row = 0; row < forest.n_rows; ++row) {
      pace.did(n_);
      for (std::int64_t k = 0; k < n_; ++k) {
        const T word = points[row * forest.width + feature_[k]];
        if (word == word && has_codes(k)) numbers_[k].add(word);
      }
    }
  }

  std::int64_t n() const { return n_; }
  bool has_codes(std::int64_t k) const { return numbers_[k].size() <= kMostCodes; }
  // How many codes: of the levels, then that of any other, and of none.
  std::int32_t size(std::int64_t k) const { return numbers_[k].size() + 2; }
  std::int32_t code(std::int64_t k, T word) const {
    if (word != word) return numbers_[k].size() + 1;
    const std::int32_t number = numbers_[k].find(word);
    return number == kNobody ? numbers_[k].size() : number;
  }
  // Room that what a tree knows of levels takes, if a quarter of its leaves are clean boxes.
  std::int64_t bytes(std::int64_t capacity) const {
    std::int64_t total = 0;
    for (std::int64_t k = 0; k < n_; ++k) {
      const std::int64_t levels = has_codes(k) ? size(k) : capacity;
      total += (has_codes(k) ? 8 : 48) * levels + capacity / 4 * (levels / 8 + 8);
    }
    return total;
  }
  // The codes of padded rows (n, width), (n, n()); 0 where there are none.
  void find(const T* x, std::int64_t n, std::int64_t width, std::vector<std::int32_t>& codes) const {
    codes.resize(static_cast<std::size_t>(n * n_));
    for (std::int64_t i = 0; i < n; ++i) {
      for (std::int64_t k = 0; k < n_; ++k) codes[i * n_ + k] = has_codes(k) ? code(k, x[i * width + feature_[k]]) : 0;
    }
  }

 private:
  std::int64_t n_;
  std::vector<std::int32_t> feature_;
  std::vector<WordNumbers<T>> numbers_;
};

// What one tree makes of them, by end.
template <class T>
class PackedLevels {
 public:
  bool any() const { return !few_.empty() || !many_.empty(); }
  std::size_t n_many() const { return many_.size(); }

  // `boxes`: where walks end.
  void pack(const Tree<T>& tree, const SeenNominal& nominal, const LevelCodes<T>& codes,
            const std::vector<std::int32_t>& boxes) {
    for (std::int32_t k = 0; k < nominal.n; ++k) {
      const std::int32_t table = nominal.table[k], feature = nominal.feature[k];
      if (codes.has_codes(table)) {
        few_.push_back({table, feature, static_cast<std::int32_t>(cost_.size()), static_cast<std::int32_t>(words_),
                        static_cast<std::int32_t>(many_.size())});
        words_ += static_cast<std::size_t>(codes.size(table) + 63) / 64;
        add_costs(tree, feature, table, codes, cost_);
      } else {
        many_.emplace_back().begin(tree, feature, boxes.size());
        note_unseen(tree);
      }
    }
    held_.resize(boxes.size() * words_);
    for (std::size_t end = 0; end < boxes.size(); ++end) {
      std::uint64_t* const own = held_.data() + end * words_;
      for_each_leaf(tree, boxes[end], [&](std::int32_t leaf) {
        if (!(tree.leaf_clean[leaf] > 0.0)) return;
        const T* const point = tree.lower_of(~leaf);
        for (const Few& each : few_) {
          const std::int32_t code = codes.code(each.table, point[each.feature]);
          own[each.word + code / 64] |= std::uint64_t{1} << code % 64;
        }
        for (Many& each : many_) each.note(end, point[each.feature]);
      });
    }
  }

  // An extent, and what a row with those codes pays at an end: feature by feature in their order, as Sight adds them,
  // so that many rows and few score the same to the last bit. `many`: of find_many, for this row.
  NK_INLINE double added_to(double extent, const std::int32_t* codes, std::int32_t end, const double* many) const {
    const std::uint64_t* const own = held_.data() + static_cast<std::size_t>(end) * words_;
    std::int32_t done = 0;
    for (const Few& each : few_) {
      for (; done < each.many_before; ++done) extent += many[done];
      const std::uint32_t code = static_cast<std::uint32_t>(codes[each.table]);
      const std::uint64_t strange = ((own[each.word + code / 64] >> code % 64) & 1) - 1;  // all bits, or none
      extent += real_of<double>(word_of(cost_[each.first + code]) & strange);
    }
    for (; done < static_cast<std::int32_t>(many_.size()); ++done) extent += many[done];
    return extent;
  }
  // What rows (n, width) pay at their ends for the others, (n, n_many()): a feature at a time, whose tables stay near
  // by.
  void find_many(const T* rows, std::int64_t n, std::int64_t width, const std::int32_t* end, double* costs) const {
    const std::int64_t n_many = static_cast<std::int64_t>(many_.size());
    for (const Unseen& each : unseen_) {
      for (std::int64_t i = 0; i < n; ++i) {
        const T word = rows[i * width + each.feature];
        costs[i * n_many + each.number] = may_be(each, word) ? many_[each.number].cost_of(end[i], word) : each.cost;
      }
    }
  }

 private:
  struct Few {
    std::int32_t table, feature, first, word;  // of its costs, and of its set
    std::int32_t many_before;                  // features without codes that come before it
  };
  struct Many {
    std::int32_t feature;
    WordNumbers<T> numbers;
    std::vector<double> cost;         // by number, then that of any other level
    std::size_t words;                // of a set
    std::vector<std::uint64_t> held;  // (ends, words)

    void begin(const Tree<T>& tree, std::int32_t j, std::size_t n_ends) {
      feature = j;
      double total = 0.0;
      for_each_leaf(tree, tree.root(), [&](std::int32_t leaf) {
        const T word = tree.lower_of(~leaf)[j];
        if (word != word) return;
        const std::size_t number = static_cast<std::size_t>(numbers.add(word));
        if (number == cost.size()) cost.push_back(0.0);
        cost[number] += tree.leaf_mass[leaf], total += tree.leaf_mass[leaf];
      });
      cost.push_back(0.0);
      double mass = -1.0, same = 0.0;  // most levels are as rare as the one before
      for (double& each : cost) {
        if (each != mass) mass = each, same = level_cost(tree, j, mass, total);
        each = same;
      }
      words = (cost.size() + 63) / 64;
      held.resize(n_ends * words);
    }
    void note(std::size_t end, T word) {
      if (word != word) return;
      const std::int32_t number = numbers.find(word);
      held[end * words + number / 64] |= std::uint64_t{1} << number % 64;
    }
    NK_INLINE double cost_of(std::int32_t end, T word) const {
      if (word != word) return 0.0;
      const std::int32_t found = numbers.find(word);
      const std::size_t number = found == kNobody ? cost.size() - 1 : static_cast<std::size_t>(found);
      const std::uint64_t set = held[static_cast<std::size_t>(end) * words + number / 64];
      return ((set >> number % 64) & 1) != 0 ? 0.0 : cost[number];
    }
  };

  // What levels cost that the tree has not, and where to look before: of many, most are such.
  struct Unseen {
    double cost;
    std::int32_t feature, number;  // of all, and among many_
    std::size_t first;             // of its words in like_
  };
  static constexpr std::size_t kLike = 64;
  // Whether the tree may have a word, or it is missing: a bit for all words like it.
  NK_INLINE bool may_be(const Unseen& each, T word) const {
    const WordBits<T> bits = word_of(word);
    return ((like_[each.first + (bits >> 6 & (kLike - 1))] >> (bits >> 12 & 63)) & 1) | (word != word);
  }
  void note_unseen(const Tree<T>& tree) {
    const Many& many = many_.back();
    unseen_.push_back({many.cost.back(), many.feature, static_cast<std::int32_t>(many_.size()) - 1, like_.size()});
    like_.resize(like_.size() + kLike);
    for_each_leaf(tree, tree.root(), [&](std::int32_t leaf) {
      const WordBits<T> bits = word_of(tree.lower_of(~leaf)[many.feature]);
      like_[unseen_.back().first + (bits >> 6 & (kLike - 1))] |= std::uint64_t{1} << (bits >> 12 & 63);
    });
  }

  static void add_costs(const Tree<T>& tree, std::int32_t j, std::int32_t table, const LevelCodes<T>& codes,
                        std::vector<double>& cost) {
    const std::size_t first = cost.size(), n = static_cast<std::size_t>(codes.size(table));
    cost.resize(first + n, 0.0);
    double total = 0.0;
    for_each_leaf(tree, tree.root(), [&](std::int32_t leaf) {
      const T word = tree.lower_of(~leaf)[j];
      if (word != word) return;
      cost[first + codes.code(table, word)] += tree.leaf_mass[leaf], total += tree.leaf_mass[leaf];
    });
    for (std::size_t i = first; i + 1 < first + n; ++i) cost[i] = level_cost(tree, j, cost[i], total);
  }

  std::vector<Few> few_;
  std::vector<Many> many_;
  std::vector<Unseen> unseen_;       // of many_
  std::vector<std::uint64_t> like_;  // (many, kLike)
  std::size_t words_ = 0;
  std::vector<double> cost_;         // by code, of all of few_
  std::vector<std::uint64_t> held_;  // (ends, words)
};

}  // namespace imondrian::NK_ISA

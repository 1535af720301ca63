// How many of a tree's points have each level of its nominal features.
//
// One table for each of them, open to every level that the tree holds: a tag of 32 bits stands for a word (two levels
// share one with chance 2^-32). Masses are whole numbers of kShare, so that sums do not depend on what came first, and
// a table that was kept up is the one that would be made anew.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "base/view.hpp"
#include "nativekit/simd.hpp"

namespace imondrian::NK_ISA {

// What a level that is strange to a box costs, by its rarity. More finds more anomalies of levels, less more of numbers
// beside columns that say nothing (bench/quality_forest.py, "planted").
constexpr double kLevelCost = 1.5;
constexpr double kShare = 0x1.0p-20, kMostMass = 0x1.0p42;

template <class T>
class LevelTable {
 public:
  // Of the k-th nominal feature.
  LevelTable(const Tree<T>& tree, std::int64_t k)
      : tree_(tree), feature_(tree.kinds.which[k]), slots_(level_slots(tree.capacity)),
        head_(tree.levels + k * level_words(tree.capacity)), mass_(head_ + kLevelHead),
        tag_(reinterpret_cast<std::uint32_t*>(mass_ + slots_)) {}

  double total() const { return static_cast<double>(head_[kTotal]) * kShare; }
  double find(T word) const { return static_cast<double>(mass_[slot_of(tag_of(word))]) * kShare; }
  std::int64_t slot_of_word(T word) const { return slot_of(tag_of(word)); }
  std::int64_t slots() const { return slots_; }
  // Of a slot; 0 where none of its level is left.
  double mass_in(std::int64_t slot) const { return static_cast<double>(mass_[slot]) * kShare; }

  void add(T word, double mass) { put(word, fixed(mass)); }
  void take(T word, double mass) { put(word, -fixed(mass)); }

  void count() {
    std::memset(head_, 0, static_cast<std::size_t>(level_words(tree_.capacity)) * sizeof *head_);
    for (std::int32_t s = 0; s < tree_.header[kLeafMark]; ++s) {
      if (tree_.leaf_point[s] == kFree) continue;
      const T word = tree_.points[std::int64_t{tree_.leaf_point[s]} * tree_.width + feature_];
      if (word == word) add(word, tree_.leaf_mass[s]);
    }
  }

 private:
  enum Head : int { kTotal, kUsed };

  static std::int64_t fixed(double mass) {
    return static_cast<std::int64_t>(std::nearbyint(std::min(mass, kMostMass) / kShare));
  }
  static std::uint32_t tag_of(T word) {
    const std::uint64_t bits = word_of(word);
    return static_cast<std::uint32_t>(bits ^ (bits >> 32)) | 1u;  // 0: nobody's
  }
  // Where a tag is, or would be: there is always an empty slot.
  std::int64_t slot_of(std::uint32_t tag) const {
    const std::uint32_t spread = tag * 0x9E3779B1u;
    std::int64_t at = static_cast<std::int64_t>((std::uint64_t{spread} * static_cast<std::uint64_t>(slots_)) >> 32);
    while (tag_[at] != tag && tag_[at] != 0) at = at + 1 < slots_ ? at + 1 : 0;
    return at;
  }
  void put(T word, std::int64_t mass) {
    const std::uint32_t tag = tag_of(word);
    std::int64_t at = slot_of(tag);
    if (tag_[at] == 0) {
      tag_[at] = tag;
      ++head_[kUsed];
    }
    mass_[at] += mass;
    head_[kTotal] += mass;
    if (head_[kUsed] >= slots_ - slots_ / 16 - 1) drop_empty();
  }
  // Levels that are gone keep their slots until few are left: then all that there are find new ones, in place.
  void drop_empty() {
    std::int64_t from = 0;
    while (tag_[from] != 0) ++from;
    head_[kUsed] = 0;
    for (std::int64_t i = 1; i <= slots_; ++i) {  // from behind a gap on, each moves back, if at all
      const std::int64_t at = (from + i) % slots_;
      const std::uint32_t tag = tag_[at];
      const std::int64_t mass = mass_[at];
      tag_[at] = 0, mass_[at] = 0;
      if (tag == 0 || mass == 0) continue;
      const std::int64_t to = slot_of(tag);
      tag_[to] = tag, mass_[to] = mass;
      ++head_[kUsed];
    }
  }

  const Tree<T>& tree_;
  std::int64_t feature_, slots_;
  std::int64_t *head_, *mass_;
  std::uint32_t* tag_;
};

// Count the levels of all nominal features anew, where tables are kept.
template <class T>
void count_all_levels(const Tree<T>& tree) {
  for (std::int64_t k = 0; tree.levels && k < tree.kinds.n; ++k) LevelTable<T>(tree, k).count();
}

// Add `mass` (taken away where `sign` is -1) of a stored point's levels.
template <class T>
void add_levels(const Tree<T>& tree, const T* point, double mass, int sign) {
  for (std::int64_t k = 0; tree.levels && k < tree.kinds.n; ++k) {
    const T word = point[tree.kinds.which[k]];
    if (word != word) continue;
    LevelTable<T> table(tree, k);
    sign > 0 ? table.add(word, mass) : table.take(word, mass);
  }
}

// A logarithm; of halves up to some hundreds, which most masses are, from a table.
inline double log_of(double value) {
  constexpr int kHalves = 1024;
  static const auto* const known = [] {
    static double logs[kHalves];
    for (int k = 1; k < kHalves; ++k) logs[k] = std::log(0.5 * k);
    return &logs;
  }();
  const double halves = 2.0 * value;
  const int k = halves < kHalves ? static_cast<int>(halves) : 0;
  return k > 0 && k == halves ? (*known)[k] : std::log(value);
}

// What a level that nothing clean near by has adds to an extent, in a tree where points of mass `total` have levels,
// `held` of them this one: the rarer, the more; but no less than if it were usual, given how many levels there are.
template <class T>
double level_cost(const Tree<T>& tree, std::int64_t j, double held, double total) {
  const double rarity = log_of(std::max(total, 0.0) + 1.0) - log_of(std::max(held, 0.0) + 0.5) - tree.entropy[j];
  return tree.kinds.weight[j] * kLevelCost * std::max(3.0 * tree.level_root[j], rarity);
}

}  // namespace imondrian::NK_ISA

// What a tree sees of rows and boxes, and how far they are apart there (see spacing.hpp).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>
#include <vector>

#include "nativekit/interrupt.hpp"
#include "score/depth_score.hpp"
#include "score/seen_nominal.hpp"
#include "shared/clean.hpp"
#include "tree/box.hpp"
#include "tree/feature_subset.hpp"

namespace imondrian::NK_ISA {

using imondrian::clean_needed;

constexpr double kFar = std::numeric_limits<double>::infinity();  // no point to measure a distance to

template <class T>
NK_INLINE double clean_needed(const Tree<T>& tree) {
  return clean_needed(tree.clean_of(tree.root()));
}

// How many values of x differ from what all values of their feature are, in a tree where it has rate 0 (I10).
template <class T>
NK_INLINE std::int64_t odd_constants(const T* x, const T* lo, const T* rate, std::int64_t width) {
  std::int64_t n = 0;
  for (std::int64_t j = 0; j < width; ++j) n += (rate[j] == T(0)) & ((x[j] < lo[j]) | (x[j] > lo[j]));
  return n;
}

// The extent of the box [lo, hi] stretched to x. Missing values stretch nothing.
template <class T>
NK_INLINE double stretched_sum(const T* x, const T* lo, const T* hi, const T* rate, std::int64_t width) {
  using P = Pack<T>;
  P sum = P::zero();
  for (std::int64_t j = 0; j < width; j += P::kLanes) {
    const P at = P::load(x + j);
    const P side = larger(at, P::load(hi + j)) - smaller(at, P::load(lo + j));
    sum = sum + larger(side, P::zero()) * P::load(rate + j);
  }
  double extent = static_cast<double>(sum.sum());
  if (!(extent <= Plain<T>::kMost)) extent = wide_sum(Stretched<T>{x, lo, hi, rate}, width);
  return extent;
}

// kFloor + this. `constant`: whether some rate is 0.
template <class T>
NK_INLINE double stretched_extent(const T* x, const T* lo, const T* hi, const T* rate, std::int64_t width,
                                  bool constant) {
  const double extent = stretched_sum(x, lo, hi, rate, width);
  return floored_extent(extent, constant ? static_cast<double>(odd_constants(x, lo, rate, width)) : 0.0);
}

// A product of positive numbers up to kMost whose logarithm is wanted: one logarithm for all of them.
class LogSum {
 public:
  NK_INLINE void add_log_of(double value) {
    mantissa_ *= value;
    std::uint64_t bits;
    std::memcpy(&bits, &mantissa_, sizeof bits);
    exponent_ += static_cast<std::int64_t>(bits >> 52) - kBias;
    bits = (bits & kFraction) | (static_cast<std::uint64_t>(kBias) << 52);
    std::memcpy(&mantissa_, &bits, sizeof bits);
  }
  double sum() const { return std::log(mantissa_) + static_cast<double>(exponent_) * 0.693147180559945309417; }

 private:
  static constexpr std::int64_t kBias = 1023;
  static constexpr std::uint64_t kFraction = (std::uint64_t{1} << 52) - 1;
  double mantissa_ = 1.0;  // in [1, 2)
  std::int64_t exponent_ = 0;
};

// The smallest box above a leaf (~slot), or the leaf, that holds enough clean mass: the root if there is none.
// Found from below, where few are passed; clean mass never grows on the way down (I12).
template <class T>
NK_INLINE std::int32_t clean_box(const Tree<T>& tree, std::int32_t leaf) {
  const double needed = clean_needed(tree);
  std::int32_t up = tree.leaf_parent[~leaf];
  if (tree.leaf_clean[~leaf] >= needed || up == kNobody) return leaf;
  while (tree.clean[up] < needed && tree.parent[up] != kNobody) up = tree.parent[up];
  return up;
}

// How many of n values two points both have.
template <class T>
NK_INLINE std::int64_t count_shared(const T* a, const T* b, std::int64_t n) {
  std::int64_t shared = 0;
  for (std::int64_t j = 0; j < n; ++j) shared += (a[j] == a[j]) & (b[j] == b[j]);
  return shared;
}

// Whether two rows are one in all n values, missing ones included.
template <class T>
NK_INLINE bool same_row(const T* a, const T* b, std::int64_t n) {
  constexpr std::int64_t kAtOnce = 64;  // without a branch; rows that differ mostly do early
  bool same = true;
  for (std::int64_t begin = 0; begin < n && same; begin += kAtOnce) {
    const std::int64_t end = std::min(begin + kAtOnce, n);
    for (std::int64_t j = begin; j < end; ++j) same &= (a[j] == b[j]) | ((a[j] != a[j]) & (b[j] != b[j]));
  }
  return same;
}

// Room for a box that no tree stores, and for clean points as a tree sees them.
template <class T>
struct BoxScratch {
  std::vector<T> lower, upper, nothing, seen;
  std::vector<std::int32_t> clean;

  // A row without any value.
  const T* no_values(std::int64_t width) {
    nothing.resize(static_cast<std::size_t>(width), std::numeric_limits<T>::quiet_NaN());
    return nothing.data();
  }
};

// What one tree sees of rows and boxes: all of them as they are, or the features of its bag, gathered.
template <class T>
class Sight {
 public:
  void look_at(const Tree<T>& tree) {
    few_ = NK_ISA::sees_few(tree);
    bag_ = tree.bag;
    near_ = tree.near;
    n_seen_ = NK_ISA::n_seen(tree);
    width_ = few_ ? (n_seen_ + kBagPack - 1) / kBagPack * kBagPack : tree.width;
    if (few_) gather_bag(tree.bag, n_seen_, tree.rate, T(0), rate_own_);
    rate_ = tree.rate;
    nominal_.look_at(tree, few_ ? tree.bag : nullptr, n_seen_);
    std::int64_t constants = 0;
    for (std::int64_t j = 0; j < n_seen_; ++j) constants += rate()[j] == T(0);
    constant_ = constants > nominal_.n;  // nominal features have no rate of numbers
  }
  const SeenNominal& nominal() const { return nominal_; }
  bool sees_few() const { return few_; }
  bool has_constants() const { return constant_; }
  // Ask for the box of v before it is needed.
  NK_INLINE void prefetch(const Tree<T>& tree, std::int32_t v) const {
    if (tree.lower && v >= 0) prefetch_box(tree, v);
  }
  std::int64_t width() const { return width_; }
  std::int64_t n_seen() const { return n_seen_; }
  double near() const { return near_; }
  const T* rate() const { return few_ ? rate_own_ : rate_; }
  NK_INLINE const T* row(const T* x, T* own) const {
    if (!few_) return x;
    gather_bag(bag_, n_seen_, x, kMissing, own);
    return own;
  }
  // The box of v: from the tree's own where it keeps them, else (and for a bag) written to lo and hi.
  NK_INLINE void box(const Tree<T>& tree, std::int32_t v, T* lo, T* hi) const {
    if (tree.lower || v < 0) {
      see(tree.lower_of(v), lo);
      see(tree.upper_of(v), hi);
      return;
    }
    for (std::int64_t j = 0; j < width_; ++j) lo[j] = hi[j] = kMissing;
    for_each_leaf(tree, v, [&](std::int32_t leaf) {
      T own[kMostSeen];
      grow_box(lo, hi, row(tree.lower_of(~leaf), own), width_);
    });
  }
  // kFloor + the extent of the box of v as the tree sees it, stretched to the padded row x.
  NK_INLINE double extent_in(const Tree<T>& tree, std::int32_t v, const T* lo, const T* hi, const T* x,
                             Held held = {}) const {
    T seen[kMostSeen];
    const double extent = stretched(row(x, seen), lo, hi);
    return nominal_.n == 0 ? extent : with_levels(tree, v, x, extent, held);
  }
  // kFloor + the extent of the box of v stretched to the padded row x.
  NK_INLINE double extent(const Tree<T>& tree, std::int32_t v, const T* x, BoxScratch<T>& scratch,
                          Held held = {}) const {
    const double extent = numbers_extent(tree, v, x, scratch);
    return nominal_.n == 0 ? extent : with_levels(tree, v, x, extent, held);
  }
  // The same of numbers alone.
  NK_INLINE double numbers_extent(const Tree<T>& tree, std::int32_t v, const T* x, BoxScratch<T>& scratch) const {
    if (few_) {
      T seen[kMostSeen], lo[kMostSeen], hi[kMostSeen];
      box(tree, v, lo, hi);
      return stretched(row(x, seen), lo, hi);
    }
    if (tree.lower || v < 0) return stretched(x, tree.lower_of(v), tree.upper_of(v));
    scratch.lower.resize(static_cast<std::size_t>(width_));
    scratch.upper.resize(static_cast<std::size_t>(width_));
    box(tree, v, scratch.lower.data(), scratch.upper.data());
    return stretched(x, scratch.lower.data(), scratch.upper.data());
  }

  // What x pays for each nominal feature that the tree sees, wherever its level is strange; 0 where it has none.
  void costs_of(const Tree<T>& tree, const T* x, double* costs, double own = 0.0) const {
    for (std::int32_t k = 0; k < nominal_.n; ++k) {
      const T word = x[nominal_.feature[k]];
      costs[k] = word == word ? nominal_.cost(tree, k, word, own) : 0.0;
    }
  }
  // kFloor + the distance of two points as the tree sees them, kFar where they share no value. `costs`: of the first;
  // null where no feature is nominal.
  NK_INLINE double distance(const T* a, const T* b, const double* costs = nullptr) const {
    double away = stretched(a, b, b);
    for (std::int32_t k = 0; costs && k < nominal_.n; ++k) {
      const std::int32_t j = nominal_.place[k];
      away += ((a[j] == a[j]) & (b[j] == b[j]) & (a[j] != b[j])) ? costs[k] : 0.0;
    }
    const std::int64_t shared = count_shared(a, b, n_seen_);
    if (shared == n_seen_) return away;
    if (shared == 0) return kFar;
    const double all = static_cast<double>(n_seen_) / static_cast<double>(shared);
    return std::min(kFloor + (away - kFloor) * all, kMost);
  }
  // The least of these from the padded row x to the clean points below v, without one leaf (a slot); `which` leaf. A
  // point held once that equals x is taken to be x itself.
  NK_INLINE double nearest(const Tree<T>& tree, std::int32_t v, const T* x, std::int32_t but = kNobody,
                           std::int32_t* which = nullptr) const {
    T own[kMostSeen], theirs[kMostSeen];
    const T* const at = row(x, own);
    double least = kFar, paid[kMostSeen];
    const double* const costs = nominal_.n == 0 ? nullptr : paid;
    if (costs) costs_of(tree, x, paid);
    for_each_leaf(tree, v, [&](std::int32_t leaf) {
      if (leaf == but || !(tree.leaf_clean[leaf] > 0.0)) return;
      const T* const point = tree.lower_of(~leaf);
      const double away = distance(at, row(point, theirs), costs);
      if (away == kFloor && tree.leaf_clean[leaf] <= 1.0 && same_row(x, point, tree.n_features)) return;
      if (away < least && which) *which = leaf;
      least = std::min(least, away);
    });
    return least;
  }
  // kFloor + how far clean points below v are from the nearest other one, on average over some of them; kFar where
  // there are no two. `parts` (n_seen), unless null: what each feature adds to it, but for kFloor.
  double among(const Tree<T>& tree, std::int32_t v, BoxScratch<T>& scratch, double* parts) const {
    scratch.clean.clear(), scratch.seen.clear();
    for_each_leaf(tree, v, [&](std::int32_t leaf) {
      if (!(tree.leaf_clean[leaf] > 0.0)) return;
      T own[kMostSeen];
      const T* const at = row(tree.lower_of(~leaf), own);
      scratch.clean.push_back(leaf);
      scratch.seen.insert(scratch.seen.end(), at, at + width_);
    });
    const std::int64_t n = static_cast<std::int64_t>(scratch.clean.size()), some = std::min(n, kAsked);
    double sum = 0.0, asked = 0.0;
    if (parts) std::fill(parts, parts + n_seen_, 0.0);
    for (std::int64_t i = 0; i < some; ++i) {
      const std::int64_t own = i * n / some;
      const T* const at = scratch.seen.data() + own * width_;
      double least = tree.leaf_clean[scratch.clean[own]] > 1.0 ? kFloor : kFar;  // it may have copies
      std::int64_t nearest = own;
      double paid[kMostSeen];
      const double* const costs = nominal_.n == 0 ? nullptr : paid;
      if (costs) costs_of(tree, tree.lower_of(~scratch.clean[own]), paid);
      for (std::int64_t k = 0; k < n; ++k) {
        const double away = k == own ? kFar : distance(at, scratch.seen.data() + k * width_, costs);
        if (away < least) least = away, nearest = k;
      }
      if (least == kFar) continue;
      sum += least, asked += 1.0;
      if (parts && nearest != own) add_parts(at, scratch.seen.data() + nearest * width_, 1.0, parts, costs);
    }
    for (std::int64_t j = 0; parts && j < n_seen_; ++j) parts[j] /= std::max(asked, 1.0);
    return asked > 0.0 ? sum / asked : kFar;
  }
  // Add what each feature adds to the distance of two points as the tree sees them, `times` over.
  void add_parts(const T* a, const T* b, double times, double* parts, const double* costs = nullptr) const {
    const double all = times * static_cast<double>(n_seen_) / static_cast<double>(count_shared(a, b, n_seen_));
    std::int32_t k = 0;
    for (std::int64_t j = 0; j < n_seen_; ++j) {
      const bool nominal = k < nominal_.n && nominal_.place[k] == j;
      k += nominal;
      if (a[j] != a[j] || b[j] != b[j] || a[j] == b[j]) continue;
      if (nominal) {
        parts[j] += all * costs[k - 1];
        continue;
      }
      const double side = std::abs(static_cast<double>(a[j]) - static_cast<double>(b[j]));
      parts[j] += all * (rate()[j] == T(0) ? kOddConstant : side * static_cast<double>(rate()[j]));
    }
  }
  // What points stored below v get on average if they end in its box, of kFloor + extent `size`.
  double usual(const Tree<T>& tree, std::int32_t v, double size, BoxScratch<T>& scratch) const {
    if (near_ == 0.0) return std::log(size);
    const double away = among(tree, v, scratch, nullptr);
    return mixed(size, away == kFar ? size : away);
  }
  // The log spacing of a point that ends in the box of v, stretched to `extent`, with kFloor + distance `away` or kFar.
  double value(const Tree<T>& tree, std::int32_t v, double extent, double away, BoxScratch<T>& scratch) const {
    if (near_ == 0.0) return std::log(extent);
    return away != kFar ? mixed(extent, away) : std::log(extent) + apart(tree, v, scratch);
  }
  // What a point that shares no value with a clean one gets more in the box of v than for its extent alone.
  double apart(const Tree<T>& tree, std::int32_t v, BoxScratch<T>& scratch) const {
    const double others = among(tree, v, scratch, nullptr);
    if (others == kFar) return 0.0;
    const double size = this->extent(tree, v, scratch.no_values(tree.width), scratch);
    return near_ * (std::log(others) - std::log(size));
  }
  double value(const Tree<T>& tree, std::int32_t v, const T* x, BoxScratch<T>& scratch,
               std::int32_t but = kNobody) const {
    const double extent = this->extent(tree, v, x, scratch);
    return value(tree, v, extent, near_ == 0.0 ? kFar : nearest(tree, v, x, but), scratch);
  }
  double mixed(double extent, double away) const { return (1.0 - near_) * std::log(extent) + near_ * std::log(away); }

 private:
  static constexpr T kMissing = std::numeric_limits<T>::quiet_NaN();
  static constexpr std::int64_t kAsked = 4;  // clean points that tell how far from each other they are
  NK_INLINE double stretched(const T* x, const T* lo, const T* hi) const {
    if (nominal_.n > 0 && constant_) return stretched_over_constants(x, lo, hi);
    return stretched_extent(x, lo, hi, rate(), width_, constant_);
  }
  // Words are no constants, though they have no rate of numbers either.
  double stretched_over_constants(const T* x, const T* lo, const T* hi) const {
    std::int64_t odd = odd_constants(x, lo, rate(), width_);
    for (std::int32_t k = 0; k < nominal_.n; ++k) {
      const std::int32_t j = nominal_.place[k];
      odd -= (x[j] < lo[j]) | (x[j] > lo[j]);
    }
    return floored_extent(stretched_sum(x, lo, hi, rate(), width_), static_cast<double>(odd));
  }
  double with_levels(const Tree<T>& tree, std::int32_t v, const T* x, double extent, Held held) const {
    for (std::uint64_t left = nominal_.strange(tree, v, x, held.but); left != 0; left &= left - 1) {
      const int k = nativekit::lowest_bit(left);
      extent += nominal_.cost(tree, k, x[nominal_.feature[k]], held.mass);
    }
    return std::min(extent, kMost);
  }
  NK_INLINE void see(const T* from, T* to) const {
    if (few_) {
      gather_bag(bag_, n_seen_, from, kMissing, to);
    } else {
      copy_row(to, from, width_);
    }
  }

  bool few_ = false, constant_ = false;
  SeenNominal nominal_;
  const std::int32_t* bag_ = nullptr;
  std::int64_t width_ = 0, n_seen_ = 0;
  double near_ = 0.0;
  const T* rate_ = nullptr;
  T rate_own_[kMostSeen] = {};
};

}  // namespace imondrian::NK_ISA

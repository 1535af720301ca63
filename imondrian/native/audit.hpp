// The invariants of base/view.hpp, checked without trusting anything: before columns from outside are
// walked, and after every random sequence in the tests.
#pragma once

#include <cmath>
#include <limits>
#include <vector>

#include "core.hpp"
#include "nativekit/interrupt.hpp"
#include "score/depth_score.hpp"
#include "score/score_window.hpp"
#include "stream/clock.hpp"
#include "tree/box.hpp"
#include "tree/feature_subset.hpp"

namespace imondrian::NK_ISA {

template <class T>
class Auditor {
 public:
  Auditor(const ForestView& forest, std::int64_t t)
      : forest_(forest), t_(t), tree_(forest, t), node_seen_(static_cast<std::size_t>(forest.capacity), 0),
        leaf_seen_(static_cast<std::size_t>(forest.capacity), 0) {}

  Fault run() {
    if (check_header() && check_links() && check_free_lists()) {
      check_kinds() && check_numbers() && check_masses() && check_boxes() && check_rates() && check_members() &&
          check_bag() && check_clean() && check_time();
    }
    return fault_;
  }

 private:
  bool fail(int invariant, std::int64_t slot) {
    fault_ = {invariant, t_, slot};
    return false;
  }

  // Unlike fmin and fmax, the same for signalling NaN, which a column from outside may hold.
  static T least(T a, T b) { return b < a || a != a ? b : a; }
  static T most(T a, T b) { return b > a || a != a ? b : a; }
  static bool differs(T a, T b) { return a != b && (a == a || b == b); }
  // Either side of the union of two boxes.
  T lower_of_both(std::int64_t j, T a, T b) const {
    if (!tree_.kinds.is_nominal(j) || a != a || b != b) return least(a, b);
    return real_of<T>(word_of(a) & word_of(b));
  }
  T upper_of_both(std::int64_t j, T a, T b) const {
    if (!tree_.kinds.is_nominal(j) || a != a || b != b) return most(a, b);
    return real_of<T>(word_of(a) | word_of(b));
  }
  // Whether a cut parts a value of a box on its left from one on its right, where they have values.
  bool parts(std::int32_t v, T left, T right) const {
    const T cut = tree_.threshold[v];
    if (!tree_.kinds.is_nominal(tree_.feature[v])) return !(left > cut) && !(right <= cut);
    if (!(cut >= T(1)) || !(cut < T(Word<T>::kSize)) || cut != std::floor(cut)) return false;
    const int bit = static_cast<int>(cut);
    return bit != Word<T>::kSize - 2 && !(left == left && has_bit(left, bit)) &&
           !(right == right && !has_bit(right, bit));
  }

  bool check_header() {
    const std::int32_t* h = tree_.header;
    const bool sane = h[kLeafMark] >= 0 && h[kLeafMark] <= tree_.capacity && h[kNodeMark] >= 0 &&
                      h[kNodeMark] <= tree_.capacity && h[kLeaves] >= 0 && h[kLeaves] <= h[kLeafMark];
    if (!sane) return fail(7, 0);
    // A tree's leaves are distinct points. This also bounds what the checks below allocate.
    return h[kLeaves] <= forest_.n_rows || fail(8, 0);
  }

  bool valid(std::int32_t v) const { return v >= 0 ? v < tree_.header[kNodeMark] : ~v < tree_.header[kLeafMark]; }

  // Reach everything from the root, once; order_ keeps parents before children.
  bool check_links() {
    if (tree_.empty()) return true;
    std::vector<std::int32_t> stack{tree_.root()};
    if (!valid(tree_.root())) return fail(1, tree_.root());
    if (tree_.parent_of(tree_.root()) != kNobody) return fail(2, tree_.root());
    std::int64_t n_leaves = 0;
    while (!stack.empty()) {
      const std::int32_t v = stack.back();
      stack.pop_back();
      char& seen = v >= 0 ? node_seen_[v] : leaf_seen_[~v];
      if (seen) return fail(1, v);
      seen = 1;
      if (v < 0) {
        ++n_leaves;
        if (tree_.leaf_point[~v] < 0 || tree_.leaf_point[~v] >= forest_.n_rows) return fail(8, v);
        continue;
      }
      if (tree_.feature[v] < 0 || tree_.feature[v] >= tree_.n_features) return fail(2, v);
      order_.push_back(v);
      for (int side = 1; side >= 0; --side) {
        const std::int32_t c = tree_.child[2 * std::int64_t{v} + side];
        if (!valid(c)) return fail(2, v);
        if (tree_.parent_of(c) != v) return fail(2, c);
        stack.push_back(c);
      }
    }
    if (n_leaves != tree_.header[kLeaves]) return fail(1, 0);
    return true;
  }

  bool check_free_lists() {
    std::int64_t n_free = 0;
    for (std::int32_t v = tree_.header[kFreeNode]; v != kNobody; v = tree_.child[2 * std::int64_t{v}]) {
      if (v < 0 || v >= tree_.header[kNodeMark] || node_seen_[v] || tree_.feature[v] != kFree) return fail(7, v);
      node_seen_[v] = 1;
      ++n_free;
    }
    if (n_free + static_cast<std::int64_t>(order_.size()) != tree_.header[kNodeMark]) return fail(7, 0);
    n_free = 0;
    for (std::int32_t s = tree_.header[kFreeLeaf]; s != kNobody; s = tree_.leaf_parent[s]) {
      if (s < 0 || s >= tree_.header[kLeafMark] || leaf_seen_[s] || tree_.leaf_point[s] != kFree) return fail(7, ~s);
      leaf_seen_[s] = 1;
      ++n_free;
    }
    return n_free + tree_.header[kLeaves] == tree_.header[kLeafMark] || fail(7, 0);
  }

  // The forest's weights, and the tree's rates of bits. Masks follow from the weights.
  bool check_kinds() {
    for (std::int64_t j = 0; j < (tree_.bit_rate ? tree_.width : 0); ++j) {
      const double weight = forest_.nominal[j];
      const bool padding = j >= tree_.n_features, nominal = weight != 0.0;
      if (!std::isfinite(weight) || weight < 0.0 || (padding && nominal)) return fail(14, j);
      const T rate = tree_.bit_rate[j];
      if (!std::isfinite(rate) || rate < 0 || (!nominal && rate != 0) || (nominal && tree_.rate[j] != 0))
        return fail(14, j);
      const double root = tree_.level_root[j], entropy = tree_.entropy[j];
      if (!(root >= 0.0 && root <= kMostRoot) || !(entropy >= kLeastEntropy && entropy <= kMostEntropy))
        return fail(14, j);
    }
    return true;
  }

  bool check_numbers() {
    constexpr double kMax = std::numeric_limits<double>::max();
    for (const std::int32_t v : order_) {
      if (!std::isfinite(tree_.threshold[v])) return fail(9, v);
      const std::int32_t p = tree_.parent[v];
      const double born = p == kNobody ? 0.0 : tree_.time[p];
      const bool saturated = born == kMax && tree_.time[v] == kMax;
      if (!(tree_.time[v] > born || saturated) || !(tree_.time[v] <= kMax)) return fail(5, v);
    }
    for (std::int32_t s = 0; s < tree_.header[kLeafMark]; ++s) {
      if (tree_.leaf_point[s] == kFree) continue;
      const T* x = tree_.points + std::int64_t{tree_.leaf_point[s]} * tree_.width;
      for (std::int64_t j = 0; j < tree_.width; ++j) {
        const bool padding = j >= tree_.n_features;
        const bool word = !tree_.kinds.is_nominal(j) || x[j] != x[j] || is_word(x[j]);
        if (std::isinf(x[j]) || (padding && x[j] == x[j]) || !word) return fail(9, ~s);
      }
    }
    return true;
  }

  // Fractional weights may be added in another order than along the path.
  double mass_slack() const { return forest_.memory == static_cast<int>(Memory::kUnbounded) ? 1e-9 : 0.0; }

  bool check_masses() {
    for (std::int32_t s = 0; s < tree_.header[kLeafMark]; ++s) {
      const bool live = tree_.leaf_point[s] != kFree;
      if (live && !(tree_.leaf_mass[s] > 0.0 && std::isfinite(tree_.leaf_mass[s]))) return fail(3, ~s);
    }
    for (const std::int32_t v : order_) {
      const double sum =
          tree_.mass_of(tree_.child[2 * std::int64_t{v}]) + tree_.mass_of(tree_.child[2 * std::int64_t{v} + 1]);
      if (!(std::abs(tree_.mass[v] - sum) <= mass_slack() * sum)) return fail(3, v);
    }
    return true;
  }

  // Boxes bottom-up from the points (also where the forest keeps none), for I4 and I6.
  bool check_boxes() {
    const std::int64_t width = tree_.width;
    std::vector<T> lower(order_.size() * static_cast<std::size_t>(width));
    std::vector<T> upper(lower.size());
    std::vector<std::int64_t> place(static_cast<std::size_t>(tree_.header[kNodeMark]), 0);  // in the boxes
    for (std::size_t i = 0; i < order_.size(); ++i) place[order_[i]] = static_cast<std::int64_t>(i) * width;
    const auto lower_of = [&](std::int32_t v) { return v < 0 ? tree_.lower_of(v) : lower.data() + place[v]; };
    const auto upper_of = [&](std::int32_t v) { return v < 0 ? tree_.upper_of(v) : upper.data() + place[v]; };
    nativekit::Paced pace(1 << 20);
    for (std::size_t i = order_.size(); i-- > 0;) {
      const std::int32_t v = order_[i];
      const std::int32_t left = tree_.child[2 * std::int64_t{v}], right = tree_.child[2 * std::int64_t{v} + 1];
      pace.did(2 * width);
      const std::int32_t f = tree_.feature[v];
      // Written so that a side without a value of f (missing) passes.
      if (!parts(v, upper_of(left)[f], lower_of(right)[f])) return fail(6, v);
      T* lo = lower.data() + place[v];
      T* hi = upper.data() + place[v];
      for (std::int64_t j = 0; j < width; ++j) {
        lo[j] = lower_of_both(j, lower_of(left)[j], lower_of(right)[j]);
        hi[j] = upper_of_both(j, upper_of(left)[j], upper_of(right)[j]);
      }
      if (!tree_.lower) continue;
      for (std::int64_t j = 0; j < width; ++j) {
        if (differs(tree_.lower[v * width + j], lo[j]) || differs(tree_.upper[v * width + j], hi[j])) return fail(4, v);
      }
    }
    // The root's box comes first.
    for (std::int64_t j = 0; j < (order_.empty() ? 0 : tree_.n_features); ++j) {
      const T rate = tree_.kinds.is_nominal(j) ? tree_.bit_rate[j] : tree_.rate[j];
      if (rate == 0 && differs(lower[j], upper[j])) return fail(10, order_[0]);
    }
    return true;
  }

  bool check_rates() {
    for (std::int64_t j = 0; j < tree_.width; ++j) {
      const bool padding = j >= tree_.n_features;
      if (!std::isfinite(tree_.rate[j]) || tree_.rate[j] < 0 || (padding && tree_.rate[j] != 0)) return fail(10, j);
    }
    return true;
  }

  bool check_bag() {
    if (!tree_.bag) return true;
    bool ended = false;
    for (int k = 0; k < tree_.bag_size; ++k) {
      const std::int32_t j = tree_.bag[k];
      if (j < -1 || j >= tree_.n_features || (ended && j >= 0)) return fail(11, k);
      if (j >= 0 && std::find(tree_.bag, tree_.bag + k, j) != tree_.bag + k) return fail(11, k);
      ended |= j < 0;
    }
    return true;
  }

  bool check_clean() {
    if (!tree_.clean) return true;
    for (std::int32_t s = 0; s < tree_.header[kLeafMark]; ++s) {
      const bool live = tree_.leaf_point[s] != kFree;
      if (live && !(tree_.leaf_clean[s] >= 0.0 && tree_.leaf_clean[s] <= tree_.leaf_mass[s])) return fail(12, ~s);
    }
    for (const std::int32_t v : order_) {
      const double sum =
          tree_.clean_of(tree_.child[2 * std::int64_t{v}]) + tree_.clean_of(tree_.child[2 * std::int64_t{v} + 1]);
      if (!(std::abs(tree_.clean[v] - sum) <= mass_slack() * sum)) return fail(12, v);
    }
    // The memory of the forest comes first, then one for every group of trees.
    for (std::int64_t place = t_ == 0 ? 0 : 1; place <= 1; ++place) {
      const std::int64_t at = place * (1 + t_ / kTreesAbreast);
      if (t_ % kTreesAbreast == 0 && !Recent(forest_.recent + at * kRecentSize).is_sound()) return fail(13, at);
    }
    return true;
  }

  bool check_members() {
    if (forest_.memory == static_cast<int>(Memory::kUnbounded)) return true;
    const std::int64_t* state = forest_.stream + kStreamSize * t_;
    const std::int64_t held = state[kHeld];
    if (held < 0 || held > forest_.window || state[kSeen] < 0 || state[kSeen] > kManyPoints) return fail(8, 0);
    if (state[kOldest] < 0 || state[kOldest] >= forest_.window) return fail(8, state[kOldest]);
    std::vector<double> counts(leaf_seen_.size(), 0.0), clean(leaf_seen_.size(), 0.0);
    for (std::int64_t i = 0; i < held; ++i) {
      const std::int32_t member = forest_.member_leaf[t_ * forest_.window + i], leaf = leaf_of(member);
      if (leaf == kNobody) continue;
      if (leaf < 0 || leaf >= tree_.header[kLeafMark] || tree_.leaf_point[leaf] == kFree) return fail(8, i);
      if (is_flagged(member) && !tree_.clean) return fail(8, i);
      counts[leaf] += 1.0;
      clean[leaf] += is_flagged(member) ? 0.0 : 1.0;
    }
    for (std::int32_t s = 0; s < tree_.header[kLeafMark]; ++s) {
      if (tree_.leaf_point[s] == kFree) continue;
      if (counts[s] != tree_.leaf_mass[s] || (tree_.clean && clean[s] != tree_.leaf_clean[s])) return fail(8, ~s);
    }
    return check_keys(held);
  }

  bool check_keys(std::int64_t held) {
    if (!forest_.member_key) return true;
    const double* key = forest_.member_key + t_ * forest_.window;
    for (std::int64_t i = 0; i < held; ++i) {
      if (!std::isfinite(key[i]) || key[i] < key[i > 0 ? (i - 1) / 2 : 0]) return fail(8, i);
    }
    return true;
  }

  // Written so that NaN fails.
  bool check_time() {
    if (!forest_.clock) return true;
    const double* const clock = forest_.clock;
    const bool sound = std::isfinite(clock[kLatest]) && std::isfinite(clock[kHorizon]) && clock[kHorizon] > 0.0 &&
                       clock[kNow] >= 0.0 && clock[kNow] <= kManyHorizons * clock[kHorizon] && clock[kLate] >= 0.0 &&
                       clock[kLate] < kMostLate && clock[kLate] == std::floor(clock[kLate]) &&
                       (clock[kStarted] == 0.0 || clock[kStarted] == 1.0);
    if (!sound) return fail(15, 0);
    const double* const pace = forest_.pace + kPaceSize * t_;
    for (int i = 0; i < kPaceSize; ++i) {
      if (!std::isfinite(pace[i])) return fail(15, i);
    }
    return !forest_.member_time || check_ages(pace, clock[kNow]);
  }

  bool check_ages(const double* pace, double now) {
    const std::int64_t* const state = forest_.stream + kStreamSize * t_;
    const std::int64_t window = forest_.window, oldest = state[kOldest];
    const double* const time = forest_.member_time + t_ * window;
    const double blank = pace[kBlank];
    if (state[kHeld] != window || !(blank >= 0.0 && blank <= static_cast<double>(window)) || blank != std::floor(blank))
      return fail(15, kBlank);
    if (!(pace[kSpanFrom] >= 0.0 && pace[kSpanFrom] <= static_cast<double>(state[kSeen]))) return fail(15, kSpanFrom);
    double last = 0.0;
    for (std::int64_t i = 0; i < window; ++i) {
      const std::int64_t place = (oldest + i) % window;
      const bool is_blank = static_cast<double>(i) < blank;
      if (is_blank && forest_.member_leaf[t_ * window + place] != kNobody) return fail(15, place);
      if (!is_blank && !(time[place] >= last && time[place] <= now)) return fail(15, place);
      if (!is_blank) last = time[place];
    }
    return true;
  }

  static constexpr double kManyHorizons = 1e15;  // beyond them a clock could not tell spans apart

  // Rounding may put a sum of shares just above 1.
  static constexpr double kMostRoot = 1.0 + 1e-9, kLeastEntropy = -1e-9, kMostEntropy = 1024.0;
  // More points than a stream can see: a counter beyond it would soon overflow.
  static constexpr std::int64_t kManyPoints = std::int64_t{1} << 61;

  const ForestView& forest_;
  std::int64_t t_;
  Tree<T> tree_;
  std::vector<char> node_seen_, leaf_seen_;
  std::vector<std::int32_t> order_;
  Fault fault_;
};

}  // namespace imondrian::NK_ISA

// Depths under virtual insertion of many rows, one tree after another.
//
// A tree's rows are sorted by the leaves that they end in, which are numbered from left to right, and turned over, a
// feature after the other. Rows below any node then lie side by side: its box is loaded once, their distances take no
// walk, no gather and no sum across a register, and a level of all of them is passed at once. The same bits as
// insertion_depth() (depth_score.hpp), whose sums these are in the same order.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "score/depth_score.hpp"
#include "score/packed_spacing.hpp"
#include "score/survival.hpp"
#include "score/walk_tree.hpp"

namespace imondrian::NK_ISA {

// A node, or a leaf (~slot), and which leaves are below.
struct Stop {
  std::int32_t node, first, end, level;
  double lifetime;
};

// All of a tree, from left to right, children first.
template <class T>
std::vector<Stop> list_stops(const Tree<T>& tree, const LeafEnds<T>& ends) {
  struct Task {
    std::int32_t node, parent, level;
    double born;
  };
  std::vector<Stop> stops;
  std::vector<std::int32_t> parents;
  std::vector<Task> stack{{tree.root(), kNobody, 0, 0.0}};
  stops.reserve(2 * ends.leaves().size());
  parents.reserve(2 * ends.leaves().size());
  while (!stack.empty()) {
    const auto [v, parent, level, born] = stack.back();
    stack.pop_back();
    const auto at = static_cast<std::int32_t>(stops.size());
    parents.push_back(parent);
    if (v < 0) {
      const std::int32_t place = ends.place(kNobody, v);
      stops.push_back({v, place, place + 1, level, 0.0});
      continue;
    }
    stops.push_back({v, std::numeric_limits<std::int32_t>::max(), 0, level, tree.time[v] - born});
    for (int side = 0; side < 2; ++side) {
      stack.push_back({tree.child[2 * std::int64_t{v} + side], at, level + 1, tree.time[v]});
    }
  }
  for (std::size_t at = stops.size() - 1; at > 0; --at) {
    Stop& above = stops[parents[at]];
    above.first = std::min(above.first, stops[at].first);
    above.end = std::max(above.end, stops[at].end);
  }
  std::reverse(stops.begin(), stops.end());
  return stops;
}

// Rows on their way down the trees, all of them numbers so ordinary (plain_range.hpp) that no sum loses anything; one
// thread's.
template <class T>
class InsertionRows {
 public:
  // Take n rows of x (n, d); `missing`: whether they lack values.
  void load(const T* x, std::int64_t n, std::int64_t d, bool missing) {
    n_ = n, d_ = d, missing_ = missing;
    stride_ = (n + kSpare) | 8;  // no power of two: columns would share few places of a cache
    columns_.resize(static_cast<std::size_t>(d * stride_));
    sorted_.resize(columns_.size());
    for (std::int64_t j = 0; j < d; ++j) {
      for (std::int64_t i = 0; i < n; ++i) columns_[j * stride_ + i] = x[i * d + j];
    }
    order_.resize(static_cast<std::size_t>(n));
    levels_.resize(static_cast<std::size_t>(stride_));
    below_.resize(levels_.size());
  }

  // Add the depths in a tree where row i ends in leaf end[i] to `out`.
  void add(const Tree<T>& tree, const std::vector<Stop>& stops, std::int32_t n_levels, const std::int32_t* end,
           double* out) {
    sort_by(end, stops.back().end);
    turn_over(tree);
    hazard_.resize(std::max(hazard_.size(), static_cast<std::size_t>(std::max(n_levels, 1) * stride_)));
    if (missing_) gain_.resize(hazard_.size());
    for (const Stop& stop : stops) {
      const std::int64_t from = begin_[stop.first], to = begin_[stop.end];
      if (from == to) continue;
      stop.node < 0 ? finish(tree, stop, from, to) : pass(tree, stop, from, to);
    }
    missing_ ? add_up<true>(out) : add_up<false>(out);
  }

 private:
  using Q = nativekit::NK_ISA::Pack<T, kAbreastBytes / static_cast<int>(sizeof(T))>;
  using D = nativekit::NK_ISA::Pack<double, kAbreastBytes / static_cast<int>(sizeof(double))>;
  static constexpr int kSums = Pack<T>::kLanes;  // in the order of separation_rate()
  static constexpr int kBlock = NK_LEVEL == 2 || (NK_LEVEL == 1 && kSums == 4) ? 2 : 1;  // as registers hold
  static constexpr std::int64_t kSpare = 2 * Q::kLanes;  // what packs may reach beyond the last row

  void sort_by(const std::int32_t* end, std::int32_t n_leaves) {
    begin_.assign(static_cast<std::size_t>(n_leaves) + 2, 0);
    for (std::int64_t i = 0; i < n_; ++i) ++begin_[end[i] + 2];
    for (std::size_t k = 2; k < begin_.size(); ++k) begin_[k] += begin_[k - 1];
    for (std::int64_t i = 0; i < n_; ++i) order_[begin_[end[i] + 1]++] = static_cast<std::int32_t>(i);
  }

  // What has no rate counts nowhere, as what is missing.
  void turn_over(const Tree<T>& tree) {
    for (std::int64_t j = 0; j < d_; ++j) {
      const T* const from = columns_.data() + j * stride_;
      T* const to = sorted_.data() + j * stride_;
      if (tree.rate[j] > T(0)) {
        for (std::int64_t i = 0; i < n_; ++i) to[i] = from[order_[i]];
      } else {
        std::fill(to, to + n_, std::numeric_limits<T>::quiet_NaN());
      }
    }
  }

  // Note the hazard of passing a node.
  void pass(const Tree<T>& tree, const Stop& stop, std::int64_t from, std::int64_t to) {
    const std::int64_t at = stop.node * tree.width;
    double* const hazard = hazard_.data() + stop.level * stride_;
    measure({tree.lower + at, tree.upper + at, tree.rate, stop.lifetime, hazard}, from, to, Numbers<kSums>());
    if (!missing_) return;
    const T* const column = columns_.data() + tree.feature[stop.node] * stride_;
    double* const to_gain = gain_.data() + stop.level * stride_;
    double gain = std::numeric_limits<double>::quiet_NaN();
    for (std::int64_t i = from; i < to; ++i) {
      const T value = column[order_[i]];
      if (value != value && gain != gain) {
        gain = depth_means(tree).gain(stop.node, tree.child[2 * std::int64_t{stop.node} + drawn_side(tree, stop.node)]);
      }
      to_gain[i] = value != value ? gain : 0.0;
    }
  }

  // Sum up the levels of all rows: see Walk.
  template <bool kMissing>
  NK_INLINE void add_up(double* out) {
    constexpr int kLanes = D::kLanes;
    constexpr unsigned kAll = (1u << kLanes) - 1u;
    for (std::int64_t i = 0; i < n_; i += kLanes) {
      const D levels = D::load(levels_.data() + i);
      const double most = levels.largest();
      D hazard = D::zero(), chance = D::of(1.0), expected = D::zero();
      std::int64_t at = i;
      for (double level = 0.0; level < most; level += 1.0, at += stride_) {
        const D here = D::of(level), more = where_lt(here, levels, D::load(hazard_.data() + at), D::zero());
        expected = expected + where_lt(here, levels, chance, D::zero());
        hazard = hazard + more;
        if (le_mask(more, D::zero()) != kAll) chance = survival(hazard);
        if (kMissing) {
          const D gain = D::load(gain_.data() + at);
          expected = expected - where_lt(here, levels, chance * gain, D::zero());
        }
      }
      double lane[kLanes];
      (expected + chance * D::load(below_.data() + i)).store(lane);
      const std::int64_t n = std::min<std::int64_t>(kLanes, n_ - i);
      for (std::int64_t r = 0; r < n; ++r) out[order_[i + r]] += lane[r];
    }
  }

  struct Box {
    const T* lo;
    const T* hi;
    const T* rate;
    double lifetime;
    double* hazard;
  };

  template <int n>
  using Numbers = std::make_integer_sequence<int, n>;

  // What it takes rows to pass a box: separation_rate(), in the same order.
  template <int... kRests>
  NK_INLINE void measure(const Box& box, std::int64_t from, std::int64_t to, std::integer_sequence<int, kRests...>) {
    const int rest = static_cast<int>(d_ % kSums);
    (void)((rest == kRests && (measure_rest<kRests>(box, from, to), true)) || ...);
  }

  // kRest: features beyond whole packs. Rows of several packs share what is loaded of the box.
  template <int kRest>
  void measure_rest(const Box& box, std::int64_t from, std::int64_t to) {
    std::int64_t i = from;
    for (; i + Q::kLanes < to; i += kBlock * Q::kLanes) measure_packs<kRest, kBlock>(box, i);
    if (i < to) measure_packs<kRest, 1>(box, i);
  }
  template <int kRest, int kPacks>
  NK_INLINE void measure_packs(const Box& box, std::int64_t i) {
    Q sum[kSums * kPacks];  // in registers, as no index of it is a variable
    clear(sum, Numbers<kSums * kPacks>());
    const T* x = sorted_.data() + i;
    std::int64_t j = 0;
    for (; j + kSums <= d_; j += kSums, x += kSums * stride_) {
      add<kPacks>(box, x, j, sum, Numbers<kSums>(), Numbers<kPacks>());
    }
    if constexpr (kRest > 0) add<kPacks>(box, x, j, sum, Numbers<kRest>(), Numbers<kPacks>());
    multiply(add_halves(sum, Numbers<kSums / 2>()), box.lifetime, box.hazard + i);
    if constexpr (kPacks > 1) {
      multiply(add_halves(sum + kSums, Numbers<kSums / 2>()), box.lifetime, box.hazard + i + Q::kLanes);
    }
  }
  template <int... c>
  static NK_INLINE void clear(Q* sum, std::integer_sequence<int, c...>) {
    ((sum[c] = Q::zero()), ...);
  }
  template <int kPacks, int... c, class Packs>
  NK_INLINE void add(const Box& box, const T* x, std::int64_t j, Q* sum, std::integer_sequence<int, c...>,
                     Packs packs) const {
    (add_feature(box, x + c * stride_, j + c, sum + c, packs), ...);
  }
  template <int... p>
  static NK_INLINE void add_feature(const Box& box, const T* x, std::int64_t j, Q* sum,
                                    std::integer_sequence<int, p...>) {
    const Q lo = Q::of(box.lo[j]), hi = Q::of(box.hi[j]), rate = Q::of(box.rate[j]);
    ((sum[p * kSums] = sum[p * kSums] + excess(Q::load(x + p * Q::kLanes), lo, hi) * rate), ...);
  }
  static NK_INLINE Q excess(const Q& x, const Q& lo, const Q& hi) { return larger(larger(lo - x, x - hi), Q::zero()); }
  // As Pack::sum().
  template <int... c>
  static NK_INLINE Q add_halves(Q* sum, std::integer_sequence<int, c...>) {
    constexpr int kHalf = sizeof...(c);
    ((sum[c] = sum[c] + sum[c + kHalf]), ...);
    if constexpr (kHalf > 1) {
      return add_halves(sum, Numbers<kHalf / 2>());
    } else {
      return sum[0];
    }
  }
  static NK_INLINE void multiply(const Q& total, double by, double* to) {
    if constexpr (sizeof(T) == sizeof(double)) {
      (total * Q::of(by)).store(to);
    } else {
      T lane[Q::kLanes];
      total.store(lane);
      for (int r = 0; r < Q::kLanes; ++r) to[r] = static_cast<double>(lane[r]) * by;
    }
  }

  // End in a leaf: at its point, or beside it. What this writes behind `to`, and what is behind in all levels, belongs
  // to rows whose stops are yet to come.
  void finish(const Tree<T>& tree, const Stop& stop, std::int64_t from, std::int64_t to) {
    for (std::int64_t i = from; i < to; i += D::kLanes) {
      D::of(static_cast<double>(stop.level)).store(levels_.data() + i);
      D::of(1.0).store(below_.data() + i);
    }
    const T* const point = tree.lower_of(stop.node);
    for (std::int64_t i = from; i < to; i += Q::kLanes) {
      const T* const x = sorted_.data() + i;
      unsigned held = (1u << Q::kLanes) - 1u;
      for (std::int64_t j = 0; j < d_ && held != 0; ++j) {
        const Q at = Q::load(x + j * stride_), there = Q::of(point[j]);
        held &= le_mask(larger(larger(there - at, at - there), Q::zero()), Q::zero());
      }
      for (std::int64_t k = i; k < to && held != 0; ++k, held >>= 1) {
        if ((held & 1u) != 0) below_[k] = hidden_depth(tree.leaf_mass[~stop.node]);
      }
    }
  }

  std::int64_t n_ = 0, d_ = 0, stride_ = 0;
  bool missing_ = false;
  std::vector<T> columns_, sorted_;     // (d, stride): rows as they came, and as they end
  std::vector<std::int32_t> order_;     // the rows, sorted
  std::vector<std::int64_t> begin_;     // by leaf: where its rows begin; one more, and one to fill them
  std::vector<double> hazard_, gain_;   // (levels, stride): of the node that the sorted row passes there
  std::vector<double> levels_, below_;  // by sorted row: its leaf's level, and the depth below
};

}  // namespace imondrian::NK_ISA

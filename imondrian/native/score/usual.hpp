// What is usual among the points of a forest, by their mass in all trees: what reasons in words compare a row with.
//
// Compiled once, for every machine.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "core.hpp"

namespace imondrian::usual {

// What is known of a feature, beside a value of it: masses of points that have a value, that have a lower one, and that
// have none higher; the least and the largest value.
enum Known : int { kPresent, kBelow, kUntil, kLeast, kLargest };
constexpr int kKnownSize = 5;

// The mass of each stored row, (n_rows,).
inline void row_masses(const ForestView& f, double* mass) {
  std::fill(mass, mass + f.n_rows, 0.0);
  for (std::int64_t t = 0; t < f.n_trees; ++t) {
    const std::int32_t mark = f.header[t * kHeaderSize + kLeafMark];
    for (std::int64_t s = t * f.capacity; s < t * f.capacity + mark; ++s) {
      if (f.leaf_point[s] >= 0) mass[f.leaf_point[s]] += f.leaf_mass[s];
    }
  }
}

template <class T>
void compare(const T* points, std::int64_t width, const double* mass, std::int64_t n, const double* x, std::int64_t d,
             double* out) {
  std::vector<double> known(static_cast<std::size_t>(kKnownSize * d), 0.0);
  double* const column = known.data();  // feature by feature in each: loops over features have no branch
  double *present = column, *below = column + d, *until = column + 2 * d, *least = column + 3 * d,
         *largest = column + 4 * d;
  std::fill(least, least + d, std::numeric_limits<double>::infinity());
  std::fill(largest, largest + d, -std::numeric_limits<double>::infinity());
  for (std::int64_t i = 0; i < n; ++i) {
    if (!(mass[i] > 0.0)) continue;
    const T* const point = points + i * width;
    const double weight = mass[i];
    for (std::int64_t j = 0; j < d; ++j) {
      const double value = static_cast<double>(point[j]);
      present[j] += value == value ? weight : 0.0;
      below[j] += value < x[j] ? weight : 0.0;
      until[j] += value <= x[j] ? weight : 0.0;
      least[j] = value < least[j] ? value : least[j];
      largest[j] = value > largest[j] ? value : largest[j];
    }
  }
  for (std::int64_t j = 0; j < d; ++j) {
    for (int k = 0; k < kKnownSize; ++k) out[kKnownSize * j + k] = column[k * d + j];
  }
}

// The least value with at least `target` of the mass at or below it, by halving.
inline double reaching(std::vector<std::pair<double, double>>& values, double target) {
  auto first = values.begin(), last = values.end();
  for (;;) {
    const double pivot =
        std::max(std::min(first->first, (last - 1)->first),
                 std::min(std::max(first->first, (last - 1)->first), (first + (last - first) / 2)->first));
    const auto lower = std::partition(first, last, [&](const auto& each) { return each.first < pivot; });
    const auto upper = std::partition(lower, last, [&](const auto& each) { return each.first == pivot; });
    double mass = 0.0, same = 0.0;
    for (auto each = first; each != lower; ++each) mass += each->second;
    for (auto each = lower; each != upper; ++each) same += each->second;
    if (mass >= target) {
      last = lower;
    } else if (mass + same >= target || upper == last) {
      return pivot;
    } else {
      target -= mass + same;
      first = upper;
    }
  }
}

// The values of feature j with a share `tail` of the mass below and above; false where no point has one.
//
// Both lie near the ends: only what a few of the values show to be far out is looked at closely, unless they mislead.
template <class T>
bool range(const T* points, std::int64_t width, const double* mass, std::int64_t n, std::int64_t j, double tail,
           double* low, double* high) {
  constexpr std::size_t kSample = 256;
  using Values = std::vector<std::pair<double, double>>;
  Values values(static_cast<std::size_t>(n) + 1);
  double total = 0.0;
  std::size_t m = 0;
  for (std::int64_t i = 0; i < n; ++i) {  // no branch: which rows are in use cannot be foreseen
    const double value = static_cast<double>(points[i * width + j]);
    const bool there = mass[i] > 0.0 && value == value;
    values[m] = {value, mass[i]};
    m += there;
    total += there ? mass[i] : 0.0;
  }
  if (m == 0) return false;
  values.resize(m);
  Values sample, lows(m + 1), highs(m + 1);
  for (std::size_t i = 0; i < m; i += 1 + m / kSample) sample.push_back(values[i]);
  double shown = 0.0, under = 0.0, over = 0.0;
  for (const auto& each : sample) shown += each.second;
  const double until = reaching(sample, 3.0 * tail * shown), from = reaching(sample, (1.0 - 3.0 * tail) * shown);
  std::size_t n_low = 0, n_high = 0;
  for (const auto& each : values) {
    lows[n_low] = highs[n_high] = each;
    n_low += each.first <= until;
    n_high += each.first >= from;
    under += each.first <= until ? each.second : 0.0;
    over += each.first >= from ? each.second : 0.0;
  }
  lows.resize(n_low), highs.resize(n_high);
  const double most = (1.0 - tail) * total, beneath = total - over;
  *low = under >= tail * total ? reaching(lows, tail * total) : reaching(values, tail * total);
  *high = beneath < most && !highs.empty() ? reaching(highs, most - beneath) : reaching(values, most);
  return true;
}

}  // namespace imondrian::usual

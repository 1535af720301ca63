// The unit of every feature, so that it does not matter what the data was measured in: the range
// from the 5th to the 95th percentile over that of a standard normal, 3.29. Where that is 0, but for a share p of
// the values all are one: these differ by as many units, on average, as a normal value does that is as rare. (By their
// standard deviation a rare flag would lie 1 / sqrt(p) units out, and draw most cuts to itself.) A feature in which
// nothing differs is constant and has no unit (rate 0).
//
// Percentiles interpolate linearly between order statistics, over the values present. A weight w
// counts as w copies, to the last bit when it is whole: sums run over distinct values in order.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "nativekit/interrupt.hpp"
#include "tree/box.hpp"
#include "tree/feature_subset.hpp"

namespace imondrian::NK_ISA {

constexpr double kTail = 0.05;            // of the points beyond either percentile
constexpr double kNormalRange = 3.29;     // a standard normal's range between them
constexpr std::int64_t kFilterFrom = 64;  // rows from which it pays to filter for the tails

template <class T>
struct ScaleScratch {
  using Weighted = std::pair<T, double>;
  std::vector<T> low, high;     // candidates for the tails of one feature; the high ones negated
  std::vector<T> below, above;  // what a value must not pass to be one, by feature
  std::vector<Weighted> weighted;
  std::vector<double> counts;
};

// Rows of a store, and how many times each counts (null: once).
template <class T>
struct Rows {
  const T* points;
  std::int64_t width;
  const std::int32_t* row;
  std::int64_t n;
  const double* weight;  // by position

  T at(std::int64_t i, std::int64_t j) const { return points[std::int64_t{row[i]} * width + j]; }
};

// A place between two order statistics.
struct Quantile {
  double below;  // a whole number, which weights may make larger than any integer
  double share;

  Quantile(double q, double total) {
    const double place = q * std::max(total - 1.0, 0.0);
    below = std::floor(place);
    share = place - below;
  }
  std::int64_t rank() const { return static_cast<std::int64_t>(below); }
  // Half the quantile: the difference of two halves cannot overflow.
  double half(double lower, double upper) const { return 0.5 * lower + share * (0.5 * upper - 0.5 * lower); }
};

// The unit that half a range between the percentiles makes, above 0.
inline double unit_of(double half_range) {
  return std::max(2.0 * (half_range / kNormalRange), std::numeric_limits<double>::denorm_min());
}

// The order statistics k and k + 1 of n > k + 1 values; reorders them.
template <class T>
std::pair<T, T> neighbours(T* values, std::int64_t n, std::int64_t k) {
  std::nth_element(values, values + k + 1, values + n);
  return {*std::max_element(values, values + k + 1), values[k + 1]};
}

// The rate that makes `scale` > 0 the unit, positive and finite in T.
template <class T>
T rate_of(double scale) {
  constexpr double kMost = static_cast<double>(std::numeric_limits<T>::max());
  constexpr double kLeast = static_cast<double>(std::numeric_limits<T>::denorm_min());
  return static_cast<T>(std::clamp(1.0 / scale, kLeast, kMost));
}

// How far from 0 a standard normal value lies that is exceeded, on either side, with chance p: Newton's steps in
// log p, which come down to it.
inline double normal_distance(double p) {
  constexpr double kRoot2 = 1.41421356237309504880, kRoot2OverPi = 0.79788456080286535588;
  const double log_p = std::log(p);
  double z = std::sqrt(-2.0 * log_p);
  for (int step = 0; step < 32; ++step) {
    const double chance = std::erfc(z / kRoot2);
    const double less = (log_p - std::log(chance)) * chance / (kRoot2OverPi * std::exp(-0.5 * z * z));
    if (!(less > 1e-15 * z)) break;
    z -= less;
  }
  return z;
}

constexpr double kRarest = 1e-300;  // a share of the weight; normal_distance() needs more than 0

// Unit of sorted (value, weight) pairs most of which equal `centre`; 0 only when all do.
template <class T>
double rare_unit(const std::vector<std::pair<T, double>>& sorted, double centre, double total) {
  if (sorted.front().first == sorted.back().first) return 0.0;
  double most = std::numeric_limits<double>::denorm_min();  // half a denormal number may be 0
  for (const auto& [value, weight] : sorted) most = std::max(most, std::abs(0.5 * value - 0.5 * centre));
  double sum = 0.0, differing = 0.0;
  for (std::size_t i = 0; i < sorted.size();) {
    const double value = sorted[i].first;
    double weight = 0.0;
    for (; i < sorted.size() && sorted[i].first == value; ++i) weight += sorted[i].second;
    if (value == centre) continue;
    sum += weight * (std::abs(0.5 * value - 0.5 * centre) / most);
    differing += weight;
  }
  // With whole weights, less than 2 kTail of all differ.
  const double rarity = normal_distance(std::clamp(differing / total, kRarest, 2.0 * kTail));
  return std::max(2.0 * (sum / differing / rarity) * most, std::numeric_limits<double>::denorm_min());
}

// The unit that edition 0 gave such pairs, their standard deviation.
template <class T>
double deviation(const std::vector<std::pair<T, double>>& sorted, double centre, double total) {
  if (sorted.front().first == sorted.back().first) return 0.0;
  double most = std::numeric_limits<double>::denorm_min();  // half a denormal number may be 0
  for (const auto& [value, weight] : sorted) most = std::max(most, std::abs(0.5 * value - 0.5 * centre));
  double first = 0.0, second = 0.0;
  for (std::size_t i = 0; i < sorted.size();) {
    const double value = sorted[i].first;
    double weight = 0.0;
    for (; i < sorted.size() && sorted[i].first == value; ++i) weight += sorted[i].second;
    const double away = (0.5 * value - 0.5 * centre) / most;
    first += weight * away;
    second += weight * away * away;
  }
  // No cancellation: at most a tenth of the weight is away from the centre.
  first /= total, second /= total;
  const double spread = 2.0 * std::sqrt(std::max(second - first * first, 0.0)) * most;
  return std::max(spread, std::numeric_limits<double>::denorm_min());
}

// Scale of one feature by sorting: any weights.
template <class T>
double sorted_scale(const Rows<T>& rows, std::int64_t j, int edition, ScaleScratch<T>& scratch) {
  auto& pairs = scratch.weighted;
  pairs.clear();
  for (std::int64_t i = 0; i < rows.n; ++i) {
    const T value = rows.at(i, j);
    if (value == value) pairs.emplace_back(value, rows.weight ? rows.weight[i] : 1.0);
  }
  if (pairs.empty()) return 0.0;
  nativekit::Paced pace(1 << 18);
  std::sort(pairs.begin(), pairs.end(), [&](const auto& a, const auto& b) {
    pace.did(1);
    return a < b;
  });
  double total = 0.0;
  for (const auto& pair : pairs) total += pair.second;
  const auto value_at = [&](double k) {
    double passed = 0.0;
    for (const auto& pair : pairs) {
      passed += pair.second;
      if (passed > k) return static_cast<double>(pair.first);
    }
    return static_cast<double>(pairs.back().first);
  };
  const Quantile low(kTail, total), high(1.0 - kTail, total);
  const double range = high.half(value_at(high.below), value_at(high.below + 1.0)) -
                       low.half(value_at(low.below), value_at(low.below + 1.0));
  if (range > 0.0) return unit_of(range);
  return edition == 0 ? deviation(pairs, value_at(low.below), total) : rare_unit(pairs, value_at(0.5 * total), total);
}

// Bounds that about a seventh of the values of each feature lie beyond, from a sample of the rows.
template <class T>
NK_INLINE void tail_bounds(const Rows<T>& rows, ScaleScratch<T>& scratch) {
  using P = Pack<T>;
  constexpr int kSample = 32, kKept = 5;
  constexpr T kInfinity = std::numeric_limits<T>::infinity();
  scratch.below.resize(static_cast<std::size_t>(rows.width));
  scratch.above.resize(static_cast<std::size_t>(rows.width));
  for (std::int64_t j = 0; j < rows.width; j += P::kLanes) {
    P low[kKept], high[kKept];
    for (int k = 0; k < kKept; ++k) low[k] = P::of(kInfinity), high[k] = P::of(-kInfinity);
    for (int i = 0; i < kSample; ++i) {
      const P x = P::load(rows.points + std::int64_t{rows.row[i * rows.n / kSample]} * rows.width + j);
      P down = unless_nan(x, kInfinity), up = unless_nan(x, -kInfinity);
      for (int k = 0; k < kKept; ++k) {
        const P pushed = larger(down, low[k]), lifted = smaller(up, high[k]);
        low[k] = smaller(down, low[k]), high[k] = larger(up, high[k]);
        down = pushed, up = lifted;
      }
    }
    low[kKept - 1].store(scratch.below.data() + j);
    high[kKept - 1].store(scratch.above.data() + j);
  }
}

// Gather a feature's values up to `below` into `low`, those from `above` into `high`, negated; returns
// how many there are of each, and of all.
template <class T>
NK_INLINE std::array<std::int64_t, 3> gather_tails(const Rows<T>& rows, std::int64_t j, T below, T above,
                                                   ScaleScratch<T>& scratch) {
  T* low = scratch.low.data();
  T* high = scratch.high.data();
  std::int64_t n_low = 0, n_high = 0, total = 0;
  for (std::int64_t i = 0; i < rows.n; ++i) {
    const T value = rows.at(i, j);
    low[n_low] = value;
    high[n_high] = -value;
    n_low += value <= below;
    n_high += value >= above;
    total += value == value;
  }
  return {n_low, n_high, total};
}

// Scale of one feature of rows that count once. Only values in the tails are looked at closely.
template <class T>
NK_INLINE double tail_scale(const Rows<T>& rows, std::int64_t j, int edition, ScaleScratch<T>& scratch) {
  constexpr T kInfinity = std::numeric_limits<T>::infinity();
  auto [n_low, n_high, total] = gather_tails(rows, j, scratch.below[j], scratch.above[j], scratch);
  if (total < 2) return 0.0;
  const Quantile at_low(kTail, static_cast<double>(total)), at_high(1.0 - kTail, static_cast<double>(total));
  const std::int64_t from_top = total - 1 - at_high.rank();  // rank of the upper percentile, from the largest
  if (n_low < at_low.rank() + 2 || n_high < from_top + 1) {  // an unlucky sample
    n_low = n_high = total;
    gather_tails(rows, j, kInfinity, -kInfinity, scratch);
  }
  const auto [low_0, low_1] = neighbours(scratch.low.data(), n_low, at_low.rank());
  const auto [high_1, high_0] = neighbours(scratch.high.data(), n_high, from_top - 1);
  const double range =
      at_high.half(-static_cast<double>(high_0), -static_cast<double>(high_1)) - at_low.half(low_0, low_1);
  return range > 0.0 ? unit_of(range) : sorted_scale(rows, j, edition, scratch);
}

// How many rows have each level of a nominal feature, by word.
template <class T>
struct LevelCounts {
  double total = 0.0, squares = 0.0, entropy = 0.0;  // of the shares
};
// Of the masses of levels, in any order; sorts them.
template <class T>
LevelCounts<T> shares_of(std::vector<double>& masses) {
  constexpr int kFew = 64;
  std::int32_t levels_of[kFew] = {};  // most masses are small whole numbers
  const auto is_few = [](double mass) { return mass < kFew && mass == std::floor(mass); };
  const auto rest = std::partition(masses.begin(), masses.end(), is_few);
  std::sort(rest, masses.end());
  for (auto mass = masses.begin(); mass != rest; ++mass) ++levels_of[static_cast<int>(*mass)];
  LevelCounts<T> counts;
  for (int mass = 1; mass < kFew; ++mass) counts.total += static_cast<double>(mass) * levels_of[mass];
  for (auto mass = rest; mass != masses.end(); ++mass) counts.total += *mass;
  const auto add = [&](double mass, double times) {
    const double share = mass / counts.total;
    counts.squares += times * share * share;
    counts.entropy -= times * share * std::log(share);
  };
  for (int mass = 1; mass < kFew; ++mass) {
    if (levels_of[mass] > 0) add(mass, levels_of[mass]);
  }
  for (auto mass = rest; mass != masses.end(); ++mass) add(*mass, 1.0);
  return counts;
}
// Of rows that count once, by a table of their words.
template <class T>
LevelCounts<T> count_single_levels(const Rows<T>& rows, std::int64_t j, ScaleScratch<T>& scratch) {
  std::size_t size = 16;
  while (size < 2 * static_cast<std::size_t>(rows.n)) size *= 2;
  scratch.weighted.assign(size, {T(0), 0.0});  // no word is 0
  for (std::int64_t i = 0; i < rows.n; ++i) {
    const T word = rows.at(i, j);
    if (word != word) continue;
    std::size_t at = static_cast<std::size_t>(word_of(word) >> 2) & (size - 1);
    while (scratch.weighted[at].second != 0.0 && scratch.weighted[at].first != word) at = (at + 1) & (size - 1);
    scratch.weighted[at].first = word;
    scratch.weighted[at].second += 1.0;
  }
  scratch.counts.clear();
  for (const auto& [word, count] : scratch.weighted) {
    if (count != 0.0) scratch.counts.push_back(count);
  }
  return shares_of<T>(scratch.counts);
}
template <class T>
LevelCounts<T> count_levels(const Rows<T>& rows, std::int64_t j, ScaleScratch<T>& scratch) {
  auto& found = scratch.weighted;
  found.clear();
  for (std::int64_t i = 0; i < rows.n; ++i) {
    const T value = rows.at(i, j);
    if (value == value) found.emplace_back(value, rows.weight ? rows.weight[i] : 1.0);
  }
  nativekit::Paced pace(1 << 18);
  std::sort(found.begin(), found.end(), [&](const auto& a, const auto& b) {
    pace.did(1);
    return a < b;
  });
  scratch.counts.clear();
  for (std::size_t i = 0; i < found.size();) {
    const T word = found[i].first;
    double weight = 0.0;
    for (; i < found.size() && found[i].first == word; ++i) weight += found[i].second;
    scratch.counts.push_back(weight);
  }
  return shares_of<T>(scratch.counts);
}

constexpr double kNominalUnits = 6.0;  // the length of a nominal feature at most, in units: that of two even levels

// The length of a nominal feature whose points, of mass `total`, have levels with these squared shares. Where all are
// of one level: as if a point of another had come.
inline double nominal_length(double total, double squares) {
  const double unlike = std::max(1.0 - squares, 2.0 * total / ((total + 1.0) * (total + 1.0)));
  return kNominalUnits * 4.0 * unlike * (1.0 - unlike);
}

// The rate of a bit of nominal feature j if the feature is so long (without units: 1), before its weight.
template <class T>
T bit_rate_of(const Tree<T>& tree, std::int64_t j, double length) {
  return rate_in(tree, j, rate_of<T>(Word<T>::kUseful / (length * tree.kinds.weight[j])));
}

// What a tree knows of its nominal features.
template <class T>
struct NominalUnits {
  T* bit_rate;
  double *level_root, *entropy;
};

// Write that of every nominal feature that has values among the rows.
template <class T>
void find_nominal_units(const Rows<T>& rows, const Tree<T>& tree, bool scaled, const NominalUnits<T>& units,
                        ScaleScratch<T>& scratch) {
  nativekit::Paced pace(1 << 18);
  for (std::int64_t k = 0; k < tree.kinds.n; ++k) {
    const std::int64_t j = tree.kinds.which[k];
    pace.did(rows.n);
    const LevelCounts<T> counts = rows.weight ? count_levels(rows, j, scratch) : count_single_levels(rows, j, scratch);
    if (!(counts.total > 0.0)) continue;
    units.bit_rate[j] = bit_rate_of(tree, j, scaled ? nominal_length(counts.total, counts.squares) : 1.0);
    units.level_root[j] = std::sqrt(counts.squares);
    units.entropy[j] = counts.entropy;
  }
}

// Write the tree's rate of every feature that varies among the rows; the others keep what they have, so
// that a feature that has varied once stays visible.
template <class T>
NK_INLINE void find_rates(const Rows<T>& rows, const Tree<T>& tree, T* rate, ScaleScratch<T>& scratch) {
  const bool filter = !rows.weight && rows.n >= kFilterFrom;
  if (filter) {
    scratch.low.resize(static_cast<std::size_t>(rows.n + 1));
    scratch.high.resize(static_cast<std::size_t>(rows.n + 1));
    tail_bounds(rows, scratch);
  }
  nativekit::Paced pace(1 << 18);
  for (std::int64_t j = 0; j < tree.n_features; ++j) {
    pace.did(rows.n);
    if (tree.kinds.is_nominal(j)) continue;
    const double scale =
        filter ? tail_scale(rows, j, tree.edition, scratch) : sorted_scale(rows, j, tree.edition, scratch);
    if (scale > 0.0) rate[j] = rate_in(tree, j, rate_of<T>(scale));
  }
}

}  // namespace imondrian::NK_ISA

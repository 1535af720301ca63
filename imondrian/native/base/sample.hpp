// Subsamples without replacement, from the tree's own generator.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

#include "base/rng.hpp"

namespace imondrian {

struct SampleScratch {
  std::vector<std::int64_t> table;
  std::vector<std::pair<double, std::int64_t>> keys;
};

// k of n rows, every subset as likely as another (Floyd's algorithm over a small hash table).
inline void sample_uniform(Rng& rng, std::int64_t n, std::int64_t k, std::int64_t* out, SampleScratch& scratch) {
  std::size_t size = 16;
  while (size < static_cast<std::size_t>(4 * k)) size *= 2;
  scratch.table.assign(size, -1);
  const auto add = [&](std::int64_t row) {
    std::size_t at = (static_cast<std::uint64_t>(row) * 0x9E3779B97F4A7C15u >> 20) & (size - 1);
    for (; scratch.table[at] >= 0; at = (at + 1) & (size - 1)) {
      if (scratch.table[at] == row) return false;
    }
    scratch.table[at] = row;
    return true;
  };
  for (std::int64_t i = 0; i < k; ++i) {
    const std::int64_t last = n - k + i;
    const auto row = static_cast<std::int64_t>(rng.below(static_cast<std::uint64_t>(last) + 1));
    out[i] = add(row) ? row : last;
    if (out[i] == last) add(last);
  }
}

// k of n rows, drawn one after another in proportion to weight (Efraimidis and Spirakis 2006).
inline void sample_weighted(Rng& rng, std::int64_t n, std::int64_t k, const double* weight, std::int64_t* out,
                            SampleScratch& scratch) {
  auto& keys = scratch.keys;
  keys.resize(static_cast<std::size_t>(n));
  const auto [least, most] = std::minmax_element(weight, weight + n);
  const bool wide = *least < 0x1.0p-900 || *most > 0x1.0p900;  // a key may be no double, but its logarithm is
  for (std::int64_t i = 0; i < n; ++i) {
    const double wait = rng.exponential();
    keys[i] = {wide ? std::log(wait) - std::log(weight[i]) : wait / weight[i], i};
  }
  std::nth_element(keys.begin(), keys.begin() + (k - 1), keys.end());
  for (std::int64_t i = 0; i < k; ++i) out[i] = keys[i].second;
  std::sort(out, out + k);
}

}  // namespace imondrian

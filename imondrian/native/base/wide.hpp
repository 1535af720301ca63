// Rates of cuts, for all finite numbers: a side, a rate and their product may each be larger or smaller than
// any double. What is ordinary takes the fast sums of tree/box.hpp; the rest comes here.
#pragma once

#include <cstdint>

#include "nativekit/simd.hpp"
#include "shared/wide.hpp"

namespace imondrian {

template <class T>
using Plain = PlainSum<8 * sizeof(T)>;
template <class T>
NK_INLINE bool is_plain(double sum) {
  return sum >= Plain<T>::kLeast && sum <= Plain<T>::kMost;
}

// One of n terms, drawn in proportion to them; one of them is above 0.
template <class Terms>
NK_RARE std::int64_t draw_wide(const Terms& terms, std::int64_t n, double u) {
  const int top = top_exponent(terms, n);
  double left = 0.0;
  for (std::int64_t j = 0; j < n; ++j) left += against(terms.wide_of(j), top);
  left *= u;
  std::int64_t last = 0;
  for (std::int64_t j = 0; j < n; ++j) {
    const double w = against(terms.wide_of(j), top);
    if (left < w) return j;
    last = w > 0.0 ? j : last;
    left -= w;
  }
  return last;  // rounding ate the end of the interval
}

// A feature drawn in proportion to its term, of which one is above 0; `total` is their sum.
template <class Terms>
NK_INLINE std::int64_t draw_feature(const Terms& terms, std::int64_t n_features, double total, double u) {
  if (!is_plain<double>(total)) return draw_wide(terms, n_features, u);
  double left = u * total;
  std::int64_t last = -1;
  for (std::int64_t j = 0; j < n_features; ++j) {
    const double drawn = terms.of(j), w = drawn > 0.0 ? drawn : 0.0;  // 0, too, where a box has seen no value
    if (left < w) return w <= Plain<double>::kMost ? j : draw_wide(terms, n_features, u);
    last = w > 0.0 ? j : last;
    left -= w;
  }
  return last >= 0 ? last : draw_wide(terms, n_features, u);  // rounding ate the end of the interval
}

}  // namespace imondrian

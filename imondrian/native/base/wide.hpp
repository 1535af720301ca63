// Rates of cuts, for all finite numbers: a side, a rate and their product may each be larger or smaller than
// any double. What is ordinary takes the fast sums of tree/box.hpp; the rest comes here.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "nativekit/simd.hpp"

namespace imondrian {

// mantissa * 2^exponent, the mantissa in [1/4, 1), or 0.
struct Wide {
  double mantissa = 0.0;
  int exponent = 0;

  // The same against 2^top.
  double against(int top) const { return std::ldexp(mantissa, exponent - top); }
};

inline Wide wide(double value) {
  Wide out;
  out.mantissa = std::frexp(value, &out.exponent);
  return out;
}

// (to - from) * rate; 0 unless to > from and the rate is above 0, never 0 if so.
inline Wide wide_side(double from, double to, double rate) {
  if (!(to > from) || !(rate > 0.0)) return {};
  double side = to - from;
  const bool halved = !(side <= std::numeric_limits<double>::max());
  if (halved) side = 0.5 * to - 0.5 * from;
  const Wide a = wide(side), b = wide(rate);
  return {a.mantissa * b.mantissa, a.exponent + b.exponent + halved};
}

// The length of side j of a box, in cuts per unit of time.
template <class T>
struct Sides {
  const T* lo;
  const T* hi;
  const T* rate;
  NK_INLINE double of(std::int64_t j) const {
    return (static_cast<double>(hi[j]) - static_cast<double>(lo[j])) * static_cast<double>(rate[j]);
  }
  Wide wide_of(std::int64_t j) const { return wide_side(lo[j], hi[j], rate[j]); }
};

// How far x is outside a box along feature j, likewise.
template <class T>
struct Excesses {
  const T* x;
  const T* lo;
  const T* hi;
  const T* rate;
  NK_INLINE double of(std::int64_t j) const {
    const double at = x[j], below = static_cast<double>(lo[j]) - at, above = at - static_cast<double>(hi[j]);
    const double outside = below > above ? below : above;
    return (outside > 0.0 ? outside : 0.0) * static_cast<double>(rate[j]);
  }
  Wide wide_of(std::int64_t j) const {
    return x[j] < lo[j] ? wide_side(x[j], lo[j], rate[j]) : wide_side(hi[j], x[j], rate[j]);
  }
};

// The sides of a box stretched to x.
template <class T>
struct Stretched {
  const T* x;
  const T* lo;
  const T* hi;
  const T* rate;
  Wide wide_of(std::int64_t j) const {
    return wide_side(x[j] < lo[j] ? x[j] : lo[j], x[j] > hi[j] ? x[j] : hi[j], rate[j]);
  }
};

// What a fast sum of T says if no term can have overflowed, and none that matters can have been lost.
template <class T>
struct Plain {
  static constexpr double kLeast = sizeof(T) == 8 ? 0x1.0p-900 : 0x1.0p-90;
  static constexpr double kMost = sizeof(T) == 8 ? 0x1.0p900 : 0x1.0p120;
};
template <class T>
NK_INLINE bool is_plain(double sum) {
  return sum >= Plain<T>::kLeast && sum <= Plain<T>::kMost;
}

// The largest exponent among n terms, below all others if there is none above 0.
template <class Terms>
int top_exponent(const Terms& terms, std::int64_t n) {
  int top = std::numeric_limits<int>::min();
  for (std::int64_t j = 0; j < n; ++j) {
    const Wide term = terms.wide_of(j);
    if (term.mantissa > 0.0) top = std::max(top, term.exponent);
  }
  return top;
}

// The sum of n terms, as near as a positive double comes; 0 only if all are.
template <class Terms>
NK_RARE double wide_sum(const Terms& terms, std::int64_t n) {
  const int top = top_exponent(terms, n);
  if (top == std::numeric_limits<int>::min()) return 0.0;
  double sum = 0.0;
  for (std::int64_t j = 0; j < n; ++j) sum += terms.wide_of(j).against(top);
  return std::clamp(std::ldexp(sum, top), std::numeric_limits<double>::denorm_min(),
                    std::numeric_limits<double>::max());
}

// One of n terms, drawn in proportion to them; one of them is above 0.
template <class Terms>
NK_RARE std::int64_t draw_wide(const Terms& terms, std::int64_t n, double u) {
  const int top = top_exponent(terms, n);
  double left = 0.0;
  for (std::int64_t j = 0; j < n; ++j) left += terms.wide_of(j).against(top);
  left *= u;
  std::int64_t last = 0;
  for (std::int64_t j = 0; j < n; ++j) {
    const double w = terms.wide_of(j).against(top);
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

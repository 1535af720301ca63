// Boxes: how far a point lies outside, and where a Mondrian cut falls.
//
// Sums run over fixed lanes and are added in a fixed order, so every instruction set gives the same
// bits. Rows are padded to whole packs (view.hpp) and `rate` is zero there.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include "nativekit/simd.hpp"
#include "rng.hpp"
#include "view.hpp"

namespace imondrian {

template <class T>
constexpr int kLanes = kPackBytes / static_cast<int>(sizeof(T));

template <class T>
NK_INLINE double sum_lanes(const T* lanes) {
  double total = 0.0;
  for (int k = 0; k < kLanes<T>; ++k) total += static_cast<double>(lanes[k]);
  return total;
}

// How far x is outside [lo, hi] along one feature, in cuts: never negative; lo <= hi. Missing values
// make every comparison false, and the distance 0.
template <class T>
NK_INLINE T excess(T x, T lo, T hi, T rate) {
  const T below = lo - x, above = x - hi;
  const T outside = below > above ? below : above;
  return (outside > T(0) ? outside : T(0)) * rate;
}

// The rate at which a cut would separate x from the box: its L1 distance, in cuts per unit of time.
template <class T>
NK_INLINE double separation_rate(const T* NK_RESTRICT x, const T* NK_RESTRICT lo,
                                 const T* NK_RESTRICT hi, const T* NK_RESTRICT rate,
                                 std::int64_t width) {
  T acc[kLanes<T>] = {};
  for (std::int64_t j = 0; j < width; j += kLanes<T>) {
    for (int k = 0; k < kLanes<T>; ++k) {
      acc[k] += excess(x[j + k], lo[j + k], hi[j + k], rate[j + k]);
    }
  }
  return sum_lanes(acc);
}

// The rate at which cuts fall on a box: the sum of its sides.
template <class T>
NK_INLINE double cut_rate(const T* NK_RESTRICT lo, const T* NK_RESTRICT hi,
                          const T* NK_RESTRICT rate, std::int64_t width) {
  T acc[kLanes<T>] = {};
  for (std::int64_t j = 0; j < width; j += kLanes<T>) {
    for (int k = 0; k < kLanes<T>; ++k) acc[k] += (hi[j + k] - lo[j + k]) * rate[j + k];
  }
  return sum_lanes(acc);
}

template <class T>
NK_INLINE void copy_row(T* NK_RESTRICT to, const T* NK_RESTRICT from, std::int64_t width) {
  for (std::int64_t j = 0; j < width; ++j) to[j] = from[j];
}

template <class T>
NK_INLINE void grow_box(T* NK_RESTRICT lo, T* NK_RESTRICT hi, const T* NK_RESTRICT x,
                        std::int64_t width) {
  for (std::int64_t j = 0; j < width; ++j) {
    // `lo != lo`: no value yet, so the first one is the box (view.hpp).
    lo[j] = (x[j] < lo[j]) | (lo[j] != lo[j]) ? x[j] : lo[j];
    hi[j] = (x[j] > hi[j]) | (hi[j] != hi[j]) ? x[j] : hi[j];
  }
}

// A feature drawn in proportion to weight(feature). Weights may overflow when summed: then they are
// drawn again scaled down by 2^-64, which changes no proportion that a double can tell.
template <class Weight>
NK_INLINE std::int64_t draw_feature(std::int64_t n_features, double total, double u,
                                    const Weight& weight) {
  double scale = 1.0;
  if (!(total <= std::numeric_limits<double>::max())) {
    scale = 0x1.0p-64;
    total = 0.0;
    for (std::int64_t j = 0; j < n_features; ++j) total += weight(j, scale);
  }
  double left = u * total;
  std::int64_t last = 0;
  for (std::int64_t j = 0; j < n_features; ++j) {
    const double w = weight(j, scale);
    if (w > 0.0) {
      if (left < w) return j;
      last = j;
    }
    left -= w;
  }
  return last;  // rounding ate the end of the interval
}

// Uniform on the half-open interval [lo, hi), lo < hi, in T: what is rounded onto hi steps back.
template <class T>
NK_INLINE T draw_threshold(T lo, T hi, double u) {
  double cut = static_cast<double>(lo) + u * (static_cast<double>(hi) - static_cast<double>(lo));
  if (!std::isfinite(cut)) cut = (1.0 - u) * static_cast<double>(lo) + u * static_cast<double>(hi);
  T threshold = static_cast<T>(cut);
  if (threshold < lo) threshold = lo;
  if (threshold >= hi) threshold = std::nextafter(hi, lo);
  return threshold;
}

// The time `wait / rate` after `start`, strictly later and finite (I5).
NK_INLINE double later(double start, double wait, double rate) {
  const double time = start + wait / rate;
  if (!(time > start)) return std::nextafter(start, std::numeric_limits<double>::max());
  return time < std::numeric_limits<double>::max() ? time : std::numeric_limits<double>::max();
}

}  // namespace imondrian

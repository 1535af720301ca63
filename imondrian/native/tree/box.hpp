// Boxes: how far a point lies outside, and where a Mondrian cut falls.
//
// Rows are padded to whole packs with missing values (base/view.hpp), which count nothing anywhere.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "base/rng.hpp"
#include "base/view.hpp"
#include "base/wide.hpp"
#include "nativekit/pack.hpp"
#include "nativekit/simd.hpp"

namespace imondrian::NK_ISA {

// As many numbers as rows are padded to.
template <class T>
using Pack = nativekit::NK_ISA::Pack<T, kPackBytes / static_cast<int>(sizeof(T))>;

// Ask for the box of node v before it is needed.
template <class T>
NK_INLINE void prefetch_box(const Tree<T>& tree, std::int32_t v) {
  constexpr std::int64_t kLine = 64, kMost = 256;
  const char* lo = reinterpret_cast<const char*>(tree.lower + v * tree.width);
  const char* hi = reinterpret_cast<const char*>(tree.upper + v * tree.width);
  const std::int64_t bytes = std::min<std::int64_t>(tree.width * static_cast<std::int64_t>(sizeof(T)), kMost);
  for (std::int64_t at = 0; at < bytes; at += kLine) {
    NK_PREFETCH(lo + at);
    NK_PREFETCH(hi + at);
  }
}

template <class T>
NK_INLINE bool contains(const T* x, const T* lo, const T* hi, std::int64_t width);

// The rate at which a cut would separate x from the box: its L1 distance, in cuts per unit of time. 0 only if x is
// inside wherever there is a rate.
template <class T>
NK_INLINE double separation_rate(const T* x, const T* lo, const T* hi, const T* rate, std::int64_t width) {
  using P = Pack<T>;
  P sum = P::zero();
  for (std::int64_t j = 0; j < width; j += P::kLanes) {
    const P at = P::load(x + j);
    const P outside = larger(P::load(lo + j) - at, at - P::load(hi + j));
    sum = sum + larger(outside, P::zero()) * P::load(rate + j);
  }
  const double total = static_cast<double>(sum.sum());
  if (is_plain<T>(total) || (total == 0.0 && contains(x, lo, hi, width))) return total;
  return wide_sum(Excesses<T>{x, lo, hi, rate}, width);
}

// The rate at which cuts fall on a box: the sum of its sides, 0 only if it has none. A side without values counts
// nothing.
template <class T>
NK_INLINE double cut_rate(const T* lo, const T* hi, const T* rate, std::int64_t width) {
  using P = Pack<T>;
  P sum = P::zero();
  for (std::int64_t j = 0; j < width; j += P::kLanes) {
    sum = sum + larger(P::load(hi + j) - P::load(lo + j), P::zero()) * P::load(rate + j);
  }
  const double total = static_cast<double>(sum.sum());
  return is_plain<T>(total) ? total : wide_sum(Sides<T>{lo, hi, rate}, width);
}

template <class T>
NK_INLINE void copy_row(T* to, const T* from, std::int64_t width) {
  for (std::int64_t j = 0; j < width; j += Pack<T>::kLanes) Pack<T>::load(from + j).store(to + j);
}

template <class T>
NK_INLINE void grow_box(T* lo, T* hi, const T* x, std::int64_t width) {
  using P = Pack<T>;
  for (std::int64_t j = 0; j < width; j += P::kLanes) {
    const P at = P::load(x + j);
    least(P::load(lo + j), at).store(lo + j);
    most(P::load(hi + j), at).store(hi + j);
  }
}

// Make [lo, hi] the union of two boxes; returns whether that changes it.
template <class T>
NK_INLINE bool unite_boxes(T* lo, T* hi, const T* lo_a, const T* hi_a, const T* lo_b, const T* hi_b,
                           std::int64_t width) {
  using P = Pack<T>;
  typename P::Flags changed;
  for (std::int64_t j = 0; j < width; j += P::kLanes) {
    const P lower = least(P::load(lo_a + j), P::load(lo_b + j)), upper = most(P::load(hi_a + j), P::load(hi_b + j));
    changed = changed | P::differ(lower, P::load(lo + j)) | P::differ(upper, P::load(hi + j));
    lower.store(lo + j);
    upper.store(hi + j);
  }
  return changed.any();
}

// Whether test(j) finds any lane, of packs from j = 0 on. Asks after several at a time: a branch for each would
// be missed too often.
template <class T, class Test>
NK_INLINE bool any_lane(std::int64_t width, const Test& test) {
  using P = Pack<T>;
  constexpr std::int64_t kAtOnce = 4 * P::kLanes;
  for (std::int64_t begin = 0; begin < width; begin += kAtOnce) {
    typename P::Flags found;
    const std::int64_t end = std::min(width, begin + kAtOnce);
    for (std::int64_t j = begin; j < end; j += P::kLanes) found = found | test(j);
    if (found.any()) return true;
  }
  return false;
}

// Whether x has a value where `held`, a point or either side of a box, has none.
template <class T>
NK_INLINE bool adds_value(const T* x, const T* held, std::int64_t width) {
  using P = Pack<T>;
  return any_lane<T>(width, [&](std::int64_t j) { return P::lacks(P::load(held + j), P::load(x + j)); });
}

// Make the box of v the union of its children's (I4); returns whether that changes it.
template <class T>
NK_INLINE bool unite_children(Tree<T>& tree, std::int32_t v) {
  const std::int64_t width = tree.width;
  const std::int32_t left = tree.child[2 * std::int64_t{v}], right = tree.child[2 * std::int64_t{v} + 1];
  return unite_boxes(tree.lower + v * width, tree.upper + v * width, tree.lower_of(left), tree.upper_of(left),
                     tree.lower_of(right), tree.upper_of(right), width);
}

// Whether x differs from the box in a feature of rate 0, where the box has no side (I10).
template <class T>
NK_INLINE bool varies_first(const T* x, const T* lo, const T* hi, const T* rate, std::int64_t width) {
  bool any = false;
  for (std::int64_t j = 0; j < width; ++j) any |= ((x[j] < lo[j]) | (x[j] > hi[j])) & (rate[j] == T(0));
  return any;
}

// Whether the box, and so every box around it, contains x: all its values, that is. A box that has seen no
// value of a feature contains none.
template <class T>
NK_INLINE bool contains(const T* x, const T* lo, const T* hi, std::int64_t width) {
  using P = Pack<T>;
  return !any_lane<T>(width,
                      [&](std::int64_t j) { return P::not_inside(P::load(x + j), P::load(lo + j), P::load(hi + j)); });
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

}  // namespace imondrian::NK_ISA

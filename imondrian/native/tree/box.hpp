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
#include "base/words.hpp"
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

// What nominal features add to the rate at which a cut would separate x from the box, or falls on it.
template <class T>
NK_INLINE double nominal_separation(const Kinds<T>& kinds, const T* x, const T* lo, const T* hi) {
  double sum = 0.0;
  for (std::int64_t k = 0; k < kinds.n; ++k) {
    const std::int32_t j = kinds.which[k];
    sum += nativekit::count_bits(bits_outside(x[j], lo[j], hi[j])) * static_cast<double>(kinds.bit_rate[j]);
  }
  return sum;
}
template <class T>
NK_INLINE double nominal_cut_rate(const Kinds<T>& kinds, const T* lo, const T* hi) {
  double sum = 0.0;
  for (std::int64_t k = 0; k < kinds.n; ++k) {
    const std::int32_t j = kinds.which[k];
    sum += nativekit::count_bits(bits_between(lo[j], hi[j])) * static_cast<double>(kinds.bit_rate[j]);
  }
  return sum;
}

// A row that lacks the values that `mask` has bits of.
template <class T>
NK_INLINE Pack<T> but(const T* x, const T* mask) {
  return with_bits(Pack<T>::load(x), Pack<T>::load(mask));  // all bits are a NaN
}

// The same with nominal features, whose rate (for numbers) is 0.
template <class T>
double mixed_separation_rate(const Tree<T>& tree, const T* x, const T* lo, const T* hi) {
  using P = Pack<T>;
  const T* const rate = tree.rate;
  const T* const mask = tree.kinds.mask;
  P sum = P::zero();
  typename P::Flags apart;
  for (std::int64_t j = 0; j < tree.width; j += P::kLanes) {
    const P at = but(x + j, mask + j), low = P::load(lo + j), high = P::load(hi + j);
    sum = sum + larger(larger(low - at, at - high), P::zero()) * P::load(rate + j);
    apart = apart | P::not_inside(at, low, high);
  }
  double total = static_cast<double>(sum.sum());
  if (!is_plain<T>(total) && (total != 0.0 || apart.any())) total = wide_sum(Excesses<T>{x, lo, hi, rate}, tree.width);
  return total + nominal_separation(tree.kinds, x, lo, hi);
}

template <class T>
NK_INLINE double separation_rate(const Tree<T>& tree, const T* x, const T* lo, const T* hi) {
  return tree.kinds.any() ? mixed_separation_rate(tree, x, lo, hi) : separation_rate(x, lo, hi, tree.rate, tree.width);
}
template <class T>
NK_INLINE double cut_rate(const Tree<T>& tree, const T* lo, const T* hi) {
  const double numbers = cut_rate(lo, hi, tree.rate, tree.width);
  return tree.kinds.any() ? numbers + nominal_cut_rate(tree.kinds, lo, hi) : numbers;
}

// The length of side j of a box, or how far x is outside along it (tree.x), in cuts per unit of time, of any kind.
template <class T>
struct MixedSides {
  Sides<T> numbers;
  const Kinds<T>& kinds;
  double of(std::int64_t j) const { return kinds.is_nominal(j) ? bits(j) : numbers.of(j); }
  Wide wide_of(std::int64_t j) const { return kinds.is_nominal(j) ? wide(bits(j)) : numbers.wide_of(j); }
  double bits(std::int64_t j) const {
    return nativekit::count_bits(bits_between(numbers.lo[j], numbers.hi[j])) * static_cast<double>(kinds.bit_rate[j]);
  }
};
template <class T>
struct MixedExcesses {
  Excesses<T> numbers;
  const Kinds<T>& kinds;
  double of(std::int64_t j) const { return kinds.is_nominal(j) ? bits(j) : numbers.of(j); }
  Wide wide_of(std::int64_t j) const { return kinds.is_nominal(j) ? wide(bits(j)) : numbers.wide_of(j); }
  double bits(std::int64_t j) const {
    return nativekit::count_bits(bits_outside(numbers.x[j], numbers.lo[j], numbers.hi[j])) *
           static_cast<double>(kinds.bit_rate[j]);
  }
};

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

// Either side of the union of two boxes, where some features are nominal.
template <class T>
NK_INLINE Pack<T> mixed_lower(const Pack<T>& mask, const Pack<T>& a, const Pack<T>& b) {
  return blend(mask, common_bits(a, b), least(a, b));
}
template <class T>
NK_INLINE Pack<T> mixed_upper(const Pack<T>& mask, const Pack<T>& a, const Pack<T>& b) {
  return blend(mask, all_bits(a, b), most(a, b));
}

template <class T>
NK_INLINE void grow_box(const Tree<T>& tree, T* lo, T* hi, const T* x) {
  using P = Pack<T>;
  if (!tree.kinds.any()) return grow_box(lo, hi, x, tree.width);
  for (std::int64_t j = 0; j < tree.width; j += P::kLanes) {
    const P mask = P::load(tree.kinds.mask + j), at = P::load(x + j);
    mixed_lower<T>(mask, P::load(lo + j), at).store(lo + j);
    mixed_upper<T>(mask, P::load(hi + j), at).store(hi + j);
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

template <class T>
bool unite_mixed_boxes(const Kinds<T>& kinds, T* lo, T* hi, const T* lo_a, const T* hi_a, const T* lo_b, const T* hi_b,
                       std::int64_t width) {
  using P = Pack<T>;
  typename P::Flags changed;
  for (std::int64_t j = 0; j < width; j += P::kLanes) {
    const P mask = P::load(kinds.mask + j);
    const P lower = mixed_lower<T>(mask, P::load(lo_a + j), P::load(lo_b + j));
    const P upper = mixed_upper<T>(mask, P::load(hi_a + j), P::load(hi_b + j));
    changed = changed | P::differ(lower, P::load(lo + j)) | P::differ(upper, P::load(hi + j));
    lower.store(lo + j);
    upper.store(hi + j);
  }
  return changed.any();
}

// Make the box of v the union of its children's (I4); returns whether that changes it.
template <class T>
NK_INLINE bool unite_children(Tree<T>& tree, std::int32_t v) {
  const std::int64_t width = tree.width;
  const std::int32_t left = tree.child[2 * std::int64_t{v}], right = tree.child[2 * std::int64_t{v} + 1];
  if (tree.kinds.any()) {
    return unite_mixed_boxes(tree.kinds, tree.lower + v * width, tree.upper + v * width, tree.lower_of(left),
                             tree.upper_of(left), tree.lower_of(right), tree.upper_of(right), width);
  }
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
template <class T>
bool mixed_varies_first(const Tree<T>& tree, std::int64_t j, const T* x, const T* lo, const T* hi) {
  if (tree.kinds.is_nominal(j)) return tree.bit_rate[j] == T(0) && bits_outside(x[j], lo[j], hi[j]) != 0;
  return tree.rate[j] == T(0) && (x[j] < lo[j] || x[j] > hi[j]);
}
template <class T>
NK_INLINE bool varies_first(const Tree<T>& tree, const T* x, const T* lo, const T* hi) {
  if (!tree.kinds.any()) return varies_first(x, lo, hi, tree.rate, tree.width);
  bool any = false;
  for (std::int64_t j = 0; j < tree.n_features; ++j) any |= mixed_varies_first(tree, j, x, lo, hi);
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

template <class T>
bool mixed_contains(const Kinds<T>& kinds, const T* x, const T* lo, const T* hi, std::int64_t width) {
  using P = Pack<T>;
  return !any_lane<T>(width, [&](std::int64_t j) {
    const P mask = P::load(kinds.mask + j), at = P::load(x + j), low = P::load(lo + j), high = P::load(hi + j);
    return P::not_inside(with_bits(at, mask), low, high) |
           P::differ(masked(mask, common_bits(at, low)), masked(mask, low)) |
           P::differ(masked(mask, all_bits(at, high)), masked(mask, high));
  });
}
template <class T>
NK_INLINE bool contains(const Tree<T>& tree, const T* x, const T* lo, const T* hi) {
  return tree.kinds.any() ? mixed_contains(tree.kinds, x, lo, hi, tree.width) : contains(x, lo, hi, tree.width);
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

// The number of one of the bits, each as likely as another.
template <class Bits>
NK_INLINE int draw_bit(Bits bits, double u) {
  const int n = nativekit::count_bits(bits);
  return nth_bit(bits, std::min(static_cast<int>(u * n), n - 1));
}

// The time `wait / rate` after `start`, strictly later and finite (I5).
NK_INLINE double later(double start, double wait, double rate) {
  const double time = start + wait / rate;
  if (!(time > start)) return std::nextafter(start, std::numeric_limits<double>::max());
  return time < std::numeric_limits<double>::max() ? time : std::numeric_limits<double>::max();
}

}  // namespace imondrian::NK_ISA

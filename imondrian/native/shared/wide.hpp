// Sums of sides that no fast one can hold: a side, a rate and their product may each be larger or smaller than any
// double. One text for the core and for the kernels, which get it inlined (`_kit/kernel_source.py`), so that
// both round alike.
#ifndef IMONDRIAN_SHARED_WIDE_HPP_
#define IMONDRIAN_SHARED_WIDE_HPP_

#if defined(REAL_BITS)  // a kernel: there are no headers
#define NK_SHARED __device__ __forceinline__
#define NK_SHARED_RARE __device__ __forceinline__
typedef int Index;  // of features; the narrower takes fewer registers
#else
#include <math.h>

#include <nativekit/simd.hpp>  // in brackets: what is in quotes is put into the kernel's source
#define NK_SHARED inline
#define NK_SHARED_RARE NK_RARE
namespace imondrian {
typedef long long Index;
}
#endif

namespace imondrian {

constexpr double kLeastDouble = 4.9406564584124654e-324, kMostDouble = 1.7976931348623157e308;
constexpr int kNoExponent = -2147483647 - 1;  // below all others

// What a fast sum of numbers of `bits` bits says if no term can have overflowed, and none that matters can have been
// lost.
template <int bits>
struct PlainSum {
  static constexpr double kLeast = bits == 64 ? 0x1.0p-900 : 0x1.0p-90;
  static constexpr double kMost = bits == 64 ? 0x1.0p900 : 0x1.0p120;
};

// mantissa * 2^exponent, the mantissa in [1/4, 1), or 0.
struct Wide {
  double mantissa;
  int exponent;
};

NK_SHARED Wide wide(double value) {
  Wide out = {0, 0};
  out.mantissa = frexp(value, &out.exponent);
  return out;
}

// The same against 2^top.
NK_SHARED double against(const Wide& term, int top) { return ldexp(term.mantissa, term.exponent - top); }

// (to - from) * rate; 0 unless to > from and the rate is above 0, never 0 if so.
NK_SHARED Wide wide_side(double from, double to, double rate) {
  if (!(to > from) || !(rate > 0)) return Wide{0, 0};
  double side = to - from;
  const bool halved = !(side <= kMostDouble);
  if (halved) side = 0.5 * to - 0.5 * from;
  const Wide a = wide(side), b = wide(rate);
  return Wide{a.mantissa * b.mantissa, a.exponent + b.exponent + (halved ? 1 : 0)};
}

// The length of side j of a box, in cuts per unit of time.
template <class T>
struct Sides {
  const T* lo;
  const T* hi;
  const T* rate;
  NK_SHARED double of(Index j) const {
    return (static_cast<double>(hi[j]) - static_cast<double>(lo[j])) * static_cast<double>(rate[j]);
  }
  NK_SHARED Wide wide_of(Index j) const { return wide_side(lo[j], hi[j], rate[j]); }
};

// How far x is outside a box along feature j, likewise.
template <class T>
struct Excesses {
  const T* x;
  const T* lo;
  const T* hi;
  const T* rate;
  NK_SHARED double of(Index j) const {
    const double at = static_cast<double>(x[j]), below = static_cast<double>(lo[j]) - at,
                 above = at - static_cast<double>(hi[j]);
    const double outside = below > above ? below : above;
    return (outside > 0.0 ? outside : 0.0) * static_cast<double>(rate[j]);
  }
  NK_SHARED Wide wide_of(Index j) const {
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
  NK_SHARED Wide wide_of(Index j) const {
    return wide_side(x[j] < lo[j] ? x[j] : lo[j], x[j] > hi[j] ? x[j] : hi[j], rate[j]);
  }
};

// The largest exponent among n terms, kNoExponent if there is none above 0.
template <class Terms>
NK_SHARED int top_exponent(const Terms& terms, Index n) {
  int top = kNoExponent;
  for (Index j = 0; j < n; ++j) {
    const Wide term = terms.wide_of(j);
    if (term.mantissa > 0 && term.exponent > top) top = term.exponent;
  }
  return top;
}

// The sum of n terms, as near as a positive double comes; 0 only if all are.
template <class Terms>
NK_SHARED_RARE double wide_sum(const Terms& terms, Index n) {
  const int top = top_exponent(terms, n);
  if (top == kNoExponent) return 0;
  double sum = 0;
  for (Index j = 0; j < n; ++j) sum += against(terms.wide_of(j), top);
  const double total = ldexp(sum, top);
  return total < kLeastDouble ? kLeastDouble : total > kMostDouble ? kMostDouble : total;
}

}  // namespace imondrian

#endif  // IMONDRIAN_SHARED_WIDE_HPP_

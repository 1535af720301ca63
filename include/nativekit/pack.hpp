// Some numbers at once, in as many registers of the instruction set as it takes: the same results on each.
#pragma once

#include "nativekit/vec.hpp"

namespace nativekit {
namespace NK_ISA {

template <class T, int kCount>
struct Pack {
  static constexpr int kLanes = kCount;
  static constexpr int kWidth = register_width<T>(kLanes * static_cast<int>(sizeof(T)));
  static constexpr int kParts = kLanes / kWidth;
  static_assert(kParts * kWidth == kLanes, "a pack fills whole registers");
  using S = Vec<T, kWidth>;
  typename S::V v[kParts];

  template <class F>
  static NK_INLINE Pack each(const F& part) {
    Pack out;
    for (int k = 0; k < kParts; ++k) out.v[k] = part(k);
    return out;
  }
  static NK_INLINE Pack load(const T* from) {
    return each([&](int k) { return S::load(from + k * kWidth); });
  }
  NK_INLINE void store(T* to) const {
    for (int k = 0; k < kParts; ++k) S::store(to + k * kWidth, v[k]);
  }
  static NK_INLINE Pack of(T value) {
    return each([&](int) { return S::of(value); });
  }
  static NK_INLINE Pack zero() { return of(T(0)); }
  friend NK_INLINE Pack operator+(const Pack& a, const Pack& b) {
    return each([&](int k) { return S::add(a.v[k], b.v[k]); });
  }
  friend NK_INLINE Pack operator-(const Pack& a, const Pack& b) {
    return each([&](int k) { return S::sub(a.v[k], b.v[k]); });
  }
  friend NK_INLINE Pack operator*(const Pack& a, const Pack& b) {
    return each([&](int k) { return S::mul(a.v[k], b.v[k]); });
  }
  friend NK_INLINE Pack root(const Pack& a) {
    return each([&](int k) { return S::root(a.v[k]); });
  }
  // The larger or smaller; the second where either is NaN.
  friend NK_INLINE Pack larger(const Pack& a, const Pack& b) {
    return each([&](int k) { return S::larger(a.v[k], b.v[k]); });
  }
  friend NK_INLINE Pack smaller(const Pack& a, const Pack& b) {
    return each([&](int k) { return S::smaller(a.v[k], b.v[k]); });
  }
  // a < b ? x : y.
  friend NK_INLINE Pack where_lt(const Pack& a, const Pack& b, const Pack& x, const Pack& y) {
    return each([&](int k) { return S::pick(S::lt(a.v[k], b.v[k]), x.v[k], y.v[k]); });
  }
  // a <= b ? x : y.
  friend NK_INLINE Pack where_le(const Pack& a, const Pack& b, const Pack& x, const Pack& y) {
    return each([&](int k) { return S::pick(S::le(a.v[k], b.v[k]), x.v[k], y.v[k]); });
  }
  // 2^k of whole numbers k, -1022 <= k <= 1023.
  friend NK_INLINE Pack power_of_two(const Pack& k) {
    return each([&](int i) { return S::power_of_two(k.v[i]); });
  }
  // `other` where a lane is `value`.
  friend NK_INLINE Pack unless_equal(const Pack& a, T value, T other) {
    return each([&](int k) { return S::pick(S::eq(a.v[k], S::of(value)), S::of(other), a.v[k]); });
  }
  // `value` where a lane is NaN.
  friend NK_INLINE Pack unless_nan(const Pack& a, T value) {
    return each([&](int k) { return S::pick(S::eq(a.v[k], a.v[k]), a.v[k], S::of(value)); });
  }
  // The smaller or larger of two where NaN means "none": NaN only where both are.
  friend NK_INLINE Pack least(const Pack& a, const Pack& b) {
    return each([&](int k) { return S::pick(S::eq(a.v[k], a.v[k]), S::smaller(b.v[k], a.v[k]), b.v[k]); });
  }
  friend NK_INLINE Pack most(const Pack& a, const Pack& b) {
    return each([&](int k) { return S::pick(S::eq(a.v[k], a.v[k]), S::larger(b.v[k], a.v[k]), b.v[k]); });
  }
  // The bits that both have, that either has; where both are there, for NaN means "none".
  friend NK_INLINE Pack common_bits(const Pack& a, const Pack& b) {
    return each([&](int k) { return joined(a.v[k], b.v[k], S::bits_both(a.v[k], b.v[k])); });
  }
  friend NK_INLINE Pack all_bits(const Pack& a, const Pack& b) {
    return each([&](int k) { return joined(a.v[k], b.v[k], S::bits_either(a.v[k], b.v[k])); });
  }
  // The bits of a lane or of another.
  friend NK_INLINE Pack with_bits(const Pack& a, const Pack& b) {
    return each([&](int k) { return S::bits_either(a.v[k], b.v[k]); });
  }
  friend NK_INLINE Pack masked(const Pack& mask, const Pack& a) {
    return each([&](int k) { return S::bits_both(mask.v[k], a.v[k]); });
  }
  // mask ? x : y, bit by bit.
  friend NK_INLINE Pack blend(const Pack& mask, const Pack& x, const Pack& y) {
    return each([&](int k) { return S::bits_either(S::bits_both(mask.v[k], x.v[k]), S::bits_but(y.v[k], mask.v[k])); });
  }
  // x where a lane of a is NaN, else y.
  friend NK_INLINE Pack where_nan(const Pack& a, const Pack& x, const Pack& y) {
    return each([&](int k) { return S::pick(S::eq(a.v[k], a.v[k]), y.v[k], x.v[k]); });
  }
  // Bit i is set where a[i] <= b[i].
  friend NK_INLINE unsigned le_mask(const Pack& a, const Pack& b) {
    unsigned mask = 0;
    for (int k = 0; k < kParts; ++k) mask |= S::bits(S::le(a.v[k], b.v[k])) << (k * kWidth);
    return mask;
  }

  // With another value in one lane.
  NK_INLINE Pack with(int lane, T value) const {
#if NK_X86 && NK_LEVEL == 2
    if constexpr (kWidth * sizeof(T) == 64) {
      const unsigned bit = 1u << lane;
      return each(
          [&](int k) { return S::pick(static_cast<typename S::Mask>(bit >> (k * kWidth)), S::of(value), v[k]); });
    }
#endif
    alignas(64) T all[kLanes];
    store(all);
    all[lane] = value;
    return load(all);
  }

  // Whether something holds in any lane.
  struct Flags {
    typename S::Mask yes = {};
    friend NK_INLINE Flags operator|(const Flags& a, const Flags& b) { return {S::either(a.yes, b.yes)}; }
    NK_INLINE bool any() const { return S::any(yes); }
  };
  template <class F>
  static NK_INLINE Flags any_part(const F& part) {
    Flags out{part(0)};
    for (int k = 1; k < kParts; ++k) out.yes = S::either(out.yes, part(k));
    return out;
  }
  // Whether x has a value and [lo, hi] does not contain it.
  static NK_INLINE Flags not_inside(const Pack& x, const Pack& lo, const Pack& hi) {
    return any_part([&](int k) {
      const auto inside = S::both(S::le(lo.v[k], x.v[k]), S::le(x.v[k], hi.v[k]));
      return S::but_not(S::eq(x.v[k], x.v[k]), inside);
    });
  }
  // Whether x has a value and `apart` is not 0 or less.
  static NK_INLINE Flags not_below(const Pack& x, const Pack& apart) {
    return any_part([&](int k) { return S::but_not(S::eq(x.v[k], x.v[k]), S::le(apart.v[k], S::of(T(0)))); });
  }
  // Whether b has a value where a has none.
  static NK_INLINE Flags lacks(const Pack& a, const Pack& b) {
    return any_part([&](int k) { return S::but_not(S::eq(b.v[k], b.v[k]), S::eq(a.v[k], a.v[k])); });
  }
  // Whether a and b differ in any bit.
  static NK_INLINE Flags differ(const Pack& a, const Pack& b) {
    return any_part([&](int k) { return S::differ(a.v[k], b.v[k]); });
  }

  // Halves are added until one lane is left: the same order everywhere.
  NK_INLINE T sum() const {
    typename S::V part[kParts];
    for (int k = 0; k < kParts; ++k) part[k] = v[k];
    for (int half = kParts / 2; half > 0; half /= 2) {
      for (int k = 0; k < half; ++k) part[k] = S::add(part[k], part[k + half]);
    }
    return add_up(part[0]);
  }
  // The largest lane; no lane is NaN.
  NK_INLINE T largest() const {
    typename S::V most = v[0];
    for (int k = 1; k < kParts; ++k) most = S::larger(most, v[k]);
#if NK_X86 && NK_LEVEL == 2
    if constexpr (kWidth * sizeof(T) == 64) return reduce(most);
#endif
    alignas(64) T lane[kWidth];
    S::store(lane, most);
    for (int half = kWidth / 2; half > 0; half /= 2) {
      for (int k = 0; k < half; ++k) lane[k] = lane[k] < lane[k + half] ? lane[k + half] : lane[k];
    }
    return lane[0];
  }

 private:
  static NK_INLINE typename S::V joined(typename S::V a, typename S::V b, typename S::V both) {
    return S::pick(S::eq(a, a), S::pick(S::eq(b, b), both, a), b);
  }
  static NK_INLINE T add_up(T a) { return a; }
#if NK_NEON
  static NK_INLINE float add_up(float32x4_t a) {
    const float32x2_t sums = vadd_f32(vget_low_f32(a), vget_high_f32(a));
    return vget_lane_f32(sums, 0) + vget_lane_f32(sums, 1);
  }
  static NK_INLINE double add_up(float64x2_t a) { return vgetq_lane_f64(a, 0) + vgetq_lane_f64(a, 1); }
#endif
#if NK_X86
  static NK_INLINE float add_up(__m128 a) {
    a = _mm_add_ps(a, _mm_movehl_ps(a, a));
    return _mm_cvtss_f32(_mm_add_ss(a, _mm_shuffle_ps(a, a, 1)));
  }
  static NK_INLINE double add_up(__m128d a) { return _mm_cvtsd_f64(_mm_add_sd(a, _mm_unpackhi_pd(a, a))); }
#endif
#if NK_X86 && NK_LEVEL >= 1
  static NK_INLINE float add_up(__m256 a) {
    return add_up(_mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1)));
  }
  static NK_INLINE double add_up(__m256d a) {
    return add_up(_mm_add_pd(_mm256_castpd256_pd128(a), _mm256_extractf128_pd(a, 1)));
  }
#endif
#if NK_X86 && NK_LEVEL == 2
  static NK_INLINE float add_up(__m512 a) {
    return add_up(_mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1)));
  }
  static NK_INLINE double add_up(__m512d a) {
    return add_up(_mm256_add_pd(_mm512_castpd512_pd256(a), _mm512_extractf64x4_pd(a, 1)));
  }
  static NK_INLINE float reduce(__m512 a) { return _mm512_reduce_max_ps(a); }
  static NK_INLINE double reduce(__m512d a) { return _mm512_reduce_max_pd(a); }
#endif
};

}  // namespace NK_ISA
}  // namespace nativekit

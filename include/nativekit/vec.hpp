// The registers of an instruction set: Vec<T, n> is n numbers in one, its Mask a yes or no for each. For Pack alone.
//
// larger and smaller give the second where either is NaN; comparisons with NaN are false. differ() says only in any()
// what it found: whether any bit differs. bits_both, bits_either and bits_but (a without b) take numbers as bits.

#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "nativekit/isa.hpp"

#ifndef NK_ISA
#error "belongs between begin_isa.hpp and end_isa.hpp"
#endif

namespace nativekit {
namespace NK_ISA {

// Vectors of doubles also have power_of_two(): 2^k of whole k, -1022 <= k <= 1023, by its bits.
template <class T, int kWidth>
struct Vec;

constexpr double kExponentZero = 0x1.0p52 + 1023.0;  // k more, and its lowest bits are the exponent of 2^k

// One number: where there is nothing better, compilers make their own vectors of loops over these.
template <class T>
struct Vec<T, 1> {
  using V = T;
  using Mask = bool;
  static NK_INLINE V load(const T* p) { return *p; }
  static NK_INLINE void store(T* p, V a) { *p = a; }
  static NK_INLINE V of(T a) { return a; }
  static NK_INLINE V add(V a, V b) { return a + b; }
  static NK_INLINE V sub(V a, V b) { return a - b; }
  static NK_INLINE V mul(V a, V b) { return a * b; }
  static NK_INLINE V root(V a) { return std::sqrt(a); }
  static NK_INLINE V larger(V a, V b) { return a > b ? a : b; }
  static NK_INLINE V smaller(V a, V b) { return a < b ? a : b; }
  static NK_INLINE Mask lt(V a, V b) { return a < b; }
  static NK_INLINE Mask le(V a, V b) { return a <= b; }
  static NK_INLINE Mask eq(V a, V b) { return a == b; }
  static NK_INLINE Mask differ(V a, V b) { return std::memcmp(&a, &b, sizeof a) != 0; }
  using Bits = std::conditional_t<sizeof(T) == 8, std::uint64_t, std::uint32_t>;
  template <class F>
  static NK_INLINE V on_bits(V a, V b, const F& f) {
    Bits x, y;
    std::memcpy(&x, &a, sizeof x), std::memcpy(&y, &b, sizeof y);
    x = f(x, y);
    std::memcpy(&a, &x, sizeof a);
    return a;
  }
  static NK_INLINE V bits_both(V a, V b) {
    return on_bits(a, b, [](Bits x, Bits y) { return x & y; });
  }
  static NK_INLINE V bits_either(V a, V b) {
    return on_bits(a, b, [](Bits x, Bits y) { return x | y; });
  }
  static NK_INLINE V bits_but(V a, V b) {
    return on_bits(a, b, [](Bits x, Bits y) { return x & ~y; });
  }
  static NK_INLINE Mask both(Mask a, Mask b) { return a & b; }
  static NK_INLINE Mask either(Mask a, Mask b) { return a | b; }
  static NK_INLINE Mask but_not(Mask a, Mask b) { return a & !b; }
  static NK_INLINE V pick(Mask m, V yes, V no) { return m ? yes : no; }
  static NK_INLINE unsigned bits(Mask m) { return m; }
  static NK_INLINE bool any(Mask m) { return m; }
  static NK_INLINE V power_of_two(V k) {
    static_assert(sizeof(T) == sizeof(std::uint64_t), "of doubles");
    const V sum = k + kExponentZero;
    std::uint64_t bits;
    std::memcpy(&bits, &sum, sizeof bits);
    bits <<= 52;
    V power;
    std::memcpy(&power, &bits, sizeof power);
    return power;
  }
};

#if NK_X86 && NK_LEVEL == 0
template <>
struct Vec<float, 4> {
  using V = __m128;
  using Mask = __m128;
  static NK_INLINE V load(const float* p) { return _mm_loadu_ps(p); }
  static NK_INLINE void store(float* p, V a) { _mm_storeu_ps(p, a); }
  static NK_INLINE V of(float a) { return _mm_set1_ps(a); }
  static NK_INLINE V add(V a, V b) { return _mm_add_ps(a, b); }
  static NK_INLINE V sub(V a, V b) { return _mm_sub_ps(a, b); }
  static NK_INLINE V mul(V a, V b) { return _mm_mul_ps(a, b); }
  static NK_INLINE V root(V a) { return _mm_sqrt_ps(a); }
  static NK_INLINE V larger(V a, V b) { return _mm_max_ps(a, b); }
  static NK_INLINE V smaller(V a, V b) { return _mm_min_ps(a, b); }
  static NK_INLINE Mask lt(V a, V b) { return _mm_cmplt_ps(a, b); }
  static NK_INLINE Mask le(V a, V b) { return _mm_cmple_ps(a, b); }
  static NK_INLINE Mask eq(V a, V b) { return _mm_cmpeq_ps(a, b); }
  static NK_INLINE Mask differ(V a, V b) { return _mm_xor_ps(a, b); }
  static NK_INLINE V bits_both(V a, V b) { return _mm_and_ps(a, b); }
  static NK_INLINE V bits_either(V a, V b) { return _mm_or_ps(a, b); }
  static NK_INLINE V bits_but(V a, V b) { return _mm_andnot_ps(b, a); }
  static NK_INLINE Mask both(Mask a, Mask b) { return _mm_and_ps(a, b); }
  static NK_INLINE Mask either(Mask a, Mask b) { return _mm_or_ps(a, b); }
  static NK_INLINE Mask but_not(Mask a, Mask b) { return _mm_andnot_ps(b, a); }
  static NK_INLINE V pick(Mask m, V yes, V no) { return _mm_or_ps(_mm_and_ps(m, yes), _mm_andnot_ps(m, no)); }
  static NK_INLINE unsigned bits(Mask m) { return static_cast<unsigned>(_mm_movemask_ps(m)); }
  static NK_INLINE bool any(Mask m) {
    return _mm_movemask_epi8(_mm_cmpeq_epi8(_mm_castps_si128(m), _mm_setzero_si128())) != 0xffff;
  }
};

template <>
struct Vec<double, 2> {
  using V = __m128d;
  using Mask = __m128d;
  static NK_INLINE V load(const double* p) { return _mm_loadu_pd(p); }
  static NK_INLINE void store(double* p, V a) { _mm_storeu_pd(p, a); }
  static NK_INLINE V of(double a) { return _mm_set1_pd(a); }
  static NK_INLINE V add(V a, V b) { return _mm_add_pd(a, b); }
  static NK_INLINE V sub(V a, V b) { return _mm_sub_pd(a, b); }
  static NK_INLINE V mul(V a, V b) { return _mm_mul_pd(a, b); }
  static NK_INLINE V root(V a) { return _mm_sqrt_pd(a); }
  static NK_INLINE V larger(V a, V b) { return _mm_max_pd(a, b); }
  static NK_INLINE V smaller(V a, V b) { return _mm_min_pd(a, b); }
  static NK_INLINE Mask lt(V a, V b) { return _mm_cmplt_pd(a, b); }
  static NK_INLINE Mask le(V a, V b) { return _mm_cmple_pd(a, b); }
  static NK_INLINE Mask eq(V a, V b) { return _mm_cmpeq_pd(a, b); }
  static NK_INLINE Mask differ(V a, V b) { return _mm_xor_pd(a, b); }
  static NK_INLINE V bits_both(V a, V b) { return _mm_and_pd(a, b); }
  static NK_INLINE V bits_either(V a, V b) { return _mm_or_pd(a, b); }
  static NK_INLINE V bits_but(V a, V b) { return _mm_andnot_pd(b, a); }
  static NK_INLINE Mask both(Mask a, Mask b) { return _mm_and_pd(a, b); }
  static NK_INLINE Mask either(Mask a, Mask b) { return _mm_or_pd(a, b); }
  static NK_INLINE Mask but_not(Mask a, Mask b) { return _mm_andnot_pd(b, a); }
  static NK_INLINE V pick(Mask m, V yes, V no) { return _mm_or_pd(_mm_and_pd(m, yes), _mm_andnot_pd(m, no)); }
  static NK_INLINE unsigned bits(Mask m) { return static_cast<unsigned>(_mm_movemask_pd(m)); }
  static NK_INLINE bool any(Mask m) {
    return _mm_movemask_epi8(_mm_cmpeq_epi8(_mm_castpd_si128(m), _mm_setzero_si128())) != 0xffff;
  }
  static NK_INLINE V power_of_two(V k) {
    return _mm_castsi128_pd(_mm_slli_epi64(_mm_castpd_si128(add(k, of(kExponentZero))), 52));
  }
};
#elif NK_X86
template <>
struct Vec<float, 8> {
  using V = __m256;
  using Mask = __m256;
  static NK_INLINE V load(const float* p) { return _mm256_loadu_ps(p); }
  static NK_INLINE void store(float* p, V a) { _mm256_storeu_ps(p, a); }
  static NK_INLINE V of(float a) { return _mm256_set1_ps(a); }
  static NK_INLINE V add(V a, V b) { return _mm256_add_ps(a, b); }
  static NK_INLINE V sub(V a, V b) { return _mm256_sub_ps(a, b); }
  static NK_INLINE V mul(V a, V b) { return _mm256_mul_ps(a, b); }
  static NK_INLINE V root(V a) { return _mm256_sqrt_ps(a); }
  static NK_INLINE V larger(V a, V b) { return _mm256_max_ps(a, b); }
  static NK_INLINE V smaller(V a, V b) { return _mm256_min_ps(a, b); }
  static NK_INLINE Mask lt(V a, V b) { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
  static NK_INLINE Mask le(V a, V b) { return _mm256_cmp_ps(a, b, _CMP_LE_OQ); }
  static NK_INLINE Mask eq(V a, V b) { return _mm256_cmp_ps(a, b, _CMP_EQ_OQ); }
  static NK_INLINE Mask differ(V a, V b) { return _mm256_xor_ps(a, b); }
  static NK_INLINE V bits_both(V a, V b) { return _mm256_and_ps(a, b); }
  static NK_INLINE V bits_either(V a, V b) { return _mm256_or_ps(a, b); }
  static NK_INLINE V bits_but(V a, V b) { return _mm256_andnot_ps(b, a); }
  static NK_INLINE Mask both(Mask a, Mask b) { return _mm256_and_ps(a, b); }
  static NK_INLINE Mask either(Mask a, Mask b) { return _mm256_or_ps(a, b); }
  static NK_INLINE Mask but_not(Mask a, Mask b) { return _mm256_andnot_ps(b, a); }
  static NK_INLINE V pick(Mask m, V yes, V no) { return _mm256_blendv_ps(no, yes, m); }
  static NK_INLINE unsigned bits(Mask m) { return static_cast<unsigned>(_mm256_movemask_ps(m)); }
  static NK_INLINE bool any(Mask m) { return !_mm256_testz_si256(_mm256_castps_si256(m), _mm256_castps_si256(m)); }
};

template <>
struct Vec<double, 4> {
  using V = __m256d;
  using Mask = __m256d;
  static NK_INLINE V load(const double* p) { return _mm256_loadu_pd(p); }
  static NK_INLINE void store(double* p, V a) { _mm256_storeu_pd(p, a); }
  static NK_INLINE V of(double a) { return _mm256_set1_pd(a); }
  static NK_INLINE V add(V a, V b) { return _mm256_add_pd(a, b); }
  static NK_INLINE V sub(V a, V b) { return _mm256_sub_pd(a, b); }
  static NK_INLINE V mul(V a, V b) { return _mm256_mul_pd(a, b); }
  static NK_INLINE V root(V a) { return _mm256_sqrt_pd(a); }
  static NK_INLINE V larger(V a, V b) { return _mm256_max_pd(a, b); }
  static NK_INLINE V smaller(V a, V b) { return _mm256_min_pd(a, b); }
  static NK_INLINE Mask lt(V a, V b) { return _mm256_cmp_pd(a, b, _CMP_LT_OQ); }
  static NK_INLINE Mask le(V a, V b) { return _mm256_cmp_pd(a, b, _CMP_LE_OQ); }
  static NK_INLINE Mask eq(V a, V b) { return _mm256_cmp_pd(a, b, _CMP_EQ_OQ); }
  static NK_INLINE Mask differ(V a, V b) { return _mm256_xor_pd(a, b); }
  static NK_INLINE V bits_both(V a, V b) { return _mm256_and_pd(a, b); }
  static NK_INLINE V bits_either(V a, V b) { return _mm256_or_pd(a, b); }
  static NK_INLINE V bits_but(V a, V b) { return _mm256_andnot_pd(b, a); }
  static NK_INLINE Mask both(Mask a, Mask b) { return _mm256_and_pd(a, b); }
  static NK_INLINE Mask either(Mask a, Mask b) { return _mm256_or_pd(a, b); }
  static NK_INLINE Mask but_not(Mask a, Mask b) { return _mm256_andnot_pd(b, a); }
  static NK_INLINE V pick(Mask m, V yes, V no) { return _mm256_blendv_pd(no, yes, m); }
  static NK_INLINE unsigned bits(Mask m) { return static_cast<unsigned>(_mm256_movemask_pd(m)); }
  static NK_INLINE bool any(Mask m) { return !_mm256_testz_si256(_mm256_castpd_si256(m), _mm256_castpd_si256(m)); }
  static NK_INLINE V power_of_two(V k) {
    return _mm256_castsi256_pd(_mm256_slli_epi64(_mm256_castpd_si256(add(k, of(kExponentZero))), 52));
  }
};
#endif

#if NK_X86 && NK_LEVEL == 2
template <>
struct Vec<float, 16> {
  using V = __m512;
  using Mask = __mmask16;
  static NK_INLINE V load(const float* p) { return _mm512_loadu_ps(p); }
  static NK_INLINE void store(float* p, V a) { _mm512_storeu_ps(p, a); }
  static NK_INLINE V of(float a) { return _mm512_set1_ps(a); }
  static NK_INLINE V add(V a, V b) { return _mm512_add_ps(a, b); }
  static NK_INLINE V sub(V a, V b) { return _mm512_sub_ps(a, b); }
  static NK_INLINE V mul(V a, V b) { return _mm512_mul_ps(a, b); }
  static NK_INLINE V root(V a) { return _mm512_sqrt_ps(a); }
  static NK_INLINE V larger(V a, V b) { return _mm512_max_ps(a, b); }
  static NK_INLINE V smaller(V a, V b) { return _mm512_min_ps(a, b); }
  static NK_INLINE Mask lt(V a, V b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
  static NK_INLINE Mask le(V a, V b) { return _mm512_cmp_ps_mask(a, b, _CMP_LE_OQ); }
  static NK_INLINE Mask eq(V a, V b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
  static NK_INLINE Mask differ(V a, V b) {
    return _mm512_cmpneq_epi32_mask(_mm512_castps_si512(a), _mm512_castps_si512(b));
  }
  static NK_INLINE Mask both(Mask a, Mask b) { return static_cast<Mask>(a & b); }
  static NK_INLINE Mask either(Mask a, Mask b) { return static_cast<Mask>(a | b); }
  static NK_INLINE Mask but_not(Mask a, Mask b) { return static_cast<Mask>(a & ~b); }
  static NK_INLINE V bits_both(V a, V b) { return _mm512_and_ps(a, b); }
  static NK_INLINE V bits_either(V a, V b) { return _mm512_or_ps(a, b); }
  static NK_INLINE V bits_but(V a, V b) { return _mm512_andnot_ps(b, a); }
  static NK_INLINE V pick(Mask m, V yes, V no) { return _mm512_mask_blend_ps(m, no, yes); }
  static NK_INLINE unsigned bits(Mask m) { return m; }
  static NK_INLINE bool any(Mask m) { return m != 0; }
};

template <>
struct Vec<double, 8> {
  using V = __m512d;
  using Mask = __mmask8;
  static NK_INLINE V load(const double* p) { return _mm512_loadu_pd(p); }
  static NK_INLINE void store(double* p, V a) { _mm512_storeu_pd(p, a); }
  static NK_INLINE V of(double a) { return _mm512_set1_pd(a); }
  static NK_INLINE V add(V a, V b) { return _mm512_add_pd(a, b); }
  static NK_INLINE V sub(V a, V b) { return _mm512_sub_pd(a, b); }
  static NK_INLINE V mul(V a, V b) { return _mm512_mul_pd(a, b); }
  static NK_INLINE V root(V a) { return _mm512_sqrt_pd(a); }
  static NK_INLINE V larger(V a, V b) { return _mm512_max_pd(a, b); }
  static NK_INLINE V smaller(V a, V b) { return _mm512_min_pd(a, b); }
  static NK_INLINE Mask lt(V a, V b) { return _mm512_cmp_pd_mask(a, b, _CMP_LT_OQ); }
  static NK_INLINE Mask le(V a, V b) { return _mm512_cmp_pd_mask(a, b, _CMP_LE_OQ); }
  static NK_INLINE Mask eq(V a, V b) { return _mm512_cmp_pd_mask(a, b, _CMP_EQ_OQ); }
  static NK_INLINE Mask differ(V a, V b) {
    return _mm512_cmpneq_epi64_mask(_mm512_castpd_si512(a), _mm512_castpd_si512(b));
  }
  static NK_INLINE Mask both(Mask a, Mask b) { return static_cast<Mask>(a & b); }
  static NK_INLINE Mask either(Mask a, Mask b) { return static_cast<Mask>(a | b); }
  static NK_INLINE Mask but_not(Mask a, Mask b) { return static_cast<Mask>(a & ~b); }
  static NK_INLINE V bits_both(V a, V b) { return _mm512_and_pd(a, b); }
  static NK_INLINE V bits_either(V a, V b) { return _mm512_or_pd(a, b); }
  static NK_INLINE V bits_but(V a, V b) { return _mm512_andnot_pd(b, a); }
  static NK_INLINE V pick(Mask m, V yes, V no) { return _mm512_mask_blend_pd(m, no, yes); }
  static NK_INLINE unsigned bits(Mask m) { return m; }
  static NK_INLINE bool any(Mask m) { return m != 0; }
  static NK_INLINE V power_of_two(V k) {
    return _mm512_castsi512_pd(_mm512_slli_epi64(_mm512_castpd_si512(add(k, of(kExponentZero))), 52));
  }
};
#endif

#if NK_NEON
template <>
struct Vec<float, 4> {
  using V = float32x4_t;
  using Mask = uint32x4_t;
  static NK_INLINE V load(const float* p) { return vld1q_f32(p); }
  static NK_INLINE void store(float* p, V a) { vst1q_f32(p, a); }
  static NK_INLINE V of(float a) { return vdupq_n_f32(a); }
  static NK_INLINE V add(V a, V b) { return vaddq_f32(a, b); }
  static NK_INLINE V sub(V a, V b) { return vsubq_f32(a, b); }
  static NK_INLINE V mul(V a, V b) { return vmulq_f32(a, b); }
  static NK_INLINE V root(V a) { return vsqrtq_f32(a); }
  static NK_INLINE V bits_both(V a, V b) {
    return vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(a), vreinterpretq_u32_f32(b)));
  }
  static NK_INLINE V bits_either(V a, V b) {
    return vreinterpretq_f32_u32(vorrq_u32(vreinterpretq_u32_f32(a), vreinterpretq_u32_f32(b)));
  }
  static NK_INLINE V bits_but(V a, V b) {
    return vreinterpretq_f32_u32(vbicq_u32(vreinterpretq_u32_f32(a), vreinterpretq_u32_f32(b)));
  }
  static NK_INLINE V larger(V a, V b) { return pick(lt(b, a), a, b); }  // vmaxq would spread NaN
  static NK_INLINE V smaller(V a, V b) { return pick(lt(a, b), a, b); }
  static NK_INLINE Mask lt(V a, V b) { return vcltq_f32(a, b); }
  static NK_INLINE Mask le(V a, V b) { return vcleq_f32(a, b); }
  static NK_INLINE Mask eq(V a, V b) { return vceqq_f32(a, b); }
  static NK_INLINE Mask differ(V a, V b) { return veorq_u32(vreinterpretq_u32_f32(a), vreinterpretq_u32_f32(b)); }
  static NK_INLINE Mask both(Mask a, Mask b) { return vandq_u32(a, b); }
  static NK_INLINE Mask either(Mask a, Mask b) { return vorrq_u32(a, b); }
  static NK_INLINE Mask but_not(Mask a, Mask b) { return vbicq_u32(a, b); }
  static NK_INLINE V pick(Mask m, V yes, V no) { return vbslq_f32(m, yes, no); }
  static NK_INLINE unsigned bits(Mask m) {
    static constexpr std::uint32_t kBit[4] = {1, 2, 4, 8};
    return static_cast<unsigned>(vaddvq_u32(vandq_u32(m, vld1q_u32(kBit))));
  }
  static NK_INLINE bool any(Mask m) { return vmaxvq_u32(m) != 0; }
};

template <>
struct Vec<double, 2> {
  using V = float64x2_t;
  using Mask = uint64x2_t;
  static NK_INLINE V load(const double* p) { return vld1q_f64(p); }
  static NK_INLINE void store(double* p, V a) { vst1q_f64(p, a); }
  static NK_INLINE V of(double a) { return vdupq_n_f64(a); }
  static NK_INLINE V add(V a, V b) { return vaddq_f64(a, b); }
  static NK_INLINE V sub(V a, V b) { return vsubq_f64(a, b); }
  static NK_INLINE V mul(V a, V b) { return vmulq_f64(a, b); }
  static NK_INLINE V root(V a) { return vsqrtq_f64(a); }
  static NK_INLINE V bits_both(V a, V b) {
    return vreinterpretq_f64_u64(vandq_u64(vreinterpretq_u64_f64(a), vreinterpretq_u64_f64(b)));
  }
  static NK_INLINE V bits_either(V a, V b) {
    return vreinterpretq_f64_u64(vorrq_u64(vreinterpretq_u64_f64(a), vreinterpretq_u64_f64(b)));
  }
  static NK_INLINE V bits_but(V a, V b) {
    return vreinterpretq_f64_u64(vbicq_u64(vreinterpretq_u64_f64(a), vreinterpretq_u64_f64(b)));
  }
  static NK_INLINE V larger(V a, V b) { return pick(lt(b, a), a, b); }  // vmaxq would spread NaN
  static NK_INLINE V smaller(V a, V b) { return pick(lt(a, b), a, b); }
  static NK_INLINE Mask lt(V a, V b) { return vcltq_f64(a, b); }
  static NK_INLINE Mask le(V a, V b) { return vcleq_f64(a, b); }
  static NK_INLINE Mask eq(V a, V b) { return vceqq_f64(a, b); }
  static NK_INLINE Mask differ(V a, V b) { return veorq_u64(vreinterpretq_u64_f64(a), vreinterpretq_u64_f64(b)); }
  static NK_INLINE Mask both(Mask a, Mask b) { return vandq_u64(a, b); }
  static NK_INLINE Mask either(Mask a, Mask b) { return vorrq_u64(a, b); }
  static NK_INLINE Mask but_not(Mask a, Mask b) { return vbicq_u64(a, b); }
  static NK_INLINE V pick(Mask m, V yes, V no) { return vbslq_f64(m, yes, no); }
  static NK_INLINE unsigned bits(Mask m) {
    static constexpr std::uint64_t kBit[2] = {1, 2};
    return static_cast<unsigned>(vaddvq_u64(vandq_u64(m, vld1q_u64(kBit))));
  }
  static NK_INLINE bool any(Mask m) { return vmaxvq_u32(vreinterpretq_u32_u64(m)) != 0; }
  static NK_INLINE V power_of_two(V k) {
    return vreinterpretq_f64_s64(vshlq_n_s64(vreinterpretq_s64_f64(add(k, of(kExponentZero))), 52));
  }
};
#endif

#if NK_X86 && NK_LEVEL == 2
constexpr int kMostBytes = 64, kLeastBytes = 32;
#elif NK_X86 && NK_LEVEL == 1
constexpr int kMostBytes = 32, kLeastBytes = 32;
#elif NK_X86 || NK_NEON
constexpr int kMostBytes = 16, kLeastBytes = 16;
#else
constexpr int kMostBytes = 0, kLeastBytes = 0;
#endif

// The widest register that a pack of so many bytes fills.
template <class T>
constexpr int register_width(int bytes) {
  if (bytes == static_cast<int>(sizeof(T))) return 1;
  const int wanted = bytes < kMostBytes ? kLeastBytes : kMostBytes;
  return wanted == 0 ? 1 : wanted / static_cast<int>(sizeof(T));
}

}  // namespace NK_ISA
}  // namespace nativekit

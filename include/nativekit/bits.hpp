// Sets of up to 256 small numbers, a bit for each: what two have in common, and the lowest of it.
#pragma once

#include <cstdint>

#include "nativekit/isa.hpp"

#ifndef NK_ISA
#error "belongs between begin_isa.hpp and end_isa.hpp"
#endif

namespace nativekit {
namespace NK_ISA {

// A register of kWords words.
template <int kWords>
struct Words;

template <>
struct Words<1> {
  using V = std::uint64_t;
  static NK_INLINE V load(const std::uint64_t* p) { return *p; }
  static NK_INLINE V both(V a, V b) { return a & b; }
  static NK_INLINE void store(std::uint64_t* p, V a) { *p = a; }
};

#if NK_X86
template <>
struct Words<2> {
  using V = __m128i;
  static NK_INLINE V load(const std::uint64_t* p) { return _mm_load_si128(reinterpret_cast<const __m128i*>(p)); }
  static NK_INLINE V both(V a, V b) { return _mm_and_si128(a, b); }
  static NK_INLINE void store(std::uint64_t* p, V a) { _mm_store_si128(reinterpret_cast<__m128i*>(p), a); }
};
#elif NK_NEON
template <>
struct Words<2> {
  using V = uint64x2_t;
  static NK_INLINE V load(const std::uint64_t* p) { return vld1q_u64(p); }
  static NK_INLINE V both(V a, V b) { return vandq_u64(a, b); }
  static NK_INLINE void store(std::uint64_t* p, V a) { vst1q_u64(p, a); }
};
#endif

#if NK_X86 && NK_LEVEL >= 1
template <>
struct Words<4> {
  using V = __m256i;
  static NK_INLINE V load(const std::uint64_t* p) { return _mm256_load_si256(reinterpret_cast<const __m256i*>(p)); }
  static NK_INLINE V both(V a, V b) { return _mm256_and_si256(a, b); }
  static NK_INLINE void store(std::uint64_t* p, V a) { _mm256_store_si256(reinterpret_cast<__m256i*>(p), a); }
};
#endif

// The words that one register takes of a set of `words`.
constexpr int words_at_once(int words) {
#if NK_X86 && NK_LEVEL >= 1
  return words;
#elif NK_X86 || NK_NEON
  return words < 2 ? words : 2;
#else
  return 1;
#endif
}

// A set of numbers below 64 * kWords, 1, 2 or 4 words; in memory it is aligned to its size.
template <int kWords>
struct BitSet {
  static constexpr int kWidth = words_at_once(kWords);
  static constexpr int kParts = kWords / kWidth;
  using S = Words<kWidth>;
  typename S::V v[kParts];

  static NK_INLINE BitSet load(const std::uint64_t* from) {
    BitSet out;
    for (int k = 0; k < kParts; ++k) out.v[k] = S::load(from + k * kWidth);
    return out;
  }
  friend NK_INLINE BitSet operator&(const BitSet& a, const BitSet& b) {
    BitSet out;
    for (int k = 0; k < kParts; ++k) out.v[k] = S::both(a.v[k], b.v[k]);
    return out;
  }
  // The lowest member, of one at least. No branches: they would be missed.
  NK_INLINE int lowest() const {
    alignas(32) std::uint64_t word[kWords];
    for (int k = 0; k < kParts; ++k) S::store(word + k * kWidth, v[k]);
    if constexpr (kWords == 1) {
      return lowest_bit(word[0]);
    } else if constexpr (kWords == 2) {
      return lowest_bit(word[0] ? word[0] : word[1]) + (word[0] ? 0 : 64);
    } else {
      const int at = first_of(word);
      return 64 * at + lowest_bit(word[at]);
    }
  }

 private:
  // The first of four words that is not empty.
  NK_INLINE int first_of([[maybe_unused]] const std::uint64_t* word) const {
#if NK_X86 && NK_LEVEL >= 1
    const __m256i empty = _mm256_cmpeq_epi64(v[0], _mm256_setzero_si256());
    return lowest_bit(static_cast<unsigned>(_mm256_movemask_pd(_mm256_castsi256_pd(empty))) ^ 15u);
#else
    const int half = (word[0] | word[1]) ? 0 : 2;
    return half + (word[half] ? 0 : 1);
#endif
  }
};

}  // namespace NK_ISA
}  // namespace nativekit

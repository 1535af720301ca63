// What compilers spell differently.
#pragma once

#include <cstdint>

#if defined(_MSC_VER) && !defined(__clang__)
#include <intrin.h>
#define NK_INLINE __forceinline
#define NK_RARE __declspec(noinline)
#define NK_RESTRICT __restrict
#define NK_PREFETCH(address) ((void)(address))
#else
#define NK_INLINE inline __attribute__((always_inline))
#define NK_RARE __attribute__((noinline, cold))
#define NK_RESTRICT __restrict__
#define NK_PREFETCH(address) __builtin_prefetch(address)
#endif

namespace nativekit {

// The place of the lowest bit that is set, of one at least.
NK_INLINE int lowest_bit(unsigned mask) {
#if defined(_MSC_VER) && !defined(__clang__)
  unsigned long at;
  _BitScanForward(&at, mask);
  return static_cast<int>(at);
#else
  return __builtin_ctz(mask);
#endif
}
NK_INLINE int lowest_bit(std::uint64_t mask) {
#if defined(_MSC_VER) && !defined(__clang__)
  unsigned long at;
  _BitScanForward64(&at, mask);
  return static_cast<int>(at);
#else
  return __builtin_ctzll(mask);
#endif
}

// How many bits are set.
NK_INLINE int count_bits(std::uint64_t bits) {
#if defined(_MSC_VER) && !defined(__clang__)
  bits -= (bits >> 1) & 0x5555555555555555u;
  bits = (bits & 0x3333333333333333u) + ((bits >> 2) & 0x3333333333333333u);
  return static_cast<int>((((bits + (bits >> 4)) & 0x0F0F0F0F0F0F0F0Fu) * 0x0101010101010101u) >> 56);
#else
  return __builtin_popcountll(bits);
#endif
}

}  // namespace nativekit

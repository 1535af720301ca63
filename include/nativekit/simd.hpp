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

}  // namespace nativekit

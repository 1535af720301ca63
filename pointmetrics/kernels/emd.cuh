// What the kernels of the earth mover's distance share: minima over a warp and over a block, and the
// cost of a pair of points as the CPU computes it.

#include "shared/assignment.hpp"

// Numbers that are not negative order like their bits, so minima are taken over unsigned integers.
__device__ __forceinline__ unsigned warp_min(unsigned value) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
  for (int by = 16; by > 0; by /= 2) {
    const unsigned other = __shfl_xor_sync(FULL_MASK, value, by);
    value = other < value ? other : value;
  }
  return value;
#else
  return __reduce_min_sync(FULL_MASK, value);
#endif
}

__device__ __forceinline__ u64 bits_of_double(double value) { return static_cast<u64>(__double_as_longlong(value)); }
__device__ __forceinline__ double double_of_bits(u64 bits) {
  return __longlong_as_double(static_cast<long long>(bits));
}

#define INFINITE_BITS 0x7ff0000000000000ull  // of +infinity in float64

// The smallest of the warp's keys and, of those that tie, the lowest index.
struct Smallest {
  u64 key;
  int index;
};

__device__ __forceinline__ Smallest warp_smallest(u64 key, int index) {
  const unsigned high = static_cast<unsigned>(key >> 32), low = static_cast<unsigned>(key);
  const unsigned least_high = warp_min(high);
  const unsigned least_low = warp_min(high == least_high ? low : 0xffffffffu);
  const bool least = high == least_high && low == least_low;
  const unsigned least_index = warp_min(least ? static_cast<unsigned>(index) : 0xffffffffu);
  return {static_cast<u64>(least_high) << 32 | least_low, static_cast<int>(least_index)};
}

// The cost of moving a to b, in float64 from exact differences.
__device__ __forceinline__ double exact_cost(const real* a, const real* b, int d, int squared) {
  const double sum = sq_distance<double>(a, 1, b, 1, dimension(d));
  return squared ? sum : sqrt(sum);
}

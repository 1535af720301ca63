// What every kernel file shares. Compiled with NVRTC, nvcc and, for tests, a host compiler.
//
// An instance is made by defines: REAL (float or double), REAL_BITS (32 or 64), DIM (2, 3, or 0 for any
// dimension) and what a kernel file asks for beyond them. Contraction into fused multiply-adds is off:
// arithmetic rounds as it is written, which is as the CPU rounds it.

#if !defined(CUDA_HOST_EMULATION)
#define DYNAMIC_SHARED(name) extern __shared__ __align__(16) unsigned char name[]
#endif

#define FULL_MASK 0xffffffffu

typedef REAL real;
typedef long long i64;
typedef unsigned long long u64;

#if REAL_BITS == 32
#define REAL_INFINITY __int_as_float(0x7f800000)
#else
#define REAL_INFINITY __longlong_as_double(0x7ff0000000000000LL)
#endif

#include "shared/distance.hpp"

using namespace pointmetrics;

// Number of coordinates: known to the compiler where DIM is.
__device__ __forceinline__ int dimension(int d) { return DIM > 0 ? DIM : d; }

__device__ __forceinline__ int lane_id() { return static_cast<int>(threadIdx.x) & 31; }
__device__ __forceinline__ int warp_id() { return static_cast<int>(threadIdx.x) >> 5; }

// Which clouds a block works on: the last entry of `first_block` that is not above it.
__device__ __forceinline__ int find_item(const int* first_block, int n_items, int block) {
  int low = 0;
  int high = n_items;
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    if (first_block[middle] <= block)
      low = middle;
    else
      high = middle;
  }
  return low;
}

// What every kernel file shares. Compiled with NVRTC, nvcc and, for tests, a host compiler.
//
// An instance is made by defines: REAL (float or double), REAL_BITS (32 or 64) and what a kernel file asks
// for beyond them. Contraction into fused multiply-adds is off: arithmetic rounds as on the CPU.

#if !defined(CUDA_HOST_EMULATION)
#define DYNAMIC_SHARED(name) extern __shared__ __align__(16) unsigned char name[]
#endif

typedef REAL real;
typedef long long i64;
typedef unsigned long long u64;

#if REAL_BITS == 32
#define REAL_INFINITY __int_as_float(0x7f800000)
#else
#define REAL_INFINITY __longlong_as_double(0x7ff0000000000000LL)
#endif

#include "shared/wide.hpp"

using namespace imondrian;

enum { kMissingRows, kInfiniteRows };  // places in `counts`

// Note a row that cannot be scored like others: its number where a value is missing (NaN), only that there
// was one where a value is infinite. Coordinate j of the row is x[j * step].
__device__ __forceinline__ bool note_row(const real* x, i64 step, int d, i64 row, i64* missing, u64* counts) {
  bool lacks = false;
  bool infinite = false;
  for (int j = 0; j < d; ++j) {
    const real value = x[j * step];
    lacks |= value != value;
    infinite |= value == REAL_INFINITY || value == -REAL_INFINITY;
  }
  if (lacks) missing[atomicAdd(counts + kMissingRows, 1ull)] = row;
  if (infinite) atomicAdd(counts + kInfiniteRows, 1ull);
  return lacks;
}

// sign * 2 ** (-depth / norm) in place (Liu, Ting and Zhou 2008, equation 2); a norm of 0 is that of a forest that
// can tell nothing apart.
extern "C" __global__ void __launch_bounds__(256) scores_of_depths(double* depth, i64 n, double norm, double sign) {
  const i64 i = static_cast<i64>(blockIdx.x) * 256 + threadIdx.x;
  if (i < n) depth[i] = sign * exp2(-(norm > 0 ? depth[i] / norm : 1.0));
}

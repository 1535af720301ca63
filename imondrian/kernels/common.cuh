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

// Sums that no fast one can hold: the twin of native/base/wide.hpp, step for step.
#if REAL_BITS == 32
#define PLAIN_LEAST 0x1p-90
#define PLAIN_MOST 0x1p120
#else
#define PLAIN_LEAST 0x1p-900
#define PLAIN_MOST 0x1p900
#endif
#define LEAST_DOUBLE 4.9406564584124654e-324
#define MOST_DOUBLE 1.7976931348623157e308

struct Wide {
  double mantissa;
  int exponent;
};

__device__ inline Wide wide_side(double from, double to, double rate) {
  Wide a = {0, 0}, b;
  if (!(to > from) || !(rate > 0)) return a;
  double side = to - from;
  const bool halved = !(side <= MOST_DOUBLE);
  if (halved) side = 0.5 * to - 0.5 * from;
  a.mantissa = frexp(side, &a.exponent);
  b.mantissa = frexp(rate, &b.exponent);
  a.mantissa *= b.mantissa;
  a.exponent += b.exponent + halved;
  return a;
}

template <class Terms>
__device__ __forceinline__ double wide_sum(const Terms& terms, int n) {
  bool any = false;
  int top = 0;
  for (int j = 0; j < n; ++j) {
    const Wide term = terms.of(j);
    if (term.mantissa > 0 && (!any || term.exponent > top)) top = term.exponent;
    any |= term.mantissa > 0;
  }
  if (!any) return 0;
  double sum = 0;
  for (int j = 0; j < n; ++j) {
    const Wide term = terms.of(j);
    sum += ldexp(term.mantissa, term.exponent - top);
  }
  const double total = ldexp(sum, top);
  return total < LEAST_DOUBLE ? LEAST_DOUBLE : total > MOST_DOUBLE ? MOST_DOUBLE : total;
}

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

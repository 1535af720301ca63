// Brings the clouds of every pair to [-1, 1] in float32, for what need not be exact.

#include "common.cuh"

namespace {

// A thread's coordinates along one axis: those of x and y at first, first + step, .. below last.
struct Axis {
  const real* x;
  const real* y;
  i64 first, last, step;
};

// The lowest and the highest value of an axis; the whole block takes part. `lowest`, `highest`: a place a warp.
__device__ __forceinline__ void range_of(const Axis& axis, double start, double* lowest, double* highest,
                                         double* low_out, double* high_out) {
  double low = start, high = start;
  for (i64 k = axis.first; k < axis.last; k += axis.step) {
    low = min(low, min(static_cast<double>(axis.x[k]), static_cast<double>(axis.y[k])));
    high = max(high, max(static_cast<double>(axis.x[k]), static_cast<double>(axis.y[k])));
  }
  for (int by = 16; by > 0; by /= 2) {
    low = min(low, __shfl_xor_sync(FULL_MASK, low, by));
    high = max(high, __shfl_xor_sync(FULL_MASK, high, by));
  }
  __syncthreads();
  if (lane_id() == 0) lowest[warp_id()] = low, highest[warp_id()] = high;
  __syncthreads();
  for (int w = 0; w < 8; ++w) low = min(low, lowest[w]), high = max(high, highest[w]);
  *low_out = low, *high_out = high;
}

}  // namespace

// One block a pair. scales[pair] is the half-width that 1 stands for, a power of two, so that no digit is
// lost; NaN where a coordinate is not finite, and nothing is written then.
extern "C" __global__ void __launch_bounds__(256)
    normalise(const real* x, const real* y, const i64* offsets, int d, float* unit_x, float* unit_y, double* scales) {
  __shared__ double lowest[8], highest[8];
  __shared__ int is_finite;
  const i64 first = offsets[blockIdx.x] * d, last = offsets[blockIdx.x + 1] * d;
  if (threadIdx.x == 0) is_finite = 1;
  __syncthreads();
  for (i64 k = first + threadIdx.x; k < last; k += blockDim.x) {
    if (!(x[k] - x[k] == 0) || !(y[k] - y[k] == 0)) atomicAnd(&is_finite, 0);
  }
  __syncthreads();
  if (!is_finite) {
    if (threadIdx.x == 0) scales[blockIdx.x] = __longlong_as_double(0x7ff8000000000000LL);
    return;
  }
  double reach = 0;
  // Twice the axes: once for the reach of the widest, then to write; the centre is found anew.
  for (int pass = 0; pass < 2; ++pass) {
    double scale = 1;
    if (pass == 1) {
      while (scale < reach) scale *= 2;
      while (scale * 0.5 >= reach && reach > 0) scale *= 0.5;
      if (threadIdx.x == 0) scales[blockIdx.x] = scale;
    }
    for (int a = 0; a < d; ++a) {
      const i64 begin = first + a + static_cast<i64>(threadIdx.x) * d, step = static_cast<i64>(blockDim.x) * d;
      double low, high;
      range_of({x, y, begin, last, step}, static_cast<double>(x[first + a]), lowest, highest, &low, &high);
      reach = max(reach, 0.5 * (high - low));
      const double centre = low + 0.5 * (high - low);
      if (pass == 0) continue;
      for (i64 k = begin; k < last; k += step) {
        unit_x[k] = static_cast<float>((static_cast<double>(x[k]) - centre) / scale);
        unit_y[k] = static_cast<float>((static_cast<double>(y[k]) - centre) / scale);
      }
    }
  }
}

// What compilers of the core and of the kernels spell differently, for headers that both include: the kernels get these
// put into their source (`kernel_source.py`), after their defines.
#ifndef POINTMETRICS_SHARED_HOST_DEVICE_HPP_
#define POINTMETRICS_SHARED_HOST_DEVICE_HPP_

#if defined(REAL_BITS)  // a kernel: there are no headers
#define NK_SHARED __device__ __forceinline__

namespace pointmetrics {

template <class T>
NK_SHARED T larger(T a, T b) {
  return max(a, b);
}

}  // namespace pointmetrics
#else
#include <math.h>

#include <nativekit/simd.hpp>  // in brackets: what is in quotes is put into the kernel's source
#define NK_SHARED NK_INLINE
#endif

#endif  // POINTMETRICS_SHARED_HOST_DEVICE_HPP_

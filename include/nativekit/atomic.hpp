// Relaxed atomics on plain memory that numpy owns (std::atomic_ref is C++20).
#pragma once

#include <cstdint>
#if defined(_MSC_VER)
#include <intrin.h>
#endif

namespace nativekit {

inline void atomic_add(std::int32_t* counter, std::int32_t amount) {
#if defined(_MSC_VER)
  _InterlockedExchangeAdd(reinterpret_cast<volatile long*>(counter), amount);
#else
  __atomic_fetch_add(counter, amount, __ATOMIC_RELAXED);
#endif
}

// A value that several threads may find and write down at the same time, all the same one.
inline double atomic_get(const double* place) {
#if defined(_MSC_VER)
  return *static_cast<const volatile double*>(place);
#else
  double value;
  __atomic_load(place, &value, __ATOMIC_RELAXED);
  return value;
#endif
}
inline void atomic_set(double* place, double value) {
#if defined(_MSC_VER)
  *static_cast<volatile double*>(place) = value;
#else
  __atomic_store(place, &value, __ATOMIC_RELAXED);
#endif
}

}  // namespace nativekit

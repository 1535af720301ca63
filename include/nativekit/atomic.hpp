// Relaxed integer addition on plain memory that numpy owns (std::atomic_ref is C++20).
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

}  // namespace nativekit

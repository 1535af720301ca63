// Everything that the kernels use from elsewhere. A file that is compiled for one instruction set
// includes this before its target pragma: a library template first seen after it would be compiled
// for that instruction set, and the linker might keep that copy for machines that lack it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>
#include <utility>

// NK_BASELINE_ONLY leaves the other instruction sets out, for quick builds under sanitizers.
#if (defined(__GNUC__) || defined(__clang__)) && defined(__x86_64__) && !defined(NK_BASELINE_ONLY)
#define NK_X86_TARGETS 1
#include <immintrin.h>
#else
#define NK_X86_TARGETS 0
#endif
#if defined(_MSC_VER)
#include <intrin.h>
#endif

#include "nativekit/interrupt.hpp"
#include "nativekit/simd.hpp"
#include "nearest/tree.hpp"

namespace pointmetrics {

// Ask for points[order[at]] before it is needed: in curve order the points lie anywhere in memory.
template <class T>
NK_INLINE void prefetch_row(const T* points, const std::int32_t* order, std::int64_t at, std::int64_t end, int d) {
#if defined(__GNUC__)
  if (at < end) __builtin_prefetch(points + static_cast<std::int64_t>(order[at]) * d);
#else
  (void)points, (void)order, (void)at, (void)end, (void)d;
#endif
}

}  // namespace pointmetrics

// Everything that the kernels (level.hpp) use from elsewhere: it must come before the level begins, see
// nativekit/isa.hpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>
#include <utility>

#include "isa/kernels.hpp"
#include "nativekit/interrupt.hpp"
#include "nativekit/isa.hpp"
#include "nativekit/simd.hpp"
#include "nearest/tree.hpp"
#include "shared/host_device.hpp"

namespace pointmetrics {

// Ask for points[order[at]] before it is needed: in curve order the points lie anywhere in memory.
template <class T>
NK_INLINE void prefetch_row(const T* points, const std::int32_t* order, std::int64_t at, std::int64_t end, int d) {
  if (at < end) NK_PREFETCH(points + static_cast<std::int64_t>(order[at]) * d);
}

}  // namespace pointmetrics

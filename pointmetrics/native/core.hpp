// What _core.pyx calls. Plain pointers in, status codes out; nothing here throws.
#pragma once

#include <cstdint>

#include "mesh/mesh.hpp"
#include "nearest/distortion.hpp"
#include "nearest/nearest.hpp"
#include "nearest/sampling.hpp"
#include "status.hpp"

namespace pointmetrics {

// The largest |value|; not finite where any value is not.
template <class T>
double max_magnitude(const T* values, std::int64_t n);

}  // namespace pointmetrics

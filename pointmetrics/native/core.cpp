#include "core.hpp"

#include <algorithm>
#include <cstring>

#include "nativekit/simd.hpp"

namespace pointmetrics {
namespace {

// With the sign bit cleared, IEEE numbers order like their bits, and infinity and NaN come last:
// one integer maximum finds the magnitude and the bad values at once.
template <class Bits, class T>
NK_INLINE Bits max_bits(const T* values, std::int64_t n) {
  constexpr Bits kMask = static_cast<Bits>(~Bits{0}) >> 1;
  Bits most = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    Bits bits;
    std::memcpy(&bits, values + i, sizeof bits);
    most = std::max<Bits>(most, bits & kMask);
  }
  return most;
}

NK_CLONES std::uint32_t max_bits_32(const float* values, std::int64_t n) {
  return max_bits<std::uint32_t>(values, n);
}

NK_CLONES std::uint64_t max_bits_64(const double* values, std::int64_t n) {
  return max_bits<std::uint64_t>(values, n);
}

}  // namespace

template <>
double max_magnitude<float>(const float* values, std::int64_t n) {
  const std::uint32_t bits = max_bits_32(values, n);
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

template <>
double max_magnitude<double>(const double* values, std::int64_t n) {
  const std::uint64_t bits = max_bits_64(values, n);
  double value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

}  // namespace pointmetrics

// How large numbers are, and whether they are numbers. Included once per instruction set (isa/level.hpp).

namespace pointmetrics::NK_ISA {

// With the sign bit cleared, IEEE numbers order like their bits, and infinity and NaN come last:
// one integer maximum finds the magnitude and the bad values at once.
template <class T>
double max_magnitude(const T* values, std::int64_t n) {
  using Bits = std::conditional_t<sizeof(T) == 8, std::uint64_t, std::uint32_t>;
  constexpr Bits kMask = static_cast<Bits>(~Bits{0}) >> 1;
  Bits most = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    Bits bits;
    std::memcpy(&bits, values + i, sizeof bits);
    most = std::max<Bits>(most, bits & kMask);
  }
  T value;
  std::memcpy(&value, &most, sizeof value);
  return static_cast<double>(value);
}

}  // namespace pointmetrics::NK_ISA

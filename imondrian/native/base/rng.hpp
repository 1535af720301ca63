// xoshiro256++ (Blackman and Vigna, 2021), four words a tree, advanced in place.
#pragma once

#include <cmath>
#include <cstdint>

namespace imondrian {

class Rng {
 public:
  explicit Rng(std::uint64_t* state) : s_(state) {}

  std::uint64_t bits() {
    const std::uint64_t result = rotate(s_[0] + s_[3], 23) + s_[0];
    const std::uint64_t shifted = s_[1] << 17;
    s_[2] ^= s_[0];
    s_[3] ^= s_[1];
    s_[1] ^= s_[2];
    s_[0] ^= s_[3];
    s_[2] ^= shifted;
    s_[3] = rotate(s_[3], 45);
    return result;
  }
  // Uniform on [0, 1), 53 bits.
  double uniform() { return static_cast<double>(bits() >> 11) * 0x1.0p-53; }
  // Unit exponential, never below 2^-54: 1 - uniform() is in (0, 1], and zero would be no wait at all.
  double exponential() { return -std::log(1.0 - uniform()) + 0x1.0p-54; }
  // Uniform on {0, ..., n - 1}; the bias of the multiply-shift is below n / 2^64.
  std::uint64_t below(std::uint64_t n) {
    const std::uint64_t x = bits();
    const std::uint64_t high = (x >> 32) * n, low = (x & 0xffffffffu) * n;
    return (high + (low >> 32)) >> 32;
  }

 private:
  static std::uint64_t rotate(std::uint64_t x, int k) { return (x << k) | (x >> (64 - k)); }
  std::uint64_t* s_;
};

}  // namespace imondrian

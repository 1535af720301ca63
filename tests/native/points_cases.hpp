// Clouds for points_driver.cpp, and what is asked of results.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

inline void require(bool ok, const char* what) {
  if (ok) return;
  std::fprintf(stderr, "points_driver: %s\n", what);
  std::exit(1);
}

// Uniform, or on a lattice of three places an axis: then nearly everything ties.
template <class T>
std::vector<T> cloud(std::mt19937_64& rng, std::int64_t n, int d, bool lattice) {
  std::vector<T> points(static_cast<std::size_t>(n * d));
  for (T& value : points) {
    const double u = static_cast<double>(rng() >> 11) * 0x1p-53;
    value = static_cast<T>(lattice ? std::floor(u * 3) : u);
  }
  return points;
}

inline std::vector<std::int64_t> offsets_of(const std::vector<std::int64_t>& sizes) {
  std::vector<std::int64_t> offsets(1, 0);
  for (const std::int64_t size : sizes) offsets.push_back(offsets.back() + size);
  return offsets;
}

// Shared by the sources of the core: rows in, allocation failures out.
#pragma once

#include <cstdint>
#include <limits>
#include <new>
#include <vector>

#include "core.hpp"

namespace imondrian {

template <class T>
void copy_padded(T* to, const T* from, std::int64_t n_features, std::int64_t width) {
  for (std::int64_t j = 0; j < n_features; ++j) to[j] = from[j];
  for (std::int64_t j = n_features; j < width; ++j) to[j] = std::numeric_limits<T>::quiet_NaN();
}

// Run body on x in the forest's precision, with allocation failures turned into a status.
template <class Body>
Status dispatch(bool is64, const void* x, const Body& body) {
  try {
    return is64 ? body(static_cast<const double*>(x)) : body(static_cast<const float*>(x));
  } catch (const std::bad_alloc&) {
    return Status::kNoMemory;
  }
}

// Add the insertion depth of each padded row of x (n, width) to out.
void insertion_depths(const Tree<float>& tree, const float* x, std::int64_t n, double* out);
void insertion_depths(const Tree<double>& tree, const double* x, std::int64_t n, double* out);

// Depth of a padded row with missing values (paths.hpp).
double depth_with_missing(const Tree<float>& tree, const float* x, Score score, std::vector<Fork>& forks);
double depth_with_missing(const Tree<double>& tree, const double* x, Score score, std::vector<Fork>& forks);

}  // namespace imondrian

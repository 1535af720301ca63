// Shared by the sources of the core: rows in, allocation failures out.
#pragma once

#include <cstdint>
#include <limits>
#include <new>
#include <vector>

#include "core.hpp"
#include "score/spacing.hpp"

namespace imondrian::NK_ISA {

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

// Depth of a padded row with missing values (score/depth_score.hpp).
double depth_with_missing(const Tree<float>& tree, const float* x, Score score, std::vector<Fork>& forks);
double depth_with_missing(const Tree<double>& tree, const double* x, Score score, std::vector<Fork>& forks);

// Mean log spacing of each row of x (n, n_features) over the trees.
template <class T>
Status spacings_as(const ForestView& forest, const T* x, std::int64_t n, double* out, int n_threads);

// Flag points of a forest fresh from a build, fill in its clean masses and what usual points score.
struct Samples;
template <class T>
void trim(const ForestView& forest, const Samples& samples, int n_threads);

// What a padded row without missing values, whose leaves are known, sees in a group of trees (score/spacing.hpp).
void look_across(TreeGroup<float>& group, const float* x, double* extent);
void look_across(TreeGroup<double>& group, const double* x, double* extent);

// Log spacing of a padded row with missing values in the tree that `sight` looks at (score/spacing.hpp).
double spacing_with_missing(const Tree<float>& tree, const float* x, const Sight<float>& sight, BoxScratch<float>& scratch,
                            std::vector<Way>& ways);
double spacing_with_missing(const Tree<double>& tree, const double* x, const Sight<double>& sight, BoxScratch<double>& scratch,
                            std::vector<Way>& ways);

}  // namespace imondrian::NK_ISA

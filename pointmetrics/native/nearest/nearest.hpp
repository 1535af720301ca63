// Nearest neighbours between clouds: threads, scratch memory and the choice of method.
#pragma once

#include <cstdint>

#include "nearest/tree.hpp"

namespace pointmetrics {

// Pair i compares x[x_offsets[i], x_offsets[i + 1]) with y likewise. Results are written per point, ids
// count within the other cloud of the pair. sq_y = nullptr leaves out the way from y to x. `index`
// replaces the indexing of y by memory that prepare() filled; then every pair has the same y, of
// y_offsets[1] points.
template <class T>
struct NearestJob {
  const T* x;
  const std::int64_t* x_offsets;
  const T* y;
  const std::int64_t* y_offsets;
  std::int64_t n_pairs;
  int d;
  int n_threads;
  const char* index;
  T* sq_x;
  std::int32_t* id_x;
  T* sq_y;
  std::int32_t* id_y;
};

template <class T>
int nearest(const NearestJob<T>& job);

// Sums of nearest-neighbour distances to the power 1 or 2 between many pairs (cloud of x, cloud of y),
// both ways; every cloud is indexed once.
template <class T>
struct PairwiseJob {
  const T* x;
  const std::int64_t* x_offsets;
  std::int64_t n_x;
  const T* y;
  const std::int64_t* y_offsets;
  std::int64_t n_y;
  const std::int64_t* pairs;  // (n_pairs, 2)
  std::int64_t n_pairs;
  int d;
  int power;
  int n_threads;
  double* forth;
  double* back;
};

template <class T>
int pairwise(const PairwiseJob<T>& job);

// Size of the memory that prepare() fills for n points.
template <class T>
std::int64_t prepared_size(std::int64_t n, int d);

template <class T>
int prepare(const T* points, std::int64_t n, int d, char* memory);

}  // namespace pointmetrics

// How far a cloud is from another, and from its planes: the errors of MPEG's pc_error.
#pragma once

#include <cstdint>

#include "nearest/tree.hpp"

namespace pointmetrics {

// Of one direction: squared distances to the nearest point, and along its normal.
struct Distortion {
  double sum_sq;
  double max_sq;
  double sum_plane;
  double max_plane;
};

// A tree of a cloud's distinct points, and what goes with them. Each is nullptr where there is none of it.
template <class T>
struct Weighted {
  Tree<T> tree;
  const double* leaf_normals;  // [leaf][3][16], of the points in the tree
  const double* normals;       // (n, 3), of all points
  const std::int32_t* twins;   // the next point that coincides with this one, or kNoPoint
  const std::int32_t* counts;  // how many coincide with a point of the tree, itself included
};

// Errors of x against y in forth, of y against x in back. Where several points are equally near, the error along their
// normals is the mean of the squares. Of points that coincide one counts, the first, if `drop`. Normals are (n, 3), of
// both clouds or of none (nullptr); then errors along them are 0.
template <class T>
struct DistortionJob {
  const T* x;
  std::int64_t n_x;
  const double* x_normals;
  const T* y;
  std::int64_t n_y;
  const double* y_normals;
  int d;
  bool drop;
  int n_threads;
  Distortion* forth;
  Distortion* back;
  std::int64_t* counts;  // (2,): the points of x and of y that count
};

template <class T>
int distortion(const DistortionJob<T>& job);

// Fill rows with the first of all points that coincide, rising, and set n_rows. rows holds n.
template <class T>
int distinct(const T* points, std::int64_t n, int d, std::int64_t* rows, std::int64_t* n_rows);

}  // namespace pointmetrics

// What is asked of one cloud's boxes beside nearest neighbours: farthest points, and what lies in balls and
// cylinders.
#pragma once

#include <cstdint>

namespace pointmetrics {

// Cloud i is points[offsets[i], offsets[i + 1]). Of each, k distinct points: `start`, and then always the one
// that is farthest from all before it, of equally far ones the lowest. 1 <= k <= size and start < size of all.
template <class T>
struct FarthestJob {
  const T* points;
  const std::int64_t* offsets;
  std::int64_t n_clouds;
  int d;
  std::int64_t k;
  std::int64_t start;
  int n_threads;
  std::int64_t* chosen;  // (n_clouds, k), within the cloud
};

template <class T>
int farthest(const FarthestJob<T>& job);

// The points whose squared distance, in T, from centre i is at most sq_radii[i]: without `ids` how many they are, else
// which, in rising order, from ids[offsets[i]] on.
template <class T>
struct BallJob {
  const T* points;  // (n, d)
  std::int64_t n;
  const T* centres;
  std::int64_t n_centres;
  int d;
  const double* sq_radii;
  int n_threads;
  std::int64_t* counts;
  const std::int64_t* offsets;
  std::int64_t* ids;
};

template <class T>
int balls(const BallJob<T>& job);

// Disks: the points within radii[j] of the point seeds[i], in T. Of each (i, j) how many there are, and the sum of
// (d - e)^2 / e over them, with d a point's distance to its nearest in the disk and e = sqrt(ideal radii[j]^2 / count).
// `near` holds, for each point, n_near others or itself, nearest first. With `offsets` (n_seeds n_radii + 1) the points
// of the disks, their nearest and distances are listed, too; a disk of one point has no nearest: it is itself, at 0.
template <class T>
struct DiskJob {
  const T* points;  // (n, 3)
  std::int64_t n;
  const std::int64_t* near;
  int n_near;
  const std::int64_t* seeds;
  std::int64_t n_seeds;
  const double* radii;
  int n_radii;
  double ideal;
  int n_threads;
  std::int64_t* counts;
  double* clutter;
  const std::int64_t* offsets;
  std::int64_t* ids;
  std::int64_t* nearest;
  double* distances;
};

template <class T>
int disks(const DiskJob<T>& job);

// Of the points within `radius` of each centre: how many, and relative to the centre the sums of x, y, z, xx, xy, xz,
// yy, yz, zz, which lose few digits as both are within a radius of each other.
struct MomentJob {
  const double* points;  // (n, 3)
  std::int64_t n;
  const double* centres;
  std::int64_t n_centres;
  double radius;
  int n_threads;
  std::int64_t* counts;
  double* sums;  // (n_centres, 9)
};

int ball_moments(const MomentJob& job);

// Of the points within `radius` of the line through cores[i] along the unit vector axes[i], and within
// `half_length` of the core along it: how many, the mean of their places along the axis, and the sum of
// squared deviations from it.
struct CylinderJob {
  const double* points;  // (n, 3)
  std::int64_t n;
  const double* cores;
  const double* axes;
  std::int64_t n_cores;
  double radius;
  double half_length;
  int n_threads;
  std::int64_t* count;
  double* mean;
  double* sq_dev;
};

int cylinders(const CylinderJob& job);

}  // namespace pointmetrics

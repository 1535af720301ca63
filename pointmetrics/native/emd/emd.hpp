// Exact earth mover's distance between clouds, without the n x n matrix.
#pragma once

#include <cstdint>
#include <vector>

#include "emd/price_tree.hpp"

namespace pointmetrics::emd {

// Pair k is x[offsets[k], offsets[k + 1]) with the same places of y; both (total, d) row-major.
// All memory is the caller's. Results a pair: cost of the assignment, lower bound proven by the
// prices, and whether the two meet (within tol, or within rounding). A point: the place in its own
// cloud of the y matched with x_i, and the price of y_j.
struct Job {
  const double* x;
  const double* y;
  const std::int64_t* offsets;
  std::int64_t n_pairs;
  int d;
  Cost cost;
  double tol;
  int n_threads;
  double* upper;
  double* lower;
  std::uint8_t* converged;
  std::int32_t* assignment;
  double* prices;
};

// A Status. Results do not depend on n_threads.
int solve(const Job& job);

// The same with point masses: integers, none negative, of equal sums on both sides of a pair. Pair k
// is x[x_offsets[k], ...) and y[y_offsets[k], ...).
struct TransportJob {
  const double* x;
  const double* y;
  const std::int64_t* x_offsets;
  const std::int64_t* y_offsets;
  const std::int64_t* x_mass;
  const std::int64_t* y_mass;
  std::int64_t n_pairs;
  int d;
  Cost cost;
  double tol;
  int n_threads;
  double* upper;
  double* lower;
  std::uint8_t* converged;
};

// What is shipped from where to where, places counted within the pair's clouds.
struct Plan {
  std::vector<std::int32_t> source, target;
  std::vector<std::int64_t> mass;
};

int transport(const TransportJob& job, std::vector<Plan>& plans);

}  // namespace pointmetrics::emd

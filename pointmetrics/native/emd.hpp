// Exact earth mover's distance between clouds of equally many points, without the n x n matrix.
#pragma once

#include <cstdint>

#include "emd_tree.hpp"

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

// 0, or 1 where memory ran out. Results do not depend on n_threads.
int solve(const Job& job);

}  // namespace pointmetrics::emd

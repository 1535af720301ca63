// Exact earth mover's distance between two clouds of n points, without the n x n matrix.
#pragma once

#include <cstdint>

#include "emd_tree.hpp"

namespace pointmetrics {

struct EmdOptions {
  Cost cost = Cost::euclidean;
  double tol = 0.0;
  int n_threads = 1;
  std::int32_t k = 16;
  double first = 0.5, last = 0.02, factor = 4.0;  // TEMP
  double coarse_first = 0.5, coarse_last = 0.05;
  int verbose = 0;
};

struct EmdResult {
  double upper, lower;
  std::int32_t exact;  // 1 when the assignment was carried to optimality
};

// x, y: (n, d) row-major; assignment[i] is the row of y matched with x_i; prices[j] belongs to y_j.
EmdResult solve_emd(const double* x, const double* y, std::int32_t n, int d,
                    const EmdOptions& options, std::int32_t* assignment, double* prices);

}  // namespace pointmetrics

// What an assignment is found and proven by: one text for the core and for the kernels.
#ifndef POINTMETRICS_SHARED_ASSIGNMENT_HPP_
#define POINTMETRICS_SHARED_ASSIGNMENT_HPP_

#include "shared/host_device.hpp"

namespace pointmetrics {

constexpr double kDoubleEpsilon = 2.220446049250313e-16;

// By how much a bid may raise a price, beside epsilon: from the best value of a row to its second, which is infinite
// where the row knows of no other column.
template <class T>
NK_SHARED T rise_of_bid(T best, T second, T infinity) {
  return second < infinity ? second - best : static_cast<T>(0);
}

// Paths whose lengths differ by no more are equally long; `largest` is the largest number that they are made of.
NK_SHARED double rounding_of_paths(double largest) { return 8 * kDoubleEpsilon * largest; }

// How far apart the bounds of a mean cost may be for lack of digits alone. `size` is the mean of what was added up,
// without signs, and `n_roundings` how often it may have been rounded.
NK_SHARED double rounding_of_bounds(double upper, double size, double n_roundings) {
  return 1e-12 * upper + n_roundings * kDoubleEpsilon * size;
}

// Exact but for rounding will do, whatever the tolerance.
NK_SHARED bool have_met(double upper, double lower, double tolerance, double rounding) {
  const double wanted = tolerance * upper;
  return upper - lower <= (wanted < rounding ? rounding : wanted);
}

}  // namespace pointmetrics

#endif  // POINTMETRICS_SHARED_ASSIGNMENT_HPP_

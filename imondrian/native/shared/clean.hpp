// What a spacing is made of (score/spacing.hpp): one text for the core and for the kernels.
#ifndef IMONDRIAN_SHARED_CLEAN_HPP_
#define IMONDRIAN_SHARED_CLEAN_HPP_

#include "shared/wide.hpp"

namespace imondrian {

constexpr double kEnoughClean = 4.0;
constexpr double kOddConstant = 3.0;  // units that a value is away where all others are one: it has no unit of its own
constexpr double kFloor = 0.1;        // scale units: what ties leave of a box says no more than this
constexpr double kMost = 0x1.0p1000;  // keeps products and logarithms finite

// The clean mass that a box needs in a tree that holds `total`: of few points, one need not be in the box of the
// others.
NK_SHARED double clean_needed(double total) {
  const double others = total - 1;
  return others > kEnoughClean ? kEnoughClean : others < 1 ? 1 : others;
}

// Of a box: its sides, summed, and how many values differ where all others are one.
NK_SHARED double floored_extent(double sides, double n_odd) {
  const double extent = sides + kOddConstant * n_odd;
  return extent < kMost ? kFloor + extent : kMost;
}

}  // namespace imondrian

#endif  // IMONDRIAN_SHARED_CLEAN_HPP_

// What the assignment and the transportation solver share: sorted clouds, first prices, sums.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "emd/state.hpp"

namespace pointmetrics::emd {

// Starting a thread costs as much as sorting about this many points.
constexpr std::int64_t kThreadsPayFrom = 1024;

// Epsilon falls from first to last, both in units of the typical list spread.
struct Schedule {
  double first, last;
};
constexpr Schedule kCoarseSchedule{0.1, 0.02};
constexpr Schedule kFineSchedule{0.1, 0.005};

struct Bounds {
  double upper = 0.0;
  double lower = 0.0;
  double rounding = 0.0;  // how far apart the two may be for lack of digits alone
};

// Neumaier's compensated sum: the certificate must not lose the digits it is about.
class Sum {
 public:
  void add(double term) {
    const double total = total_ + term;
    lost_ += std::abs(total_) >= std::abs(term) ? (total_ - total) + term : (term - total) + total_;
    total_ = total;
  }
  double value() const { return total_ + lost_; }

 private:
  double total_ = 0.0, lost_ = 0.0;
};

// Clamp and complete bounds: size is the sum of the magnitudes that were added up.
Bounds make_bounds(double upper, double lower, double size);

// The points in the given order, packed.
std::vector<double> gathered(const double* points, const std::vector<std::int32_t>& order, int d);

// How much the values in a row's list differ, for the median row: the unit in which epsilon makes
// sense. A mean would follow a single outlier.
double typical_spread(State& state);

// Minimum of every row over all columns, by the tree: the lists are not trusted here. known[i] is a
// value that row i has in any case.
std::vector<double> row_minima(const State& state, const std::vector<double>& known, int n_threads);

Bounds bounds_from_lists(State& state);

// Auctions with falling epsilon. Where the bids run out, prices have further to go than epsilon can carry them: the
// last rows are then matched along shortest paths; if many are left, larger steps are taken first. True once the gap
// is within tol.
bool run_auctions(State& state, const Schedule& schedule, double spread, double tol);

// Prices of columns from the duals of another problem with nearly the same solution.
std::vector<double> extended_prices(State& solved, const double* columns, std::int32_t n, double temperature,
                                    int n_threads);

// Prices of columns from the problem between cell means, solved the same way.
std::vector<double> coarse_prices(const double* rows, const double* columns, std::int32_t n, int d, Cost cost,
                                  int n_threads);

}  // namespace pointmetrics::emd

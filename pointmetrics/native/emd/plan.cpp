#include "emd/plan.hpp"

#include <algorithm>
#include <limits>

#include "emd/chunks.hpp"
#include "nativekit/interrupt.hpp"
#include "shared/assignment.hpp"

namespace pointmetrics::emd {
namespace {

constexpr std::int32_t kGroup = 4;      // points a cell mean stands for
constexpr std::int32_t kCoarsest = 32;  // below this a level starts from prices of zero

// Means of n_groups runs of neighbours in kd-order, all of the same size up to one.
std::vector<double> group_means(const double* points, std::int64_t n, int d, std::int64_t n_groups) {
  std::vector<double> out(static_cast<std::size_t>(n_groups * d), 0.0);
  for (std::int64_t g = 0; g < n_groups; ++g) {
    const std::int64_t first = g * n / n_groups, last = (g + 1) * n / n_groups;
    for (std::int64_t i = first; i < last; ++i) {
      for (int a = 0; a < d; ++a) {
        out[static_cast<std::size_t>(g * d + a)] += points[i * d + a] / static_cast<double>(last - first);
      }
    }
  }
  return out;
}

}  // namespace

std::vector<double> gathered(const double* points, const std::vector<std::int32_t>& order, int d) {
  std::vector<double> out;
  out.reserve(order.size() * static_cast<std::size_t>(d));
  for (const std::int32_t i : order) {
    const double* point = points + static_cast<std::int64_t>(i) * d;
    out.insert(out.end(), point, point + d);
  }
  return out;
}

double typical_spread(State& state) {
  std::vector<double> spreads;
  spreads.reserve(static_cast<std::size_t>(state.n));
  for (std::int32_t i = 0; i < state.n; ++i) {
    const double rest = state.rests[static_cast<std::size_t>(i)];
    if (rest < kInfinity) spreads.push_back(rest - state.best(i).value);
  }
  if (spreads.empty()) return 0.0;
  const auto middle = spreads.begin() + static_cast<std::ptrdiff_t>(spreads.size() / 2);
  std::nth_element(spreads.begin(), middle, spreads.end());
  return *middle;
}

Bounds make_bounds(double upper, double lower, double size) {
  Bounds bounds;
  bounds.upper = upper;
  bounds.lower = std::max(0.0, std::min(upper, lower));
  bounds.rounding = rounding_of_bounds(upper, size, 16);  // sums are compensated
  return bounds;
}

std::vector<double> row_minima(const State& state, const std::vector<double>& known, int n_threads) {
  std::vector<double> minima(known);
  share_rows(state.n, n_threads, [&](std::int32_t first, std::int32_t last) {
    for (std::int32_t i = first; i < last; ++i) {
      nativekit::stop_if_asked();
      double& minimum = minima[static_cast<std::size_t>(i)];
      Hits found;
      smallest(state.tree, state.row(i), 1, minimum, found);
      if (found.count > 0) minimum = found.hit[0].value;
    }
  });
  return minima;
}

namespace {

std::int32_t count_free(const State& state) {
  return static_cast<std::int32_t>(std::count(state.column_of.begin(), state.column_of.end(), kFree));
}

}  // namespace

bool run_auctions(State& state, const Schedule& schedule, double spread, double tol) {
  const std::int64_t budget = 12LL * state.n;
  int n_raises = 0;
  double epsilon = schedule.first * spread;
  while (epsilon > schedule.last * spread) {
    if (!auction(state, epsilon, budget)) {
      // A few rows at war raise the prices of a whole neighbourhood by an epsilon a bid. A shortest path goes there
      // at once; many rows need larger steps.
      if (count_free(state) <= state.n / 16) {
        augment_all(state);
      } else if (++n_raises < 12) {
        epsilon *= 8.0;
        continue;
      }
    }
    if (tol > 0.0 && count_free(state) == 0) {
      const Bounds bounds = bounds_from_lists(state);
      if (bounds.upper - bounds.lower <= tol * bounds.upper) return true;
    }
    epsilon /= 4.0;
  }
  return false;
}

// A soft maximum of dual - cost: the hard one makes the price a cone around each row, and then the
// rows tie all over its columns.
std::vector<double> extended_prices(State& solved, const double* columns, std::int32_t n, double temperature,
                                    int n_threads) {
  std::vector<double> minus_duals(static_cast<std::size_t>(solved.n));
  for (std::int32_t i = 0; i < solved.n; ++i) minus_duals[static_cast<std::size_t>(i)] = -solved.best(i).value;
  PriceTree rows(solved.rows, solved.n, solved.d, solved.cost);
  rows.set_prices(minus_duals.data());
  std::vector<double> prices(static_cast<std::size_t>(n));
  share_rows(n, n_threads, [&](std::int32_t first, std::int32_t last) {
    Hits found;
    for (std::int32_t j = first; j < last; ++j) {
      nativekit::stop_if_asked();
      double low = kInfinity, sum = 0.0;
      const double* point = columns + static_cast<std::int64_t>(j) * solved.d;
      update_hits(rows, point, found);
      smallest(rows, point, 12, kInfinity, found);
      for (std::int32_t h = 0; h < found.count; ++h) low = std::min(low, found.hit[h].value);
      for (std::int32_t h = 0; h < found.count; ++h) sum += std::exp((low - found.hit[h].value) / temperature);
      prices[static_cast<std::size_t>(j)] = temperature * std::log(sum) - low;
    }
  });
  return prices;
}

std::vector<double> coarse_prices(const double* rows, const double* columns, std::int32_t n, int d, Cost cost,
                                  int n_threads) {
  const std::int32_t m = n / kGroup;
  if (m < kCoarsest) return std::vector<double>(static_cast<std::size_t>(n), 0.0);
  const std::vector<double> row_means = group_means(rows, n, d, m), column_means = group_means(columns, n, d, m);
  State state(row_means.data(), m, column_means.data(), m, d, cost);
  state.tree.set_prices(coarse_prices(row_means.data(), column_means.data(), m, d, cost, n_threads).data());
  state.fill_all(n_threads);
  const double spread = typical_spread(state);
  if (!(spread > 0.0)) return std::vector<double>(static_cast<std::size_t>(n), 0.0);
  run_auctions(state, kCoarseSchedule, spread, 0.0);
  return extended_prices(state, columns, n, spread, n_threads);
}

}  // namespace pointmetrics::emd

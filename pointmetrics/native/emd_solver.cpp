// The plan: prices from the same problem between cell means (recursively), then bidding with
// falling epsilon, then shortest augmenting paths from prices without slack, then the proof.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <new>
#include <vector>

#include "emd.hpp"
#include "emd_state.hpp"
#include "nativekit/parallel.hpp"

namespace pointmetrics::emd {
namespace {

constexpr std::int32_t kListLength = 16;
constexpr std::int32_t kGroup = 4;       // points a cell mean stands for
constexpr std::int32_t kCoarsest = 32;   // below this a level starts from prices of zero
constexpr std::int32_t kChunk = 256;     // rows a thread takes at a time

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

std::vector<double> gathered(const double* points, const std::vector<std::int32_t>& order, int d) {
  std::vector<double> out;
  out.reserve(order.size() * static_cast<std::size_t>(d));
  for (const std::int32_t i : order) {
    const double* point = points + static_cast<std::int64_t>(i) * d;
    out.insert(out.end(), point, point + d);
  }
  return out;
}

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

// How much the values in a row's list differ, for the median row: the unit in which epsilon makes
// sense. A mean would follow a single outlier.
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

Bounds bounds_of(const State& state, const std::vector<double>& row_minima) {
  Sum upper, lower, size;
  for (std::int32_t i = 0; i < state.n; ++i) {
    const double minimum = row_minima[static_cast<std::size_t>(i)], price = state.tree.price(i);
    upper.add(state.matched_cost[static_cast<std::size_t>(i)]);
    lower.add(minimum);
    lower.add(-price);
    size.add(std::abs(minimum) + std::abs(price));
  }
  Bounds bounds;
  bounds.upper = upper.value() / state.n;
  bounds.lower = std::max(0.0, std::min(bounds.upper, lower.value() / state.n));
  bounds.rounding = 1e-12 * bounds.upper + 16.0 * std::numeric_limits<double>::epsilon() * size.value() / state.n;
  return bounds;
}

// The exact minimum of every row over all columns: the lists are not trusted here.
Bounds certificate(State& state, int n_threads) {
  std::vector<double> minima(static_cast<std::size_t>(state.n));
  nativekit::parallel_for((state.n + kChunk - 1) / kChunk, n_threads, [&](std::int64_t chunk) {
    QueryScratch memory;
    const std::int32_t first = static_cast<std::int32_t>(chunk) * kChunk;
    for (std::int32_t i = first; i < std::min(state.n, first + kChunk); ++i) {
      const double matched = state.matched_value(i);
      double rest;
      const bool better = smallest(state.tree, state.cost, state.row(i), 1, matched, memory, &rest) > 0;
      minima[static_cast<std::size_t>(i)] = better ? memory.hits[0].value : matched;
    }
  });
  return bounds_of(state, minima);
}

Bounds bounds_from_lists(State& state) {
  std::vector<double> minima(static_cast<std::size_t>(state.n));
  for (std::int32_t i = 0; i < state.n; ++i) minima[static_cast<std::size_t>(i)] = state.best(i).value;
  return bounds_of(state, minima);
}

// Auctions with falling epsilon. Where the bids run out, prices have further to go than epsilon
// can carry them, so larger steps are taken first. True once the gap is within tol.
bool run_auctions(State& state, const Schedule& schedule, double spread, double tol) {
  const std::int64_t budget = 32LL * state.n;
  int n_raises = 0;
  double epsilon = schedule.first * spread;
  while (epsilon > schedule.last * spread) {
    const bool complete = auction(state, epsilon, budget);
    if (!complete && ++n_raises < 12) {
      epsilon *= 8.0;
      continue;
    }
    if (complete && tol > 0.0) {
      const Bounds bounds = bounds_from_lists(state);
      if (bounds.upper - bounds.lower <= tol * bounds.upper) return true;
    }
    epsilon /= 4.0;
  }
  return false;
}

// Prices of columns from the duals of a coarse problem: a soft maximum of dual - cost, because the
// hard one makes the price a cone around each coarse row, and rows then tie all over its columns.
std::vector<double> extended_prices(State& coarse, const double* columns, std::int32_t n,
                                    double temperature, int n_threads) {
  std::vector<double> minus_duals(static_cast<std::size_t>(coarse.n));
  for (std::int32_t i = 0; i < coarse.n; ++i) minus_duals[static_cast<std::size_t>(i)] = -coarse.best(i).value;
  PriceTree rows(coarse.rows, coarse.n, coarse.d);
  rows.set_prices(minus_duals.data());
  std::vector<double> prices(static_cast<std::size_t>(n));
  nativekit::parallel_for((n + kChunk - 1) / kChunk, n_threads, [&](std::int64_t chunk) {
    QueryScratch memory;
    const std::int32_t first = static_cast<std::int32_t>(chunk) * kChunk;
    for (std::int32_t j = first; j < std::min(n, first + kChunk); ++j) {
      double rest, low = kInfinity, sum = 0.0;
      const double* point = columns + static_cast<std::int64_t>(j) * coarse.d;
      const std::int32_t count = smallest(rows, coarse.cost, point, 12, kInfinity, memory, &rest);
      for (std::int32_t h = 0; h < count; ++h) low = std::min(low, memory.hits[h].value);
      for (std::int32_t h = 0; h < count; ++h) sum += std::exp((low - memory.hits[h].value) / temperature);
      prices[static_cast<std::size_t>(j)] = temperature * std::log(sum) - low;
    }
  });
  return prices;
}

std::vector<double> coarse_prices(const double* rows, const double* columns, std::int32_t n, int d,
                                  Cost cost, int n_threads) {
  const std::int32_t m = n / kGroup;
  if (m < kCoarsest) return std::vector<double>(static_cast<std::size_t>(n), 0.0);
  const std::vector<double> row_means = group_means(rows, n, d, m), column_means = group_means(columns, n, d, m);
  State state(row_means.data(), column_means.data(), m, d, cost, kListLength);
  state.tree.set_prices(coarse_prices(row_means.data(), column_means.data(), m, d, cost, n_threads).data());
  state.fill_all(n_threads);
  const double spread = typical_spread(state);
  if (!(spread > 0.0)) return std::vector<double>(static_cast<std::size_t>(n), 0.0);
  run_auctions(state, kCoarseSchedule, spread, 0.0);
  return extended_prices(state, columns, n, spread, n_threads);
}

// Exact complementary slackness, then augmentation. Rounding may leave a row off its best; such
// rows are matched anew, a bounded number of times.
Bounds finish(State& state, int n_threads) {
  Bounds bounds;
  for (int attempt = 0; attempt < 3; ++attempt) {
    state.free_unhappy(0.0);
    if (attempt == 0) reduce_rows(state, 4LL * state.n);
    augment_all(state);
    bounds = certificate(state, n_threads);
    if (bounds.upper - bounds.lower <= bounds.rounding) break;
  }
  return bounds;
}

void solve_pair(const Job& job, std::int64_t pair, int n_threads) {
  const std::int64_t first = job.offsets[pair];
  const std::int32_t n = static_cast<std::int32_t>(job.offsets[pair + 1] - first);
  const double* points[2] = {job.x + first * job.d, job.y + first * job.d};
  std::vector<std::int32_t> order[2];
  std::vector<double> sorted[2];
  nativekit::parallel_for(2, n_threads, [&](std::int64_t side) {
    order[side] = kd_order(points[side], n, job.d);
    sorted[side] = gathered(points[side], order[side], job.d);
  });
  State state(sorted[0].data(), sorted[1].data(), n, job.d, job.cost, kListLength);
  state.tree.set_prices(coarse_prices(sorted[0].data(), sorted[1].data(), n, job.d, job.cost, n_threads).data());
  state.fill_all(n_threads);
  const bool early = run_auctions(state, kFineSchedule, typical_spread(state), job.tol);
  const Bounds bounds = early ? bounds_from_lists(state) : finish(state, n_threads);
  const double gap = bounds.upper - bounds.lower;
  job.upper[pair] = bounds.upper;
  job.lower[pair] = bounds.lower;
  job.converged[pair] = gap <= std::max(job.tol * bounds.upper, bounds.rounding);
  for (std::int32_t k = 0; k < n; ++k) {
    const std::size_t place = static_cast<std::size_t>(k);
    job.assignment[first + order[0][place]] = order[1][static_cast<std::size_t>(state.column_of[place])];
    job.prices[first + order[1][place]] = state.tree.price(k);
  }
}

}  // namespace

int solve(const Job& job) {
  const int inside = job.n_pairs == 1 ? job.n_threads : 1;
  std::atomic<int> status{0};
  nativekit::parallel_for(job.n_pairs, job.n_threads, [&](std::int64_t pair) {
    try {
      solve_pair(job, pair, inside);
    } catch (const std::bad_alloc&) {
      status = 1;
    }
  });
  return status;
}

}  // namespace pointmetrics::emd

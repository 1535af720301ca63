// The plan: prices from the same problem between cell means (recursively), then bidding with
// falling epsilon, then shortest augmenting paths from prices without slack, then the proof.
#include <algorithm>
#include <vector>

#include "emd/chunks.hpp"
#include "emd/emd.hpp"
#include "emd/plan.hpp"
#include "shared/assignment.hpp"
#include "status.hpp"

namespace pointmetrics::emd {
namespace {

Bounds bounds_of(const State& state, const std::vector<double>& minima) {
  Sum upper, lower, size;
  for (std::int32_t i = 0; i < state.n; ++i) {
    const double minimum = minima[static_cast<std::size_t>(i)], price = state.tree.price(i);
    upper.add(state.matched_cost[static_cast<std::size_t>(i)]);
    lower.add(minimum);
    lower.add(-price);
    size.add(std::abs(minimum) + std::abs(price));
  }
  return make_bounds(upper.value() / state.n, lower.value() / state.n, size.value() / state.n);
}

Bounds certificate(const State& state, int n_threads) {
  std::vector<double> matched(static_cast<std::size_t>(state.n));
  for (std::int32_t i = 0; i < state.n; ++i) matched[static_cast<std::size_t>(i)] = state.matched_value(i);
  return bounds_of(state, row_minima(state, matched, n_threads));
}

}  // namespace

Bounds bounds_from_lists(State& state) {
  std::vector<double> minima(static_cast<std::size_t>(state.n));
  for (std::int32_t i = 0; i < state.n; ++i) minima[static_cast<std::size_t>(i)] = state.best(i).value;
  return bounds_of(state, minima);
}

namespace {

std::int32_t count_free(const State& state) {
  return static_cast<std::int32_t>(std::count(state.column_of.begin(), state.column_of.end(), kFree));
}

// Free what is not at its best, and match by bids what bids can. Clusters far apart leave most rows free: what they
// cost each other differs by far less than epsilon. Bidding goes on with smaller steps then: each path would cross all
// ties.
void settle(State& state, double epsilon) {
  constexpr int kMostRounds = 12;
  for (int round = 0;; ++round) {
    state.free_unhappy(0.0);
    reduce_rows(state, 4LL * state.n);
    if (round == kMostRounds || state.tree.rough_tells() || count_free(state) <= state.n / 4) return;
    epsilon /= 16.0;
    auction(state, epsilon, 12LL * state.n);
  }
}

// Exact complementary slackness, then augmentation. Rounding may leave a row off its best; such
// rows are matched anew, a bounded number of times.
Bounds finish(State& state, double epsilon, int n_threads) {
  Bounds bounds;
  for (int attempt = 0; attempt < 3; ++attempt) {
    if (attempt == 0) {
      settle(state, epsilon);
    } else {
      state.free_unhappy(0.0);
    }
    augment_all(state);
    bounds = certificate(state, n_threads);
    if (bounds.upper - bounds.lower <= bounds.rounding) break;
  }
  return bounds;
}

void solve_pair(const Job& job, std::int64_t pair, int n_threads) {
  const std::int64_t first = job.offsets[pair];
  const std::int32_t n = static_cast<std::int32_t>(job.offsets[pair + 1] - first);
  if (n < kThreadsPayFrom) n_threads = 1;
  const double* points[2] = {job.x + first * job.d, job.y + first * job.d};
  std::vector<std::int32_t> order[2];
  std::vector<double> sorted[2];
  share_out(2, n_threads, [&](std::int64_t side) {
    order[side] = kd_order(points[side], n, job.d);
    sorted[side] = gathered(points[side], order[side], job.d);
  });
  State state(sorted[0].data(), n, sorted[1].data(), n, job.d, job.cost);
  state.tree.set_prices(coarse_prices(sorted[0].data(), sorted[1].data(), n, job.d, job.cost, n_threads).data());
  state.fill_all(n_threads);
  const double spread = typical_spread(state);
  const bool early = run_auctions(state, kFineSchedule, spread, job.tol);
  const Bounds bounds = early ? bounds_from_lists(state) : finish(state, kFineSchedule.last * spread, n_threads);
  job.upper[pair] = bounds.upper;
  job.lower[pair] = bounds.lower;
  job.converged[pair] = have_met(bounds.upper, bounds.lower, job.tol, bounds.rounding);
  for (std::int32_t k = 0; k < n; ++k) {
    const std::size_t place = static_cast<std::size_t>(k);
    job.assignment[first + order[0][place]] = order[1][static_cast<std::size_t>(state.column_of[place])];
    job.prices[first + order[1][place]] = state.tree.price(k);
  }
}

}  // namespace

int solve(const Job& job) {
  const int inside = job.n_pairs == 1 ? job.n_threads : 1;
  return guarded([&] {
    share_out(job.n_pairs, job.n_threads, [&](std::int64_t pair) { solve_pair(job, pair, inside); });
    return kOk;
  });
}

}  // namespace pointmetrics::emd

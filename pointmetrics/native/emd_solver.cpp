#include "emd_solver.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <vector>

#include "emd_state.hpp"

namespace pointmetrics {
namespace {
double clock_ms() {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::vector<double> gathered(const double* points, const std::vector<std::int32_t>& order, int d) {
  std::vector<double> out(order.size() * static_cast<std::size_t>(d));
  for (std::size_t k = 0; k < order.size(); ++k)
    for (int a = 0; a < d; ++a) out[k * d + a] = points[static_cast<std::int64_t>(order[k]) * d + a];
  return out;
}

std::vector<double> group_means(const std::vector<double>& points, std::int32_t n, int d, std::int32_t n_groups) {
  std::vector<double> out(static_cast<std::size_t>(n_groups) * d, 0.0);
  for (std::int64_t g = 0; g < n_groups; ++g) {
    const std::int64_t b = g * n / n_groups, e = (g + 1) * n / n_groups;
    for (std::int64_t i = b; i < e; ++i)
      for (int a = 0; a < d; ++a) out[g * d + a] += points[i * d + a] / (e - b);
  }
  return out;
}

double spread(State& s) {
  double sum = 0;
  for (std::int32_t i = 0; i < s.n; ++i) {
    const Best b = s.best(i);
    if (s.rests[i] < kInfinity) sum += s.rests[i] - b.value;
  }
  return sum / s.n;
}

void report(const State& s, const char* what, double eps, double t0) {
  std::printf("  n=%d %s eps=%.3g fills=%lld bids=%lld scanned=%lld expanded=%lld  %.2f ms\n", s.n, what, eps,
              (long long)s.n_fills, (long long)s.n_bids, (long long)s.n_scanned, (long long)s.n_expanded, clock_ms() - t0);
}

// prices of fine columns
std::vector<double> coarse_prices(const std::vector<double>& x, const std::vector<double>& y, std::int32_t n, int d,
                                  const EmdOptions& o, double t0) {
  const std::int32_t m = n / 4;
  std::vector<double> prices(n, 0.0);
  if (m < 16) return prices;
  const std::vector<double> cx = group_means(x, n, d, m), cy = group_means(y, n, d, m);
  const std::vector<double> start = coarse_prices(cx, cy, m, d, o, t0);
  State s(cx.data(), cy.data(), m, d, o.cost, o.k);
  s.tree.set_prices(start.data());
  const double h = spread(s);
  for (double e = h * o.coarse_first; e > h * o.coarse_last; e /= o.factor) {
    auction(s, e, 1000LL * m);
    if (o.verbose) report(s, "coarse", e, t0);
  }
  std::vector<double> minus_dual(m);
  for (std::int32_t i = 0; i < m; ++i) minus_dual[i] = -s.best(i).value;
  PriceTree back(cx.data(), m, d);
  back.set_prices(minus_dual.data());
  double rest;
  for (std::int32_t j = 0; j < n; ++j) {
    const std::int32_t c = smallest(back, o.cost, &y[(size_t)j * d], 1, kInfinity, s.scratch, &rest);
    (void)c;
    prices[j] = -s.scratch.hits[0].value;
  }
  return prices;
}
}  // namespace

EmdResult solve_emd(const double* x, const double* y, std::int32_t n, int d,
                    const EmdOptions& o, std::int32_t* assignment, double* prices) {
  const double t0 = clock_ms();
  const std::vector<std::int32_t> ox = kd_order(x, n, d), oy = kd_order(y, n, d);
  const std::vector<double> gx = gathered(x, ox, d), gy = gathered(y, oy, d);
  const std::vector<double> start = coarse_prices(gx, gy, n, d, o, t0);
  State s(gx.data(), gy.data(), n, d, o.cost, o.k);
  if (o.verbose) report(s, "coarse done", 0, t0);
  s.tree.set_prices(start.data());
  const double h = spread(s);
  if (o.verbose) report(s, "lists", h, t0);
  for (double e = h * o.first; e > h * o.last; e /= o.factor) {
    auction(s, e, 1000LL * n);
    if (o.verbose) report(s, "fine", e, t0);
  }
  std::int32_t f = s.free_unhappy(0.0);
  if (o.verbose) std::printf("  free %d\n", f);
  reduce_rows(s, 4LL * n);
  f = s.free_unhappy(0.0);
  if (o.verbose) report(s, "reduced", 0, t0), std::printf("  free %d\n", f);
  augment_all(s);
  if (o.verbose) report(s, "augmented", 0, t0);
  EmdResult r;
  double up = 0, lo = 0;
  for (std::int32_t i = 0; i < n; ++i) {
    double rest;
    const double m = s.matched_value(i);
    double best = m;
    if (smallest(s.tree, s.cost, s.row(i), 1, m, s.scratch, &rest)) best = s.scratch.hits[0].value;
    up += s.matched_cost[i];
    lo += best - s.tree.price(s.column_of[i]);
    assignment[ox[i]] = oy[s.column_of[i]];
    prices[oy[i]] = s.tree.price(i);
  }
  r.upper = up / n;
  r.lower = lo / n;
  r.exact = 1;
  if (o.verbose) report(s, "certified", 0, t0);
  return r;
}

}  // namespace pointmetrics

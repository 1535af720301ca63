#include "emd/price_tree.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "isa/kernels.hpp"

namespace pointmetrics::emd {
namespace {

// Size of the left part: whole multiples of the largest 16^k that leaves two parts, about half.
std::int32_t left_size(std::int32_t n) {
  if (n <= kFan) return n / 2;
  std::int64_t unit = kFan;
  while (unit * kFan < n) unit *= kFan;
  const std::int64_t units = (n + unit - 1) / unit;
  return static_cast<std::int32_t>((units / 2) * unit);
}

int widest_axis(const double* points, int d, const std::int32_t* order, std::int32_t n) {
  int axis = 0;
  double widest = -1.0;
  for (int a = 0; a < d; ++a) {
    double low = kInfinity, high = -kInfinity;
    for (std::int32_t k = 0; k < n; ++k) {
      const double v = points[static_cast<std::int64_t>(order[k]) * d + a];
      low = std::min(low, v);
      high = std::max(high, v);
    }
    if (high - low > widest) {
      widest = high - low;
      axis = a;
    }
  }
  return axis;
}

void kd_split(const double* points, int d, std::int32_t* order, std::int32_t n) {
  while (n > 2) {
    const int axis = widest_axis(points, d, order, n);
    const std::int32_t left = left_size(n);
    std::nth_element(order, order + left, order + n, [&](std::int32_t p, std::int32_t q) {
      const double a = points[static_cast<std::int64_t>(p) * d + axis];
      const double b = points[static_cast<std::int64_t>(q) * d + axis];
      return a < b || (a == b && p < q);
    });
    kd_split(points, d, order, left);
    order += left;
    n -= left;
  }
}

// Fill the boxes of `above` from those (or the points) of `below`.
void make_parents(const BoxLevel& below, int d, BoxLevel& above) {
  above.n_nodes = (below.n_nodes + kFan - 1) / kFan;
  const std::size_t groups = static_cast<std::size_t>((above.n_nodes + kFan - 1) / kFan);
  above.lower.assign(groups * d * kFan, 0.0);
  above.upper.assign(groups * d * kFan, 0.0);
  above.price.assign(groups * kFan, kInfinity);
  const std::vector<double>& upper = below.upper.empty() ? below.lower : below.upper;
  for (std::int32_t node = 0; node < above.n_nodes; ++node) {
    const int used = std::min(kFan, below.n_nodes - node * kFan);
    for (int a = 0; a < d; ++a) {
      const std::size_t from = (static_cast<std::size_t>(node) * d + a) * kFan;
      const std::size_t to = (static_cast<std::size_t>(node / kFan) * d + a) * kFan + node % kFan;
      above.lower[to] = *std::min_element(&below.lower[from], &below.lower[from] + used);
      above.upper[to] = *std::max_element(&upper[from], &upper[from] + used);
    }
  }
}

}  // namespace

std::vector<std::int32_t> kd_order(const double* points, std::int32_t n, int d) {
  std::vector<std::int32_t> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  kd_split(points, d, order.data(), n);
  return order;
}

PriceTree::PriceTree(const double* points, std::int32_t n, int d) : n_(n), d_(d) {
  levels_.emplace_back();
  BoxLevel& base = levels_.back();
  base.n_nodes = n;
  const std::size_t groups = static_cast<std::size_t>((n + kFan - 1) / kFan);
  base.lower.assign(groups * d * kFan, 0.0);
  base.price.assign(groups * kFan, kInfinity);
  for (std::int32_t j = 0; j < n; ++j) {
    for (int a = 0; a < d; ++a) {
      base.lower[(static_cast<std::size_t>(j / kFan) * d + a) * kFan + j % kFan] =
          points[static_cast<std::int64_t>(j) * d + a];
    }
  }
  while (levels_.back().n_nodes > kFan) {
    BoxLevel above;
    make_parents(levels_.back(), d, above);
    levels_.push_back(std::move(above));
  }
  const std::vector<double> zero(static_cast<std::size_t>(n), 0.0);
  set_prices(zero.data());
}

void PriceTree::set_prices(const double* prices) {
  std::copy(prices, prices + n_, levels_[0].price.begin());
  for (std::size_t l = 1; l < levels_.size(); ++l) {
    const std::vector<double>& below = levels_[l - 1].price;
    for (std::int32_t node = 0; node < levels_[l].n_nodes; ++node) {
      const double* first = &below[static_cast<std::size_t>(node) * kFan];
      levels_[l].price[static_cast<std::size_t>(node)] = *std::min_element(first, first + kFan);
    }
  }
}

void PriceTree::raise(std::int32_t j, double price) {
  std::size_t node = static_cast<std::size_t>(j);
  double old = levels_[0].price[node];
  levels_[0].price[node] = price;
  for (std::size_t l = 1; l < levels_.size(); ++l) {
    node /= kFan;
    double& stored = levels_[l].price[node];
    if (stored < old) return;
    const double* first = &levels_[l - 1].price[node * kFan];
    const double lowest = *std::min_element(first, first + kFan);
    if (lowest == stored) return;
    old = stored;
    stored = lowest;
  }
}

void PriceTree::lower(std::int32_t j, double price) {
  std::size_t node = static_cast<std::size_t>(j);
  levels_[0].price[node] = price;
  for (std::size_t l = 1; l < levels_.size(); ++l) {
    node /= kFan;
    double& stored = levels_[l].price[node];
    if (!(price < stored)) return;
    stored = price;
  }
}

std::int32_t smallest(const PriceTree& tree, Cost cost, const double* point, std::int32_t k,
                      double below, QueryScratch& scratch, double* rest) {
  const std::size_t needed = 2 * static_cast<std::size_t>(k) + 2 * kFan;
  if (scratch.hits.size() < needed) {
    scratch.hits.resize(needed);
    scratch.values.resize(needed);
  }
  Hit* hits = scratch.hits.data();
  double* values = scratch.values.data();
  const int d = tree.dimension();
  const Queries& queries = core().queries;
  const Queries::Query query = queries.of[cost == Cost::squared][d == 2 ? 0 : d == 3 ? 1 : 2];
  return query(tree, point, k, below, hits, values, rest);
}

double pair_cost(const PriceTree& tree, Cost cost, const double* point, std::int32_t j) {
  const std::vector<double>& points = tree.levels()[0].lower;
  double sum = 0.0;
  for (int a = 0; a < tree.dimension(); ++a) {
    const std::size_t group = static_cast<std::size_t>(j / kFan) * static_cast<std::size_t>(tree.dimension());
    const double delta = points[(group + static_cast<std::size_t>(a)) * kFan + j % kFan] - point[a];
    sum += delta * delta;
  }
  return cost == Cost::squared ? sum : std::sqrt(sum);
}

}  // namespace pointmetrics::emd

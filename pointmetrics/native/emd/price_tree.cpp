#include "emd/price_tree.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "nativekit/simd.hpp"

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

namespace {

template <bool kPoints>
NK_INLINE double gap(double lower, double upper, double p) {
  if (kPoints) return lower - p;
  // Rounding is monotone, so no computed cost of a point inside is below that of its box.
  const double under = lower - p, over = p - upper;
  const double outside = under > over ? under : over;
  return outside > 0.0 ? outside : 0.0;
}

// Costs and values of 16 boxes, or of 16 points (then upper is not read). One loop over the lanes
// for each fixed dimension: that is the form compilers turn into vector instructions.
template <int D, bool kSquared, bool kPoints>
NK_INLINE void values_of_16(const double* NK_RESTRICT lower, const double* NK_RESTRICT upper,
                            const double* NK_RESTRICT price, const double* NK_RESTRICT point, int d,
                            double* NK_RESTRICT cost, double* NK_RESTRICT value) {
  if (D == 2 || D == 3) {
    const double p0 = point[0], p1 = point[1], p2 = D == 3 ? point[2] : 0.0;
    for (int l = 0; l < kFan; ++l) {
      const double g0 = gap<kPoints>(lower[l], upper[l], p0);
      const double g1 = gap<kPoints>(lower[kFan + l], upper[kFan + l], p1);
      double sum = g0 * g0 + g1 * g1;
      if (D == 3) {
        const double g2 = gap<kPoints>(lower[2 * kFan + l], upper[2 * kFan + l], p2);
        sum += g2 * g2;
      }
      const double c = kSquared ? sum : std::sqrt(sum);
      cost[l] = c;
      value[l] = c + price[l];
    }
    return;
  }
  for (int l = 0; l < kFan; ++l) cost[l] = 0.0;
  for (int a = 0; a < d; ++a) {
    const double p = point[a];
    for (int l = 0; l < kFan; ++l) {
      const double g = gap<kPoints>(lower[a * kFan + l], upper[a * kFan + l], p);
      cost[l] += g * g;
    }
  }
  for (int l = 0; l < kFan; ++l) {
    const double c = kSquared ? cost[l] : std::sqrt(cost[l]);
    cost[l] = c;
    value[l] = c + price[l];
  }
}

NK_INLINE double lowest_of_16(const double* value) {
  double low[kFan / 2];
  for (int l = 0; l < 8; ++l) low[l] = value[l] < value[l + 8] ? value[l] : value[l + 8];
  for (int l = 0; l < 4; ++l) low[l] = low[l] < low[l + 4] ? low[l] : low[l + 4];
  low[0] = low[0] < low[2] ? low[0] : low[2];
  low[1] = low[1] < low[3] ? low[1] : low[3];
  return low[0] < low[1] ? low[0] : low[1];
}

// Move the k smallest of hits[0, count) to the front and return the largest value among them.
// Equal values at the border: first come, first kept (the order of visits is determined).
double keep_smallest(Hit* hits, double* values, std::int32_t count, std::int32_t k) {
  for (std::int32_t h = 0; h < count; ++h) values[h] = hits[h].value;
  std::nth_element(values, values + (k - 1), values + count);
  const double border = values[k - 1];
  std::int32_t n_below = 0;
  for (std::int32_t h = 0; h < k; ++h) n_below += values[h] < border;
  std::int32_t n_ties = k - n_below, kept = 0;
  for (std::int32_t h = 0; h < count; ++h) {
    const Hit hit = hits[h];
    const bool tie = hit.value == border && n_ties > 0;
    n_ties -= tie;
    hits[kept] = hit;
    kept += tie || hit.value < border;
  }
  return border;
}

struct Pending {
  double bound;
  std::int32_t level, group;
};

template <int D, bool kSquared>
NK_INLINE std::int32_t search(const PriceTree& tree, const double* point, std::int32_t k, double below,
                              Hit* hits, double* values, double* rest) {
  const std::vector<BoxLevel>& levels = tree.levels();
  const int d = tree.dimension();
  const std::int32_t capacity = 2 * k + 2 * kFan;
  std::int32_t count = 0;
  Pending stack[10 * kFan];  // 16^10 points are more than an int32 counts
  int depth = 0;
  stack[depth++] = {-kInfinity, static_cast<std::int32_t>(levels.size()) - 1, 0};
  alignas(64) double cost[kFan];
  alignas(64) double value[kFan];
  while (depth > 0) {
    const Pending here = stack[--depth];
    if (!(here.bound < below)) continue;
    const BoxLevel& level = levels[static_cast<std::size_t>(here.level)];
    const std::size_t base = static_cast<std::size_t>(here.group) * kFan;
    const double* lower = &level.lower[base * static_cast<std::size_t>(d)];
    const double* price = &level.price[base];
    if (here.level == 0) {
      values_of_16<D, kSquared, true>(lower, lower, price, point, d, cost, value);
      if (!(lowest_of_16(value) < below)) continue;
      for (int lane = 0; lane < kFan; ++lane) {  // written always, kept if below: no branch to guess
        hits[count] = {value[lane], cost[lane], static_cast<std::int32_t>(base) + lane};
        count += value[lane] < below;
      }
      if (count > capacity - kFan) {
        below = keep_smallest(hits, values, count, k);
        count = k;
      }
      continue;
    }
    values_of_16<D, kSquared, false>(lower, &level.upper[base * static_cast<std::size_t>(d)], price, point, d,
                                     cost, value);
    if (!(lowest_of_16(value) < below)) continue;
    const int bottom = depth;
    for (int lane = 0; lane < kFan; ++lane) {
      if (!(value[lane] < below)) continue;
      int at = depth++;
      for (; at > bottom && stack[at - 1].bound < value[lane]; --at) stack[at] = stack[at - 1];
      stack[at] = {value[lane], here.level - 1, static_cast<std::int32_t>(base) + lane};
    }
  }
  if (count > k) {
    below = keep_smallest(hits, values, count, k);
    count = k;
  }
  *rest = below;
  return count;
}

// One entry per instruction set, dimension and cost; everything they call is inlined into them.
#define POINTMETRICS_SEARCH(NAME, D, SQUARED)                                                       \
  NK_CLONES std::int32_t NAME(const PriceTree& tree, const double* point, std::int32_t k,           \
                              double below, Hit* hits, double* values, double* rest) {                              \
    return search<D, SQUARED>(tree, point, k, below, hits, values, rest);                                   \
  }
POINTMETRICS_SEARCH(search_2_euclidean, 2, false)
POINTMETRICS_SEARCH(search_3_euclidean, 3, false)
POINTMETRICS_SEARCH(search_d_euclidean, 0, false)
POINTMETRICS_SEARCH(search_2_squared, 2, true)
POINTMETRICS_SEARCH(search_3_squared, 3, true)
POINTMETRICS_SEARCH(search_d_squared, 0, true)
#undef POINTMETRICS_SEARCH

}  // namespace

std::int32_t smallest(const PriceTree& tree, Cost cost, const double* point, std::int32_t k,
                      double below, QueryScratch& scratch, double* rest) {
  const std::size_t needed = 2 * static_cast<std::size_t>(k) + 2 * kFan;
  if (scratch.hits.size() < needed) {
    scratch.hits.resize(needed);
    scratch.values.resize(needed);
  }
  Hit* hits = scratch.hits.data();
  double* values = scratch.values.data();
  const bool squared = cost == Cost::squared;
  switch (tree.dimension()) {
    case 2:
      return (squared ? search_2_squared : search_2_euclidean)(tree, point, k, below, hits, values, rest);
    case 3:
      return (squared ? search_3_squared : search_3_euclidean)(tree, point, k, below, hits, values, rest);
    default:
      return (squared ? search_d_squared : search_d_euclidean)(tree, point, k, below, hits, values, rest);
  }
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

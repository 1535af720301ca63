#include "emd/price_tree.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "isa/kernels.hpp"
#include "shared/distance.hpp"

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

namespace {

// A power of two that brings the extent of the points near one: products by it are exact.
double scale_of(const BoxLevel& top, int d, const double* centre) {
  const std::vector<double>& upper = top.upper.empty() ? top.lower : top.upper;
  double extent = 0.0;
  for (std::int32_t node = 0; node < top.n_nodes; ++node) {
    for (int a = 0; a < d; ++a) {
      const std::size_t at = static_cast<std::size_t>(a) * kFan + static_cast<std::size_t>(node);
      extent = std::max({extent, std::abs(top.lower[at] - centre[a]), std::abs(upper[at] - centre[a])});
    }
  }
  // Squares of scales and their inverses must be numbers too.
  return extent > 0.0 ? std::ldexp(1.0, std::clamp(-std::ilogb(extent), -500, 500)) : 1.0;
}

}  // namespace

PriceTree::PriceTree(const double* points, std::int32_t n, int d, Cost cost)
    : n_(n), d_(d), cost_(cost),
      centre_(points + static_cast<std::int64_t>(n / 2) * d, points + static_cast<std::int64_t>(n / 2 + 1) * d) {
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
  scale_ = scale_of(levels_.back(), d, centre_.data());
  value_scale_ = cost == Cost::squared ? scale_ * scale_ : scale_;
  for (BoxLevel& level : levels_) make_rough(level);
  telling_price_ = find_telling_price();
  const std::vector<double> zero(static_cast<std::size_t>(n), 0.0);
  set_prices(zero.data());
}

// What rounding to float32 takes from a number of size one must be small against a block of neighbours.
double PriceTree::find_telling_price() const {
  if (levels_.size() < 2) return kInfinity;
  constexpr double kLost = 0x1p-20, kSmall = 0.125;
  const BoxLevel& level = levels_[1];
  std::vector<double> sides;
  for (std::int32_t node = 0; node < level.n_nodes; ++node) {
    double side = 0.0;
    for (int a = 0; a < d_; ++a) {
      const std::size_t at =
          (static_cast<std::size_t>(node / kFan) * static_cast<std::size_t>(d_) + static_cast<std::size_t>(a)) * kFan +
          static_cast<std::size_t>(node % kFan);
      side = std::max(side, level.upper[at] - level.lower[at]);
    }
    sides.push_back(side * scale_);
  }
  const auto middle = sides.begin() + static_cast<std::ptrdiff_t>(sides.size() / 2);
  std::nth_element(sides.begin(), middle, sides.end());
  if (kLost > kSmall * *middle) return *middle > 0.0 ? -1.0 : kInfinity;  // of equal points there is nothing to tell
  return kSmall * (cost_ == Cost::squared ? *middle * *middle : *middle) / kLost / value_scale_;
}

void PriceTree::note_price(double price) {
  if (price < kInfinity) largest_price_ = std::max(largest_price_, std::abs(price));
}

void PriceTree::make_rough(BoxLevel& level) const {
  const std::vector<double>& upper = level.upper.empty() ? level.lower : level.upper;
  const std::size_t block = static_cast<std::size_t>(2 * d_ + 1) * kFan;
  level.rough.assign(level.price.size() / kFan * block, std::numeric_limits<float>::infinity());
  for (std::size_t g = 0; g * kFan < level.price.size(); ++g) {
    for (int a = 0; a < d_; ++a) {
      float* to = &level.rough[g * block + static_cast<std::size_t>(a) * 2 * kFan];
      const std::size_t from = (g * static_cast<std::size_t>(d_) + static_cast<std::size_t>(a)) * kFan;
      const double middle = centre_[static_cast<std::size_t>(a)];
      for (std::size_t l = 0; l < kFan; ++l) {
        to[l] = rounded_down((level.lower[from + l] - middle) * scale_);
        to[kFan + l] = rounded_up((upper[from + l] - middle) * scale_);
      }
    }
  }
}

void PriceTree::put_price(BoxLevel& level, std::size_t node, double price) const {
  // Far from overflow, so that the sum with a cost is a number.
  constexpr float most = std::numeric_limits<float>::max() / 4;
  level.price[node] = price;
  const std::size_t d = static_cast<std::size_t>(d_);
  level.rough[((node / kFan) * (2 * d + 1) + 2 * d) * kFan + node % kFan] =
      price < kInfinity ? std::min(most, rounded_down(price * value_scale_)) : std::numeric_limits<float>::infinity();
}

void PriceTree::set_prices(const double* prices) {
  largest_price_ = 0.0;
  for (std::size_t j = 0; j < static_cast<std::size_t>(n_); ++j) {
    note_price(prices[j]);
    put_price(levels_[0], j, prices[j]);
  }
  for (std::size_t l = 1; l < levels_.size(); ++l) {
    const std::vector<double>& below = levels_[l - 1].price;
    for (std::int32_t node = 0; node < levels_[l].n_nodes; ++node) {
      const double* first = &below[static_cast<std::size_t>(node) * kFan];
      put_price(levels_[l], static_cast<std::size_t>(node), *std::min_element(first, first + kFan));
    }
  }
}

void PriceTree::raise(std::int32_t j, double price) {
  std::size_t node = static_cast<std::size_t>(j);
  double old = levels_[0].price[node];
  note_price(price);
  put_price(levels_[0], node, price);
  for (std::size_t l = 1; l < levels_.size(); ++l) {
    node /= kFan;
    const double stored = levels_[l].price[node];
    if (stored < old) return;
    const double* first = &levels_[l - 1].price[node * kFan];
    const double lowest = *std::min_element(first, first + kFan);
    if (lowest == stored) return;
    old = stored;
    put_price(levels_[l], node, lowest);
  }
}

void PriceTree::lower(std::int32_t j, double price) {
  std::size_t node = static_cast<std::size_t>(j);
  note_price(price);
  put_price(levels_[0], node, price);
  for (std::size_t l = 1; l < levels_.size(); ++l) {
    node /= kFan;
    if (!(price < levels_[l].price[node])) return;
    put_price(levels_[l], node, price);
  }
}

void smallest(const PriceTree& tree, const double* point, std::int32_t k, double below, Hits& hits) {
  const int d = tree.dimension();
  core().queries.of[!tree.rough_tells()][tree.cost() == Cost::squared][d == 2   ? 0
                                                                       : d == 3 ? 1
                                                                                : 2](tree, point, k, below, hits);
}

void update_hits(const PriceTree& tree, const double* point, Hits& hits) {
  for (std::int32_t h = 0; h < hits.count; ++h) {
    Hit& hit = hits.hit[h];
    hit.cost = pair_cost(tree, point, hit.column);
    hit.value = hit.cost + tree.price(hit.column);
  }
}

double pair_cost(const PriceTree& tree, const double* point, std::int32_t j) {
  const std::vector<double>& points = tree.levels()[0].lower;
  const std::size_t group = static_cast<std::size_t>(j / kFan) * static_cast<std::size_t>(tree.dimension());
  const double sum = sq_distance<double>(points.data() + group * kFan + j % kFan, kFan, point, 1, tree.dimension());
  return tree.cost() == Cost::squared ? sum : std::sqrt(sum);
}

}  // namespace pointmetrics::emd

// Points in kd-order under a hierarchy of bounding boxes that also know the lowest price inside.
//
// One question is asked of it, millions of times: which columns j have the smallest cost(x, y_j) +
// price_j? A box answers "none below distance(x, box) + lowest price", so whole boxes are skipped.
// Sixteen siblings are stored together, coordinate by coordinate, so that one pass of vector
// instructions bounds all of them.
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

namespace pointmetrics::emd {

constexpr int kFan = 16;  // points per leaf block and children per inner node
constexpr double kInfinity = std::numeric_limits<double>::infinity();

enum class Cost : std::int32_t { euclidean = 0, squared = 1 };

// A column with its cost from the query point and its value, cost + price.
struct Hit {
  double value;
  double cost;
  std::int32_t column;
};

// Boxes of one level; level 0 holds the points themselves (lower == upper, stored once).
// Group g holds nodes [16 g, 16 g + 16): lower[(g * d + a) * 16 + lane]. Padding has price +inf.
struct BoxLevel {
  std::int32_t n_nodes = 0;
  std::vector<double> lower, upper, price;
};

class PriceTree {
 public:
  // points: (n, d) row-major, already in the order given by kd_order.
  PriceTree(const double* points, std::int32_t n, int d);

  std::int32_t size() const { return n_; }
  int dimension() const { return d_; }
  double price(std::int32_t j) const { return levels_[0].price[static_cast<std::size_t>(j)]; }
  const double* prices() const { return levels_[0].price.data(); }
  const std::vector<BoxLevel>& levels() const { return levels_; }

  // Raising keeps every stored minimum a valid bound; it is tightened where this column was the minimum.
  void raise(std::int32_t j, double price);
  void lower(std::int32_t j, double price);
  void set_prices(const double* prices);

 private:
  std::int32_t n_;
  int d_;
  std::vector<BoxLevel> levels_;
};

// Order in which any aligned run of 16 or 256 points is a kd cell: order[k] is the row at place k.
std::vector<std::int32_t> kd_order(const double* points, std::int32_t n, int d);

// smallest(), as compiled for one instruction set; hits and values have room for 2 k + 2 kFan.
struct Queries {
  using Query = std::int32_t (*)(const PriceTree& tree, const double* point, std::int32_t k, double below, Hit* hits,
                                 double* values, double* rest);
  Query of[2][3];  // [squared][2, 3 or any number of axes]
};

// Reusable memory of a query; one per thread.
struct QueryScratch {
  std::vector<Hit> hits;
  std::vector<double> values;
};

// The at most k smallest hits with value < below, unsorted, in scratch.hits[0, count); every column
// that is not among them has a value of at least `*rest`.
std::int32_t smallest(const PriceTree& tree, Cost cost, const double* point, std::int32_t k,
                      double below, QueryScratch& scratch, double* rest);

// Cost between a point and column j, with the same bits as in a hit.
double pair_cost(const PriceTree& tree, Cost cost, const double* point, std::int32_t j);

}  // namespace pointmetrics::emd

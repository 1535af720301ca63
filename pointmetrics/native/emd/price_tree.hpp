// Points in kd-order under a hierarchy of bounding boxes that also know the lowest price inside.
//
// One question is asked of it, millions of times: which columns j have the smallest cost(x, y_j) +
// price_j? A box answers "none below distance(x, box) + lowest price", so whole boxes are skipped.
// Sixteen siblings are stored together, coordinate by coordinate, so that one pass of vector
// instructions bounds all of them: in float32, rounded so that no bound is too high. What passes is
// judged by its exact value.
#pragma once

#include <cmath>
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
  // The same in units of the tree, rounded outward and prices down; a group after the other: for each axis 16 lower
  // and 16 upper ends, then 16 prices.
  std::vector<float> rough;
};

// x in float32, or the next that is not above (not below) it.
inline float rounded_down(double x) {
  constexpr double most = std::numeric_limits<float>::max();
  if (x > most) return std::numeric_limits<float>::max();
  if (x < -most) return -std::numeric_limits<float>::infinity();
  return static_cast<float>(x - std::abs(x) * 0x1p-22 - 0x1p-140);
}
inline float rounded_up(double x) { return -rounded_down(-x); }

class PriceTree {
 public:
  // points: (n, d) row-major, already in the order given by kd_order.
  PriceTree(const double* points, std::int32_t n, int d, Cost cost);

  std::int32_t size() const { return n_; }
  int dimension() const { return d_; }
  Cost cost() const { return cost_; }
  // Rough coordinates are (x - centre) * scale, rough prices and values are price * value_scale.
  const double* centre() const { return centre_.data(); }
  double scale() const { return scale_; }
  double value_scale() const { return value_scale_; }
  double price(std::int32_t j) const { return levels_[0].price[static_cast<std::size_t>(j)]; }
  const double* prices() const { return levels_[0].price.data(); }
  const std::vector<BoxLevel>& levels() const { return levels_; }
  // Whether float32 tells neighbours apart. Beside points or prices that are far away it does not: then all that lies
  // near passes its tests, and those of float64 are faster.
  bool rough_tells() const { return largest_price_ <= telling_price_; }

  // Raising keeps every stored minimum a valid bound; it is tightened where this column was the minimum.
  void raise(std::int32_t j, double price);
  void lower(std::int32_t j, double price);
  void set_prices(const double* prices);

 private:
  void make_rough(BoxLevel& level) const;
  double find_telling_price() const;
  void note_price(double price);
  void put_price(BoxLevel& level, std::size_t node, double price) const;

  std::int32_t n_;
  int d_;
  Cost cost_;
  double scale_ = 1.0, value_scale_ = 1.0;
  double largest_price_ = 0.0, telling_price_ = kInfinity;  // magnitudes; up to which float32 tells neighbours apart
  std::vector<double> centre_;
  std::vector<BoxLevel> levels_;
};

// Order in which any aligned run of 16 or 256 points is a kd cell: order[k] is the row at place k.
std::vector<std::int32_t> kd_order(const double* points, std::int32_t n, int d);

// The most columns that can be asked for at once.
constexpr std::int32_t kMostHits = 16;

// The at most k smallest hits with value < below, unsorted; every column that is not among them has a value of at
// least `rest`. A question may come with hits known already, at most k: they save the search from what is worse.
struct Hits {
  std::int32_t count = 0;
  double rest = kInfinity;
  Hit hit[kMostHits];
};

// smallest(), as compiled for one instruction set.
struct Queries {
  using Query = void (*)(const PriceTree& tree, const double* point, std::int32_t k, double below, Hits& hits);
  Query of[2][2][3];  // [in float64 alone][squared][2, 3 or any number of axes]
};

void smallest(const PriceTree& tree, const double* point, std::int32_t k, double below, Hits& hits);

// The hits of another point, as those of this one: near points have much the same.
void update_hits(const PriceTree& tree, const double* point, Hits& hits);

// Cost between a point and column j, with the same bits as in a hit.
double pair_cost(const PriceTree& tree, const double* point, std::int32_t j);

}  // namespace pointmetrics::emd

// The assignment being built: prices, who is matched with whom, and each row's cached candidates.
//
// Everything rests on one fact: prices only rise. A row's list holds the k columns of smallest
// value (cost + price) when it was filled, and `rest`, a bound below every other column's value
// then; later values are no smaller, so `rest` stays a bound until the list is filled again. An
// answer read from the list is exact whenever it is not above `rest`.
#pragma once

#include <cstdint>
#include <vector>

#include "emd/price_tree.hpp"

namespace pointmetrics::emd {

constexpr std::int32_t kFree = -1;
constexpr std::int32_t kListLength = kMostHits;

struct Candidate {
  double cost;
  std::int32_t column;
};

struct Best {
  double value = kInfinity;   // smallest cost + price of the row
  double second = kInfinity;  // smallest over the other columns, or a bound below it
  double cost = 0.0;
  std::int32_t column = kFree;
};

struct State {
  State(const double* rows, std::int32_t n_rows, const double* columns, std::int32_t n_columns, int d, Cost cost);

  std::int32_t n;  // rows; the tree knows the columns
  int d;
  Cost cost;
  std::int32_t k;  // list length
  const double* rows;
  PriceTree tree;
  std::vector<Candidate> lists;          // (n, k)
  std::vector<std::int32_t> list_sizes;  // (n,)
  std::vector<double> rests;             // (n,)
  std::vector<std::int32_t> column_of, row_of;
  std::vector<double> matched_cost;  // of (row, column_of[row])

  const double* row(std::int32_t i) const { return rows + static_cast<std::int64_t>(i) * d; }
  // The value of the row's own column; rows without one have none.
  double matched_value(std::int32_t i) const {
    return matched_cost[static_cast<std::size_t>(i)] + tree.price(column_of[static_cast<std::size_t>(i)]);
  }
  void match(std::int32_t i, std::int32_t j, double c);
  void unmatch(std::int32_t i);
  // Refill the list at today's prices; rows are independent, so threads may share them out.
  void fill(std::int32_t i);
  // The same with hits of a row nearby, which are replaced by those of row i.
  void fill(std::int32_t i, Hits& found);
  void fill_all(int n_threads);
  Best peek(std::int32_t i) const;  // best of the list; exact while value <= rests[i]
  Best best(std::int32_t i);        // exact best and a bound for the second; may refill
  // Free every row whose column is worse than its best by more than slack.
  void free_unhappy(double slack);
};

// Bidding with increments of at least epsilon (Bertsekas 1988) until all rows are matched within
// epsilon of their best, or the bids run out. Returns whether all are matched.
bool auction(State& state, double epsilon, std::int64_t max_bids);

// Match free rows by raising prices only as far as the second best; may leave rows free.
void reduce_rows(State& state, std::int64_t max_bids);

// Match every free row along a shortest augmenting path; optimal but for rounding when all matched
// rows held their best before.
void augment_all(State& state);

}  // namespace pointmetrics::emd

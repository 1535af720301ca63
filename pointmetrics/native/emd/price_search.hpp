// Shortest paths over reduced costs, column by column, from lists that grow only where a path may
// leave them.
#pragma once

#include <cstdint>
#include <vector>

#include "emd/state.hpp"
#include "nativekit/interrupt.hpp"

namespace pointmetrics::emd {

// One search: start, reach the source row, then settle columns in order of distance and reach the
// rows that hold them, until next() says that a free column is nearest. raise_prices() then makes
// every edge of the path tight and keeps all reduced costs non-negative.
class Search {
 public:
  // is_free[j] says whether a path may end in column j.
  Search(State& state, const std::vector<char>& is_free);

  void start();
  // Row i is as far as the column settled last; value is its cost + price there (its dual).
  void reach(std::int32_t i, double value);
  // The next column, or kFree when no path is shorter than the one to free_column().
  std::int32_t next();
  void raise_prices();
  void close(std::int32_t j);  // column j is free no more

  void relax(std::int32_t i, std::int32_t j, double c);
  std::int32_t free_column() const { return free_column_; }
  std::int32_t from(std::int32_t j) const { return from_[static_cast<std::size_t>(j)]; }
  double cost_in(std::int32_t j) const { return cost_in_[static_cast<std::size_t>(j)]; }

 private:
  // A column at its distance, or (code >= number of columns) the rest of a row's columns, none of
  // which is nearer than the key.
  struct Event {
    double key;
    std::int64_t code;
  };
  struct Later {
    bool operator()(const Event& p, const Event& q) const {
      return p.key > q.key || (p.key == q.key && p.code > q.code);
    }
  };

  void relax_list(std::int32_t i);
  void expand(std::int32_t i);
  void push_rest(std::int32_t i, double rest);
  void push(double key, std::int64_t code);
  bool done(double key) const { return !(key < nearest_free_ - rounding_); }

  State& s_;
  std::int32_t n_columns_;
  std::vector<char> is_free_;
  std::vector<double> distance_, cost_in_;
  std::vector<std::int32_t> reached_, settled_, from_;
  std::vector<double> offset_;  // a row's distance minus its dual: add a value, get a distance
  std::vector<std::int32_t> fresh_;
  std::vector<std::int32_t> order_;  // settled columns
  std::vector<Event> heap_;
  PriceTree free_columns_;  // the others have price +inf
  PriceTree open_columns_;  // those settled in this search have price +inf
  // Lengths that differ by no more than this are ties: computed values are not known better, and
  // telling them apart would visit every column of a collinear cloud.
  double rounding_ = 0.0;
  double nearest_free_ = kInfinity;
  std::int32_t free_column_ = kFree;
  double now_ = 0.0;
  std::int32_t stamp_ = 0;
  nativekit::Paced pace_{1024};  // events between two questions whether to stop
};

}  // namespace pointmetrics::emd

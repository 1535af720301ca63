// Shortest augmenting paths (Jonker & Volgenant 1987) over lists that grow only where a path may
// leave them.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "emd_state.hpp"

namespace pointmetrics::emd {
namespace {

// What the search visits next: a column at its distance, or (code >= n) the rest of a row's
// columns, none of which is nearer than the key.
struct Event {
  double key;
  std::int32_t code;
};

struct Later {
  bool operator()(const Event& p, const Event& q) const {
    return p.key > q.key || (p.key == q.key && p.code > q.code);
  }
};

class PathSearch {
 public:
  explicit PathSearch(State& state)
      : s_(state),
        distance_(static_cast<std::size_t>(state.n)),
        reached_(static_cast<std::size_t>(state.n), 0),
        settled_(static_cast<std::size_t>(state.n), 0),
        from_(static_cast<std::size_t>(state.n)),
        cost_in_(static_cast<std::size_t>(state.n)),
        offset_(static_cast<std::size_t>(state.n)),
        fresh_(static_cast<std::size_t>(state.n), 0),
        asked_(static_cast<std::size_t>(state.n), 0),
        free_columns_(state.tree) {
    double largest = 0.0;
    for (std::int32_t j = 0; j < state.n; ++j) {
      largest = std::max(largest, std::abs(state.tree.price(j)));
      if (state.row_of[static_cast<std::size_t>(j)] != kFree) free_columns_.raise(j, kInfinity);
    }
    for (const Candidate& entry : state.lists) largest = std::max(largest, entry.cost);
    rounding_ = 8.0 * std::numeric_limits<double>::epsilon() * largest;
  }

  void augment(std::int32_t source);

 private:
  void relax(std::int32_t i, std::int32_t j, double c);
  void relax_list(std::int32_t i);
  void expand(std::int32_t i);
  bool done(double key) const { return !(key < nearest_free_ - rounding_); }
  void push(double key, std::int32_t code) {
    heap_.push_back({key, code});
    std::push_heap(heap_.begin(), heap_.end(), Later());
  }

  State& s_;
  std::vector<double> distance_;
  std::vector<std::int32_t> reached_, settled_, from_;
  std::vector<double> cost_in_;
  std::vector<double> offset_;  // distance of a row minus its dual: add a value, get a distance
  std::vector<std::int32_t> fresh_, asked_;
  std::vector<std::int32_t> order_;  // settled columns
  std::vector<Event> heap_;
  PriceTree free_columns_;  // matched columns have price +inf
  // Lengths that differ by no more than this are ties: computed values are not known better, and
  // telling them apart would visit every column of a collinear cloud.
  double rounding_ = 0.0;
  double nearest_free_ = kInfinity;
  std::int32_t free_column_ = kFree;
  double now_ = 0.0;
  std::int32_t stamp_ = 0;
};

void PathSearch::relax(std::int32_t i, std::int32_t j, double c) {
  const std::size_t column = static_cast<std::size_t>(j);
  const double length = std::max(now_, offset_[static_cast<std::size_t>(i)] + (c + s_.tree.price(j)));
  if (!(length < nearest_free_)) return;
  if (reached_[column] == stamp_ && !(length < distance_[column])) return;
  reached_[column] = stamp_;
  distance_[column] = length;
  from_[column] = i;
  cost_in_[column] = c;
  if (s_.row_of[column] == kFree) {
    nearest_free_ = length;
    free_column_ = j;
  } else {
    push(length, j);
  }
}

void PathSearch::relax_list(std::int32_t i) {
  const std::size_t row = static_cast<std::size_t>(i);
  const Candidate* list = &s_.lists[row * static_cast<std::size_t>(s_.k)];
  for (std::int32_t k = 0; k < s_.list_sizes[row]; ++k) relax(i, list[k].column, list[k].cost);
  const double rest = offset_[row] + s_.rests[row];
  if (!done(rest)) push(rest, s_.n + i);
}

// Prices stand still during a search, so a list filled in it holds the k smallest; past them four
// times as many are asked for each time, which also ends when all columns tie. A row that needed
// many once (it stands among duplicates, or on a line) is asked for as many in later searches.
void PathSearch::expand(std::int32_t i) {
  const std::size_t row = static_cast<std::size_t>(i);
  double rest;
  // Where many columns tie, one of them is often free, and then the others need not be seen.
  if (smallest(free_columns_, s_.cost, s_.row(i), 1, nearest_free_ - offset_[row], s_.scratch, &rest) > 0) {
    relax(i, s_.scratch.hits[0].column, s_.scratch.hits[0].cost);
    if (done(now_)) return;
  }
  const bool again = fresh_[row] == stamp_;
  fresh_[row] = stamp_;
  if (!again && asked_[row] <= s_.k) {
    asked_[row] = s_.k;
    s_.fill(i);
    relax_list(i);
    return;
  }
  if (again) asked_[row] = static_cast<std::int32_t>(std::min<std::int64_t>(4LL * asked_[row], s_.n));
  const std::int32_t count = smallest(s_.tree, s_.cost, s_.row(i), asked_[row], kInfinity, s_.scratch, &rest);
  for (std::int32_t k = 0; k < count; ++k) relax(i, s_.scratch.hits[k].column, s_.scratch.hits[k].cost);
  if (asked_[row] < s_.n && !done(offset_[row] + rest)) push(offset_[row] + rest, s_.n + i);
}

void PathSearch::augment(std::int32_t source) {
  ++stamp_;
  heap_.clear();
  order_.clear();
  nearest_free_ = kInfinity;
  free_column_ = kFree;
  now_ = -kInfinity;
  offset_[static_cast<std::size_t>(source)] = 0.0;
  relax_list(source);
  while (!heap_.empty() && !done(heap_.front().key)) {
    const Event event = heap_.front();
    std::pop_heap(heap_.begin(), heap_.end(), Later());
    heap_.pop_back();
    now_ = std::max(now_, event.key);  // the key of a rest may be an ulp behind
    if (event.code >= s_.n) {
      expand(event.code - s_.n);
      continue;
    }
    const std::size_t column = static_cast<std::size_t>(event.code);
    if (settled_[column] == stamp_) continue;
    settled_[column] = stamp_;
    order_.push_back(event.code);
    const std::int32_t i = s_.row_of[column];
    offset_[static_cast<std::size_t>(i)] = now_ - s_.matched_value(i);
    relax_list(i);
  }
  for (const std::int32_t j : order_) {
    const double rise = nearest_free_ - distance_[static_cast<std::size_t>(j)];
    if (rise > 0.0) s_.tree.raise(j, s_.tree.price(j) + rise);
  }
  free_columns_.raise(free_column_, kInfinity);
  for (std::int32_t j = free_column_; j != kFree;) {
    const std::int32_t i = from_[static_cast<std::size_t>(j)];
    const std::int32_t previous = s_.column_of[static_cast<std::size_t>(i)];
    s_.match(i, j, cost_in_[static_cast<std::size_t>(j)]);
    j = previous;
  }
}

}  // namespace

void augment_all(State& state) {
  PathSearch search(state);
  for (std::int32_t i = 0; i < state.n; ++i) {
    if (state.column_of[static_cast<std::size_t>(i)] == kFree) search.augment(i);
  }
}

}  // namespace pointmetrics::emd

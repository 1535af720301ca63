#include "emd/price_search.hpp"

#include <algorithm>
#include <cmath>

#include "shared/assignment.hpp"

namespace pointmetrics::emd {

Search::Search(State& state, const std::vector<char>& is_free)
    : s_(state), n_columns_(state.tree.size()), is_free_(is_free), free_columns_(state.tree),
      open_columns_(state.tree) {
  const std::size_t rows = static_cast<std::size_t>(state.n), columns = static_cast<std::size_t>(n_columns_);
  distance_.resize(columns);
  cost_in_.resize(columns);
  reached_.assign(columns, 0);
  settled_.assign(columns, 0);
  from_.resize(columns);
  offset_.resize(rows);
  fresh_.assign(rows, 0);
  double largest = 0.0;
  for (std::int32_t j = 0; j < n_columns_; ++j) {
    largest = std::max(largest, std::abs(state.tree.price(j)));
    if (!is_free_[static_cast<std::size_t>(j)]) free_columns_.raise(j, kInfinity);
  }
  for (const Candidate& entry : state.lists) largest = std::max(largest, entry.cost);
  rounding_ = rounding_of_paths(largest);
}

void Search::push(double key, std::int64_t code) {
  heap_.push_back({key, code});
  std::push_heap(heap_.begin(), heap_.end(), Later());
}

void Search::start() {
  ++stamp_;
  heap_.clear();
  order_.clear();
  nearest_free_ = kInfinity;
  free_column_ = kFree;
  now_ = 0.0;
}

void Search::reach(std::int32_t i, double value) {
  offset_[static_cast<std::size_t>(i)] = now_ - value;
  relax_list(i);
}

void Search::relax(std::int32_t i, std::int32_t j, double c) {
  const std::size_t column = static_cast<std::size_t>(j);
  const double length = std::max(now_, offset_[static_cast<std::size_t>(i)] + (c + s_.tree.price(j)));
  if (!(length < nearest_free_)) return;
  if (reached_[column] == stamp_ && !(length < distance_[column])) return;
  reached_[column] = stamp_;
  distance_[column] = length;
  from_[column] = i;
  cost_in_[column] = c;
  if (is_free_[column]) {
    nearest_free_ = length;
    free_column_ = j;
  } else {
    push(length, j);
  }
}

void Search::relax_list(std::int32_t i) {
  const std::size_t row = static_cast<std::size_t>(i);
  const Candidate* list = &s_.lists[row * static_cast<std::size_t>(s_.k)];
  for (std::int32_t k = 0; k < s_.list_sizes[row]; ++k) relax(i, list[k].column, list[k].cost);
  push_rest(i, s_.rests[row]);
}

// No column of row i that was not seen has a value below `rest`. Ask again once the columns up to there are settled.
void Search::push_rest(std::int32_t i, double rest) {
  const double key = std::max(now_, offset_[static_cast<std::size_t>(i)] + rest);
  if (!done(key)) push(key, static_cast<std::int64_t>(n_columns_) + i);
}

// Prices stand still during a search, so a list filled in it holds the k smallest; past them only columns that are
// not settled yet are asked for. Whoever stands among duplicates, in a cluster or on a line shares its columns with
// other rows: between them they settle each column once.
void Search::expand(std::int32_t i) {
  nativekit::stop_if_asked();
  const std::size_t row = static_cast<std::size_t>(i);
  const double below = nearest_free_ - offset_[row];
  Hits free;
  // Where many columns tie, one of them is often free, and then the others need not be seen.
  smallest(free_columns_, s_.row(i), 1, below, free);
  if (free.count > 0) {
    relax(i, free.hit[0].column, free.hit[0].cost);
    if (done(now_)) return;
  }
  if (fresh_[row] != stamp_) {
    fresh_[row] = stamp_;
    s_.fill(i);
    relax_list(i);
    return;
  }
  Hits found;
  smallest(open_columns_, s_.row(i), s_.k, below, found);
  bool waiting = false;  // a column that the queue will settle before it asks again: rounding cannot keep us here
  for (std::int32_t k = 0; k < found.count; ++k) {
    const std::int32_t j = found.hit[k].column;
    relax(i, j, found.hit[k].cost);
    waiting |= reached_[static_cast<std::size_t>(j)] == stamp_;
  }
  if (waiting && found.count == s_.k) push_rest(i, found.rest);
}

std::int32_t Search::next() {
  while (!heap_.empty() && !done(heap_.front().key)) {
    pace_.did(1);
    const Event event = heap_.front();
    std::pop_heap(heap_.begin(), heap_.end(), Later());
    heap_.pop_back();
    now_ = event.key;
    if (event.code >= n_columns_) {
      expand(static_cast<std::int32_t>(event.code - n_columns_));
      continue;
    }
    const std::int32_t j = static_cast<std::int32_t>(event.code);
    if (settled_[static_cast<std::size_t>(j)] == stamp_) continue;
    settled_[static_cast<std::size_t>(j)] = stamp_;
    order_.push_back(j);
    open_columns_.raise(j, kInfinity);
    return j;
  }
  return kFree;
}

void Search::raise_prices() {
  for (const std::int32_t j : order_) {
    const double rise = nearest_free_ - distance_[static_cast<std::size_t>(j)];
    if (rise > 0.0) s_.tree.raise(j, s_.tree.price(j) + rise);
    open_columns_.lower(j, s_.tree.price(j));
  }
}

void Search::close(std::int32_t j) {
  is_free_[static_cast<std::size_t>(j)] = 0;
  free_columns_.raise(j, kInfinity);
}

}  // namespace pointmetrics::emd

#include "emd/state.hpp"

#include <algorithm>
#include <cmath>

#include "emd/chunks.hpp"
#include "nativekit/interrupt.hpp"
#include "shared/assignment.hpp"

namespace pointmetrics::emd {
namespace {

constexpr std::int64_t kBidsPerQuestion = 1024;  // well below a millisecond

}  // namespace

State::State(const double* rows_, std::int32_t n_rows, const double* columns, std::int32_t n_columns, int d_,
             Cost cost_)
    : n(n_rows), d(d_), cost(cost_), k(std::min(kListLength, n_columns)), rows(rows_),
      tree(columns, n_columns, d_, cost_) {
  const std::size_t size = static_cast<std::size_t>(n);
  lists.resize(size * static_cast<std::size_t>(k));
  list_sizes.assign(size, 0);
  rests.assign(size, -kInfinity);
  column_of.assign(size, kFree);
  row_of.assign(static_cast<std::size_t>(n_columns), kFree);
  matched_cost.assign(size, 0.0);
}

void State::match(std::int32_t i, std::int32_t j, double c) {
  column_of[static_cast<std::size_t>(i)] = j;
  row_of[static_cast<std::size_t>(j)] = i;
  matched_cost[static_cast<std::size_t>(i)] = c;
}

void State::unmatch(std::int32_t i) {
  const std::int32_t j = column_of[static_cast<std::size_t>(i)];
  if (j == kFree) return;
  row_of[static_cast<std::size_t>(j)] = kFree;
  column_of[static_cast<std::size_t>(i)] = kFree;
}

void State::fill(std::int32_t i) {
  Hits found;
  fill(i, found);
}

void State::fill(std::int32_t i, Hits& found) {
  nativekit::stop_if_asked();
  Candidate* list = &lists[static_cast<std::size_t>(i) * static_cast<std::size_t>(k)];
  const std::int32_t size = list_sizes[static_cast<std::size_t>(i)];
  if (size == 0) {
    update_hits(tree, row(i), found);
  } else {
    found.count = size;
  }
  for (std::int32_t s = 0; s < size; ++s)
    found.hit[s] = {list[s].cost + tree.price(list[s].column), list[s].cost, list[s].column};
  smallest(tree, row(i), k, kInfinity, found);
  for (std::int32_t s = 0; s < found.count; ++s) list[s] = {found.hit[s].cost, found.hit[s].column};
  list_sizes[static_cast<std::size_t>(i)] = found.count;
  rests[static_cast<std::size_t>(i)] = found.rest;
}

Best State::peek(std::int32_t i) const {
  const Candidate* list = &lists[static_cast<std::size_t>(i) * static_cast<std::size_t>(k)];
  const double* prices = tree.prices();
  Best best;
  for (std::int32_t s = 0; s < list_sizes[static_cast<std::size_t>(i)]; ++s) {
    const double value = list[s].cost + prices[list[s].column];
    if (value < best.value) {
      best.second = best.value;
      best.value = value;
      best.cost = list[s].cost;
      best.column = list[s].column;
    } else if (value < best.second) {
      best.second = value;
    }
  }
  best.second = std::min(best.second, rests[static_cast<std::size_t>(i)]);
  return best;
}

Best State::best(std::int32_t i) {
  Best found = peek(i);
  if (found.value > rests[static_cast<std::size_t>(i)] || found.column == kFree) {
    fill(i);
    found = peek(i);
  }
  return found;
}

void State::fill_all(int n_threads) {
  share_rows(n, n_threads, [&](std::int32_t first, std::int32_t last) {
    Hits found;
    for (std::int32_t i = first; i < last; ++i) fill(i, found);
  });
}

void State::free_unhappy(double slack) {
  for (std::int32_t i = 0; i < n; ++i) {
    if (column_of[static_cast<std::size_t>(i)] != kFree && matched_value(i) > best(i).value + slack) unmatch(i);
  }
}

bool auction(State& state, double epsilon, std::int64_t max_bids) {
  std::vector<std::int32_t> queue;
  queue.reserve(static_cast<std::size_t>(state.n));
  state.free_unhappy(epsilon);
  for (std::int32_t i = 0; i < state.n; ++i) {
    if (state.column_of[static_cast<std::size_t>(i)] == kFree) queue.push_back(i);
  }
  std::vector<std::int32_t> next;
  nativekit::Paced pace(kBidsPerQuestion);
  while (!queue.empty()) {
    next.clear();
    for (const std::int32_t i : queue) {
      pace.did(1);
      if (--max_bids < 0) return false;
      const Best best = state.best(i);
      const std::int32_t loser = state.row_of[static_cast<std::size_t>(best.column)];
      if (loser != kFree) {
        state.column_of[static_cast<std::size_t>(loser)] = kFree;
        next.push_back(loser);
      }
      state.match(i, best.column, best.cost);
      const double rise = rise_of_bid(best.value, best.second, kInfinity);
      state.tree.raise(best.column, state.tree.price(best.column) + rise + epsilon);
    }
    queue.swap(next);
  }
  return true;
}

void reduce_rows(State& state, std::int64_t max_bids) {
  nativekit::Paced pace(kBidsPerQuestion);
  for (std::int32_t first = 0; first < state.n; ++first) {
    std::int32_t i = first;
    while (i != kFree && state.column_of[static_cast<std::size_t>(i)] == kFree && --max_bids >= 0) {
      pace.did(1);
      const Best best = state.best(i);
      const std::int32_t loser = state.row_of[static_cast<std::size_t>(best.column)];
      const double rise = rise_of_bid(best.value, best.second, kInfinity);
      if (loser != kFree) {
        // A tie would only pass the free place around.
        if (!(rise > 0.0)) break;
        state.column_of[static_cast<std::size_t>(loser)] = kFree;
      }
      state.match(i, best.column, best.cost);
      if (rise > 0.0) state.tree.raise(best.column, state.tree.price(best.column) + rise);
      i = loser;
    }
  }
}

}  // namespace pointmetrics::emd

// Shortest augmenting paths of the assignment problem (Jonker & Volgenant 1987).
#include "emd/price_search.hpp"
#include "emd/state.hpp"

namespace pointmetrics::emd {
namespace {

void augment(State& state, Search& search, std::int32_t source) {
  search.start();
  search.reach(source, state.best(source).value);
  for (std::int32_t j; (j = search.next()) != kFree;) {
    const std::int32_t i = state.row_of[static_cast<std::size_t>(j)];
    search.reach(i, state.matched_value(i));
  }
  search.raise_prices();
  search.close(search.free_column());
  for (std::int32_t j = search.free_column(); j != kFree;) {
    const std::int32_t i = search.from(j);
    const std::int32_t previous = state.column_of[static_cast<std::size_t>(i)];
    state.match(i, j, search.cost_in(j));
    j = previous;
  }
}

}  // namespace

void augment_all(State& state) {
  std::vector<char> is_free(state.row_of.size());
  for (std::size_t j = 0; j < is_free.size(); ++j) is_free[j] = state.row_of[j] == kFree;
  Search search(state, is_free);
  for (std::int32_t i = 0; i < state.n; ++i) {
    if (state.column_of[static_cast<std::size_t>(i)] == kFree) augment(state, search, i);
  }
}

}  // namespace pointmetrics::emd

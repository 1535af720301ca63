// The transportation problem between clouds of unequal sizes or weights, by the same means: prices
// from an assignment between slots of equal mass, then shortest augmenting paths that ship masses.
//
// Masses are integers, so every path ships at least one unit and the method ends.
#include <algorithm>
#include <vector>

#include "emd/chunks.hpp"
#include "emd/emd.hpp"
#include "emd/plan.hpp"
#include "emd/price_search.hpp"
#include "shared/assignment.hpp"
#include "status.hpp"

namespace pointmetrics::emd {
namespace {

struct Shipment {
  std::int32_t row, column;
  double cost;
  std::int64_t mass;
};

// Which shipments leave each row and arrive at each column, kept in step with one pool of them.
class Shipments {
 public:
  Shipments(std::int32_t n_rows, std::int32_t n_columns)
      : of_row_(static_cast<std::size_t>(n_rows)), of_column_(static_cast<std::size_t>(n_columns)) {}

  const std::vector<std::int32_t>& of_row(std::int32_t i) const { return of_row_[static_cast<std::size_t>(i)]; }
  const std::vector<std::int32_t>& of_column(std::int32_t j) const { return of_column_[static_cast<std::size_t>(j)]; }
  const Shipment& operator[](std::int32_t s) const { return pool_[static_cast<std::size_t>(s)]; }

  std::int32_t find(std::int32_t i, std::int32_t j) const {
    for (const std::int32_t s : of_row(i)) {
      if ((*this)[s].column == j) return s;
    }
    return kFree;
  }

  void add(std::int32_t i, std::int32_t j, double cost, std::int64_t mass) {
    const std::int32_t found = find(i, j);
    if (found != kFree) {
      pool_[static_cast<std::size_t>(found)].mass += mass;
      return;
    }
    std::int32_t s = static_cast<std::int32_t>(pool_.size());
    if (unused_.empty()) {
      pool_.push_back({i, j, cost, mass});
    } else {
      s = unused_.back();
      unused_.pop_back();
      pool_[static_cast<std::size_t>(s)] = {i, j, cost, mass};
    }
    of_row_[static_cast<std::size_t>(i)].push_back(s);
    of_column_[static_cast<std::size_t>(j)].push_back(s);
  }

  void take(std::int32_t s, std::int64_t mass) {
    Shipment& shipment = pool_[static_cast<std::size_t>(s)];
    shipment.mass -= mass;
    if (shipment.mass > 0) return;
    erase(of_row_[static_cast<std::size_t>(shipment.row)], s);
    erase(of_column_[static_cast<std::size_t>(shipment.column)], s);
    unused_.push_back(s);
  }

 private:
  static void erase(std::vector<std::int32_t>& list, std::int32_t s) {
    list.erase(std::find(list.begin(), list.end(), s));
  }

  std::vector<Shipment> pool_;
  std::vector<std::int32_t> unused_;
  std::vector<std::vector<std::int32_t>> of_row_, of_column_;
};

class Shipper {
 public:
  Shipper(State& state, std::vector<std::int64_t> supply, std::vector<std::int64_t> demand)
      : s_(state), supply_(std::move(supply)), demand_(std::move(demand)), shipments_(state.n, state.tree.size()),
        via_(static_cast<std::size_t>(state.n)), seen_(static_cast<std::size_t>(state.n), 0) {}

  const Shipments& shipments() const { return shipments_; }

  // Ship everything. False where the number of paths ran out, which leaves a plan that is complete
  // but perhaps not the cheapest.
  bool run();

 private:
  void augment(Search& search, std::int32_t source);
  void ship(Search& search, std::int32_t source);
  void ship_anyhow();

  State& s_;
  std::vector<std::int64_t> supply_, demand_;
  Shipments shipments_;
  std::vector<std::int32_t> via_;  // shipment along which a row was reached
  std::vector<std::int64_t> seen_;
  std::int64_t stamp_ = 0;
};

bool Shipper::run() {
  std::vector<char> is_free(demand_.size());
  for (std::int32_t i = 0; i < s_.n; ++i) {
    const Best best = s_.best(i);
    const std::int64_t mass =
        std::min(supply_[static_cast<std::size_t>(i)], demand_[static_cast<std::size_t>(best.column)]);
    if (mass == 0) continue;
    shipments_.add(i, best.column, best.cost, mass);
    supply_[static_cast<std::size_t>(i)] -= mass;
    demand_[static_cast<std::size_t>(best.column)] -= mass;
  }
  for (std::size_t j = 0; j < is_free.size(); ++j) is_free[j] = demand_[j] > 0;
  Search search(s_, is_free);
  std::int64_t paths_left = 200LL * (s_.n + s_.tree.size()) + 1000;
  for (std::int32_t i = 0; i < s_.n; ++i) {
    while (supply_[static_cast<std::size_t>(i)] > 0) {
      if (--paths_left < 0) {
        ship_anyhow();
        return false;
      }
      augment(search, i);
    }
  }
  return true;
}

void Shipper::augment(Search& search, std::int32_t source) {
  ++stamp_;
  search.start();
  seen_[static_cast<std::size_t>(source)] = stamp_;
  search.reach(source, s_.best(source).value);
  const auto relax_shipments = [&](std::int32_t i) {
    for (const std::int32_t s : shipments_.of_row(i)) search.relax(i, shipments_[s].column, shipments_[s].cost);
  };
  relax_shipments(source);
  for (std::int32_t j; (j = search.next()) != kFree;) {
    for (const std::int32_t s : shipments_.of_column(j)) {
      const std::int32_t i = shipments_[s].row;
      if (seen_[static_cast<std::size_t>(i)] == stamp_) continue;
      seen_[static_cast<std::size_t>(i)] = stamp_;
      via_[static_cast<std::size_t>(i)] = s;
      search.reach(i, shipments_[s].cost + s_.tree.price(j));
      relax_shipments(i);
    }
  }
  search.raise_prices();
  ship(search, source);
}

void Shipper::ship(Search& search, std::int32_t source) {
  const std::int32_t target = search.free_column();
  std::int64_t mass = std::min(supply_[static_cast<std::size_t>(source)], demand_[static_cast<std::size_t>(target)]);
  for (std::int32_t i = search.from(target); i != source;) {
    const Shipment& shipment = shipments_[via_[static_cast<std::size_t>(i)]];
    mass = std::min(mass, shipment.mass);
    i = search.from(shipment.column);
  }
  for (std::int32_t j = target;;) {
    const std::int32_t i = search.from(j);
    shipments_.add(i, j, search.cost_in(j), mass);
    if (i == source) break;
    const std::int32_t s = via_[static_cast<std::size_t>(i)];
    j = shipments_[s].column;
    shipments_.take(s, mass);
  }
  supply_[static_cast<std::size_t>(source)] -= mass;
  demand_[static_cast<std::size_t>(target)] -= mass;
  if (demand_[static_cast<std::size_t>(target)] == 0) search.close(target);
}

void Shipper::ship_anyhow() {
  std::int32_t j = 0;
  for (std::int32_t i = 0; i < s_.n; ++i) {
    while (supply_[static_cast<std::size_t>(i)] > 0) {
      while (demand_[static_cast<std::size_t>(j)] == 0) ++j;
      const std::int64_t mass = std::min(supply_[static_cast<std::size_t>(i)], demand_[static_cast<std::size_t>(j)]);
      shipments_.add(i, j, pair_cost(s_.tree, s_.row(i), j), mass);
      supply_[static_cast<std::size_t>(i)] -= mass;
      demand_[static_cast<std::size_t>(j)] -= mass;
    }
  }
}

// Points of one side, each as often as its share of n_slots slots of equal mass says.
std::vector<double> slots(const std::vector<double>& points, const std::vector<std::int64_t>& mass, int d,
                          std::int32_t n_slots) {
  double total = 0.0;
  for (const std::int64_t m : mass) total += static_cast<double>(m);
  std::vector<double> out;
  out.reserve(static_cast<std::size_t>(n_slots) * static_cast<std::size_t>(d));
  double sum = static_cast<double>(mass[0]);
  std::size_t at = 0;
  for (std::int32_t k = 0; k < n_slots; ++k) {
    const double middle = total * (k + 0.5) / n_slots;
    while (at + 1 < mass.size() && sum < middle) sum += static_cast<double>(mass[++at]);
    const double* point = &points[at * static_cast<std::size_t>(d)];
    out.insert(out.end(), point, point + d);
  }
  return out;
}

// Prices of the columns from bidding between slots of equal mass.
std::vector<double> slot_prices(const std::vector<double>* sorted, const std::vector<std::int64_t>* mass, int d,
                                Cost cost, int n_threads) {
  const std::int32_t n_columns = static_cast<std::int32_t>(mass[1].size());
  const std::int32_t n_slots = std::max(static_cast<std::int32_t>(mass[0].size()), n_columns);
  const std::vector<double> rows = slots(sorted[0], mass[0], d, n_slots);
  const std::vector<double> columns = slots(sorted[1], mass[1], d, n_slots);
  State state(rows.data(), n_slots, columns.data(), n_slots, d, cost);
  state.tree.set_prices(coarse_prices(rows.data(), columns.data(), n_slots, d, cost, n_threads).data());
  state.fill_all(n_threads);
  const double spread = typical_spread(state);
  if (!(spread > 0.0)) return std::vector<double>(static_cast<std::size_t>(n_columns), 0.0);
  run_auctions(state, kFineSchedule, spread, 0.0);
  // Slots share a point and part its price between them: much smoothing leaves shorter paths than little.
  return extended_prices(state, sorted[1].data(), n_columns, 16.0 * spread, n_threads);
}

// Sort one side and leave out points without mass; order keeps their places in the caller's cloud.
void sort_side(const double* points, const std::int64_t* mass, std::int32_t n, int d, std::vector<std::int32_t>& order,
               std::vector<double>& sorted, std::vector<std::int64_t>& masses) {
  order = kd_order(points, n, d);
  order.erase(std::remove_if(order.begin(), order.end(), [&](std::int32_t i) { return mass[i] == 0; }), order.end());
  sorted = gathered(points, order, d);
  for (const std::int32_t i : order) masses.push_back(mass[i]);
}

Bounds bounds_of(State& state, const Shipments& shipments, const std::vector<std::int64_t>* mass, int n_threads) {
  std::vector<double> known(static_cast<std::size_t>(state.n));
  for (std::int32_t i = 0; i < state.n; ++i) known[static_cast<std::size_t>(i)] = state.best(i).value;
  const std::vector<double> minima = row_minima(state, known, n_threads);
  double total = 0.0;
  for (const std::int64_t m : mass[0]) total += static_cast<double>(m);
  Sum upper, lower, size;
  for (std::int32_t i = 0; i < state.n; ++i) {
    const double share = static_cast<double>(mass[0][static_cast<std::size_t>(i)]) / total;
    lower.add(share * minima[static_cast<std::size_t>(i)]);
    size.add(share * std::abs(minima[static_cast<std::size_t>(i)]));
    for (const std::int32_t s : shipments.of_row(i)) {
      upper.add(shipments[s].cost * (static_cast<double>(shipments[s].mass) / total));
    }
  }
  for (std::int32_t j = 0; j < state.tree.size(); ++j) {
    const double share = static_cast<double>(mass[1][static_cast<std::size_t>(j)]) / total;
    lower.add(-share * state.tree.price(j));
    size.add(share * std::abs(state.tree.price(j)));
  }
  return make_bounds(upper.value(), lower.value(), size.value());
}

void transport_pair(const TransportJob& job, std::int64_t pair, int n_threads, Plan& plan) {
  const std::int64_t first[2] = {job.x_offsets[pair], job.y_offsets[pair]};
  const std::int64_t last[2] = {job.x_offsets[pair + 1], job.y_offsets[pair + 1]};
  const double* points[2] = {job.x + first[0] * job.d, job.y + first[1] * job.d};
  const std::int64_t* masses[2] = {job.x_mass + first[0], job.y_mass + first[1]};
  if (last[0] - first[0] + last[1] - first[1] < 2 * kThreadsPayFrom) n_threads = 1;
  std::vector<std::int32_t> order[2];
  std::vector<double> sorted[2];
  std::vector<std::int64_t> mass[2];
  share_out(2, n_threads, [&](std::int64_t side) {
    sort_side(points[side], masses[side], static_cast<std::int32_t>(last[side] - first[side]), job.d, order[side],
              sorted[side], mass[side]);
  });
  State state(sorted[0].data(), static_cast<std::int32_t>(mass[0].size()), sorted[1].data(),
              static_cast<std::int32_t>(mass[1].size()), job.d, job.cost);
  state.tree.set_prices(slot_prices(sorted, mass, job.d, job.cost, n_threads).data());
  state.fill_all(n_threads);
  Shipper shipper(state, mass[0], mass[1]);
  shipper.run();
  const Bounds bounds = bounds_of(state, shipper.shipments(), mass, n_threads);
  job.upper[pair] = bounds.upper;
  job.lower[pair] = bounds.lower;
  job.converged[pair] = have_met(bounds.upper, bounds.lower, job.tol, bounds.rounding);
  for (std::int32_t i = 0; i < state.n; ++i) {
    for (const std::int32_t s : shipper.shipments().of_row(i)) {
      const Shipment& shipment = shipper.shipments()[s];
      plan.source.push_back(order[0][static_cast<std::size_t>(i)]);
      plan.target.push_back(order[1][static_cast<std::size_t>(shipment.column)]);
      plan.mass.push_back(shipment.mass);
    }
  }
}

}  // namespace

int transport(const TransportJob& job, std::vector<Plan>& plans) {
  const int inside = job.n_pairs == 1 ? job.n_threads : 1;
  return guarded([&] {
    plans.resize(static_cast<std::size_t>(job.n_pairs));
    share_out(job.n_pairs, job.n_threads,
              [&](std::int64_t pair) { transport_pair(job, pair, inside, plans[static_cast<std::size_t>(pair)]); });
    return kOk;
  });
}

}  // namespace pointmetrics::emd

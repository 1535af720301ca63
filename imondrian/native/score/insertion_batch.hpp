// Depths under virtual insertion of many rows in some trees of a forest.
#pragma once

#include <atomic>
#include <cstdint>
#include <new>
#include <vector>

#include "dispatch.hpp"
#include "nativekit/parallel.hpp"
#include "score/insertion_rows.hpp"
#include "score/plain_range.hpp"
#include "score/tree_batch.hpp"
#include "score/ways.hpp"

namespace imondrian::NK_ISA {

template <class T>
class InsertionBatch {
 public:
  // Trees from `first` on, as many as there is room for; `missing`: whether rows without some value will come.
  InsertionBatch(const ForestView& forest, std::int64_t first, bool missing, int n_threads)
      : forest_(forest), first_(first),
        n_(batch_size<T>(forest, forest.n_trees - first, forest.capacity * (missing ? kWayBytes : kStopBytes))),
        trees_(n_, forest.n_features), packed_(static_cast<std::size_t>(n_)), range_(forest.n_features) {
    std::atomic<bool> no_memory{false};
    nativekit::parallel_for(n_, n_threads, [&](std::int64_t k) {
      try {
        pack(k, missing);
      } catch (const std::bad_alloc&) {
        no_memory = true;
      }
    });
    if (no_memory) throw std::bad_alloc();
    trees_.finish();
    for (std::int64_t k = 0; k < n_; ++k) {
      const Tree<T> tree(forest, first + k);
      if (packed_[k].plain) range_.allow(tree.rate);
    }
  }

  std::int64_t end() const { return first_ + n_; }

  // Whether a row can be added with others.
  bool is_plain(const T* x) const { return range_.holds(x); }

  // Add up the depths of n such rows of x (n, n_features) that all lack a value, or that all lack none.
  void add(const T* x, std::int64_t n, bool missing, double* out) const {
    const std::int64_t d = forest_.n_features;
    InsertionRows<T> rows;
    RowBatch<T> whole;
    std::vector<std::int32_t> end(missing ? static_cast<std::size_t>(n) : 0);
    std::vector<double> gain(end.size());
    rows.load(x, n, d, missing);
    if (!missing) whole.load(trees_, x, n, d);
    for (std::int64_t k = 0; k < n_; ++k) {
      const Tree<T> tree(forest_, first_ + k);
      if (tree.empty()) continue;
      nativekit::stop_if_asked();
      if (!packed_[k].plain) {
        add_alone(tree, x, n, out);
      } else if (missing) {
        walk_packed_ways(packed_[k].ways, x, n, d, end.data(), gain.data());
        rows.add(tree, packed_[k].stops, packed_[k].n_levels, end.data(), out);
      } else {
        rows.add(tree, packed_[k].stops, packed_[k].n_levels, whole.find(k), out);
      }
    }
  }

  // The same of any rows.
  void add_alone(const T* x, std::int64_t n, double* out) const {
    for (std::int64_t k = 0; k < n_; ++k) {
      const Tree<T> tree(forest_, first_ + k);
      if (tree.empty()) continue;
      nativekit::stop_if_asked();
      add_alone(tree, x, n, out);
    }
  }

 private:
  static constexpr std::int32_t kMostLevels = 512;  // of what a chunk of rows keeps for each
  static constexpr std::int64_t kStopBytes = 2 * sizeof(Stop);
  static constexpr std::int64_t kWayBytes = kStopBytes + 2 * sizeof(WayNode<T>);

  struct Packed {
    bool plain = false;  // whether sums of its rates and boxes are
    std::int32_t n_levels = 0;
    std::vector<Stop> stops;
    PackedWays<T> ways;
  };

  void pack(std::int64_t k, bool missing) {
    const Tree<T> tree(forest_, first_ + k);
    if (tree.empty()) return;
    LeafEnds<T> ends(tree);
    trees_.set(k, pack_walk(tree, ends));
    packed_[k].stops = list_stops(tree, ends);
    for (const Stop& stop : packed_[k].stops) packed_[k].n_levels = std::max(packed_[k].n_levels, stop.level);
    PlainRange<T> range(tree.n_features);
    range.allow(tree.rate);
    bool plain = packed_[k].n_levels <= kMostLevels;
    for (const std::int32_t leaf : ends.leaves()) plain = plain && range.holds(tree.lower_of(leaf));
    packed_[k].plain = plain;
    if (missing) packed_[k].ways = pack_ways(tree, ends, depth_means(tree));
  }

  static void add_alone(const Tree<T>& tree, const T* x, std::int64_t n, double* out) {
    std::vector<T> row(static_cast<std::size_t>(tree.width));
    for (std::int64_t i = 0; i < n; ++i) {
      copy_padded(row.data(), x + i * tree.n_features, tree.n_features, tree.width);
      insertion_depths(tree, row.data(), 1, out + i);
    }
  }

  const ForestView& forest_;
  const std::int64_t first_, n_;
  TreeBatch<T> trees_;
  std::vector<Packed> packed_;
  PlainRange<T> range_;
};

}  // namespace imondrian::NK_ISA

// Leaf depths of many rows in some trees of a forest.
#pragma once

#include <atomic>
#include <cstdint>
#include <new>
#include <vector>

#include "dispatch.hpp"
#include "nativekit/parallel.hpp"
#include "score/tree_batch.hpp"
#include "score/ways.hpp"

namespace imondrian::NK_ISA {

template <class T>
class DepthBatch {
 public:
  // Trees from `first` on, as many as there is room for; `missing`: whether rows without some value will come.
  DepthBatch(const ForestView& forest, std::int64_t first, bool missing, int n_threads)
      : forest_(forest), first_(first),
        n_(batch_size<T>(forest, forest.n_trees - first, forest.capacity * (missing ? kWayBytes : sizeof(double)))),
        trees_(n_, forest.n_features), value_(static_cast<std::size_t>(n_)), ways_(value_.size()) {
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
  }

  std::int64_t end() const { return first_ + n_; }

  // Add up the depths of n rows of x (n, stride) that lack no value.
  void add(const T* x, std::int64_t n, std::int64_t stride, double* out) const {
    RowBatch<T> rows;
    rows.load(trees_, x, n, stride);
    for (std::int64_t k = 0; k < n_; ++k) {
      if (value_[k].empty()) continue;
      nativekit::stop_if_asked();
      const std::int32_t* end = rows.find(k);
      const double* value = value_[k].data();
      for (std::int64_t i = 0; i < n; ++i) out[i] += value[end[i]];
    }
  }

  // The same of rows that lack some.
  void add_missing(const T* x, std::int64_t n, std::int64_t stride, double* out) const {
    std::vector<std::int32_t> end(static_cast<std::size_t>(n));
    std::vector<double> gain(end.size());
    for (std::int64_t k = 0; k < n_; ++k) {
      if (value_[k].empty()) continue;
      nativekit::stop_if_asked();
      walk_packed_ways(ways_[k], x, n, stride, end.data(), gain.data());
      for (std::int64_t i = 0; i < n; ++i) out[i] += value_[k][end[i]] - gain[i];
    }
  }

 private:
  static constexpr std::int64_t kWayBytes = 2 * sizeof(WayNode<T>) + sizeof(double);

  void pack(std::int64_t k, bool missing) {
    const Tree<T> tree(forest_, first_ + k);
    if (tree.empty()) return;
    LeafEnds<T> ends(tree);
    trees_.set(k, pack_walk(tree, ends));
    if (missing) ways_[k] = pack_ways(tree, ends, depth_means(tree));
    value_[k] = ends.take_values();
  }

  const ForestView& forest_;
  const std::int64_t first_, n_;
  TreeBatch<T> trees_;
  std::vector<std::vector<double>> value_;  // by end; none of an empty tree
  std::vector<PackedWays<T>> ways_;
};

}  // namespace imondrian::NK_ISA

// Nearest neighbours and sums of pairs, for points_driver.cpp: against brute force, and the same bits for any threads.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <limits>

#include "core.hpp"
#include "points_cases.hpp"

template <class T>
struct Neighbors {
  std::vector<T> sq_x, sq_y;
  std::vector<std::int32_t> id_x, id_y;
  bool operator==(const Neighbors& o) const {
    return sq_x == o.sq_x && sq_y == o.sq_y && id_x == o.id_x && id_y == o.id_y;
  }
};

template <class T>
void check_way(const std::vector<T>& from, std::int64_t a, std::int64_t n, const std::vector<T>& to, std::int64_t b,
               std::int64_t m, int d, const std::vector<std::int32_t>& ids) {
  for (std::int64_t i = 0; i < n; ++i) {
    double best = std::numeric_limits<double>::infinity(), found = 0;
    for (std::int64_t j = 0; j < m; ++j) {
      double sum = 0;
      for (int k = 0; k < d; ++k) {
        const double difference = static_cast<double>(from[(a + i) * d + k]) - static_cast<double>(to[(b + j) * d + k]);
        sum += difference * difference;
      }
      best = std::min(best, sum);
      if (j == ids[a + i]) found = sum;
    }
    require(ids[a + i] >= 0 && ids[a + i] < m, "a neighbour out of range");
    require(found <= best + 1e-5 * best + 1e-12, "not the nearest neighbour");
  }
}

template <class T>
void check_neighbors(int d, const std::vector<std::int64_t>& n, const std::vector<std::int64_t>& m, bool lattice) {
  std::mt19937_64 rng(static_cast<std::uint64_t>(d) + n.size());
  const auto x_offsets = offsets_of(n), y_offsets = offsets_of(m);
  const auto x = cloud<T>(rng, x_offsets.back(), d, lattice), y = cloud<T>(rng, y_offsets.back(), d, lattice);
  Neighbors<T> first;
  for (const int threads : {1, 2, 4}) {
    Neighbors<T> out{std::vector<T>(x.size() / d), std::vector<T>(y.size() / d),
                     std::vector<std::int32_t>(x.size() / d), std::vector<std::int32_t>(y.size() / d)};
    const pointmetrics::NearestJob<T> job{x.data(),
                                          x_offsets.data(),
                                          y.data(),
                                          y_offsets.data(),
                                          static_cast<std::int64_t>(n.size()),
                                          d,
                                          threads,
                                          nullptr,
                                          out.sq_x.data(),
                                          out.id_x.data(),
                                          out.sq_y.data(),
                                          out.id_y.data()};
    require(pointmetrics::nearest(job) == 0, "nearest failed");
    if (threads == 1) first = out;
    require(out == first, "neighbours depend on the threads");
  }
  for (std::size_t k = 0; k < n.size(); ++k) {
    check_way(x, x_offsets[k], n[k], y, y_offsets[k], m[k], d, first.id_x);
    check_way(y, y_offsets[k], m[k], x, x_offsets[k], n[k], d, first.id_y);
  }
}

template <class T>
void check_pairwise(int d, const std::vector<std::int64_t>& n, const std::vector<std::int64_t>& m, bool lattice) {
  std::mt19937_64 rng(static_cast<std::uint64_t>(d) + n.size());
  const auto x_offsets = offsets_of(n), y_offsets = offsets_of(m);
  const auto x = cloud<T>(rng, x_offsets.back(), d, lattice), y = cloud<T>(rng, y_offsets.back(), d, lattice);
  std::vector<std::int64_t> pairs;
  for (std::size_t i = 0; i < n.size(); ++i) {
    for (std::size_t j = 0; j < m.size(); ++j) pairs.insert(pairs.end(), {std::int64_t(i), std::int64_t(j)});
  }
  std::vector<double> sums[2];
  for (const int threads : {1, 3}) {
    std::vector<double> forth(pairs.size() / 2), back(pairs.size() / 2);
    const pointmetrics::PairwiseJob<T> job{x.data(),
                                           x_offsets.data(),
                                           std::int64_t(n.size()),
                                           y.data(),
                                           y_offsets.data(),
                                           std::int64_t(m.size()),
                                           pairs.data(),
                                           std::int64_t(pairs.size() / 2),
                                           d,
                                           1,
                                           threads,
                                           forth.data(),
                                           back.data()};
    require(pointmetrics::pairwise(job) == 0, "pairwise failed");
    forth.insert(forth.end(), back.begin(), back.end());
    sums[threads > 1] = forth;
  }
  require(sums[0] == sums[1], "sums depend on the threads");
}

inline void check_prepared() {
  std::mt19937_64 rng(5);
  const std::int64_t n = 700, m = 900;
  const auto x = cloud<float>(rng, n, 3, false), y = cloud<float>(rng, m, 3, false);
  const std::int64_t size = pointmetrics::prepared_size<float>(m, 3);
  char* memory = static_cast<char*>(std::aligned_alloc(64, static_cast<std::size_t>((size + 63) / 64 * 64)));
  require(pointmetrics::prepare(y.data(), m, 3, memory) == 0, "prepare failed");
  const std::int64_t x_offsets[2] = {0, n}, y_offsets[2] = {0, m};
  Neighbors<float> out[2];
  for (int prepared = 0; prepared < 2; ++prepared) {
    Neighbors<float>& o = out[prepared];
    o = {std::vector<float>(n), std::vector<float>(m), std::vector<std::int32_t>(n), std::vector<std::int32_t>(m)};
    const pointmetrics::NearestJob<float> job{
        x.data(),      x_offsets,     y.data(),      y_offsets,    1, 3, 2, prepared ? memory : nullptr,
        o.sq_x.data(), o.id_x.data(), o.sq_y.data(), o.id_y.data()};
    require(pointmetrics::nearest(job) == 0, "nearest failed");
  }
  require(out[0] == out[1], "a prepared cloud changes the neighbours");
  std::free(memory);
}

// A forest's columns as vectors of exactly their size, for forest_driver.cpp.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

#include "core.hpp"

using imondrian::ForestView;
using imondrian::Memory;
using imondrian::Of;
using imondrian::When;

inline void require(bool ok, const char* what) {
  if (ok) return;
  std::fprintf(stderr, "forest_driver: %s\n", what);
  std::exit(1);
}

template <class T>
struct Columns {
  std::int64_t trees, capacity, features, width, rows;
#define MEMBER(name, type, of, each, when, kept, holds, empty, where, since) \
  std::vector<typename imondrian::Elements<T>::type> name;
  IMONDRIAN_COLUMNS(MEMBER)
#undef MEMBER
  Memory memory;
  double decay;
  bool scaled;

  Columns(std::int64_t t, std::int64_t k, std::int64_t d, std::int64_t n, Memory m, double decay_rate, bool robust,
          bool spaced = false)
      : trees(t), capacity(k), features(d), rows(n), memory(m), decay(decay_rate), scaled(robust) {
    const auto lanes = static_cast<std::int64_t>(imondrian::kPackBytes / sizeof(T));
    width = (d + lanes - 1) / lanes * lanes;
    using namespace imondrian;  // the numbers in the table
#define MAKE(name, type, of, each, when, kept, holds, empty, where, since) \
  if (has(When::when, spaced)) name.assign(places(Of::of) * values(each), empty);
    IMONDRIAN_COLUMNS(MAKE)
#undef MAKE
    std::mt19937_64 seed(1);
    for (std::uint64_t& word : rng) word = seed() | 1;
    for (std::int64_t i = 0; i < t; ++i) {
      for (const int link : {imondrian::kRoot, imondrian::kFreeNode, imondrian::kFreeLeaf}) {
        header[i * imondrian::kHeaderSize + link] = -1;
      }
      for (std::int64_t j = 0; j < d; ++j) rate[i * width + j] = T(robust ? 0 : 1);
    }
    if (!spaced) return;
    std::vector<std::int32_t> order(static_cast<std::size_t>(features));
    std::iota(order.begin(), order.end(), 0);
    require(imondrian::draw_bags(view(), sizeof(T) == 8, 0, order.data()) == Status::kOk, "draw_bags failed");
  }

  bool has(When when, bool spaced) const {
    return when == When::spaced      ? spaced
           : when == When::bounded   ? memory != Memory::kUnbounded
           : when == When::reservoir ? memory == Memory::kReservoir
                                     : when != When::mixed && when != When::timed && when != When::aged;
  }

  std::int64_t values(int each) {
    return each == imondrian::kWidth ? width : each == imondrian::kBag ? imondrian::bag_size_of(view()) : each;
  }

  std::int64_t places(Of of) const {
    switch (of) {
      case Of::node:
      case Of::leaf:
        return trees * capacity;
      case Of::tree:
        return trees;
      case Of::member:
        return trees * (capacity - 1);
      case Of::row:
        return rows;
      case Of::group:
        return 1 + (trees + imondrian::kTreesAbreast - 1) / imondrian::kTreesAbreast;
      default:
        return 1;
    }
  }

  ForestView view() {
    ForestView v{};
    v.n_trees = trees, v.capacity = capacity, v.n_features = features, v.width = width, v.n_rows = rows;
    v.scaled = scaled, v.edition = imondrian::kEdition, v.memory = static_cast<int>(memory), v.decay = decay;
    v.window = memory == Memory::kUnbounded ? 0 : capacity - 1;
#define POINT(name, type, of, each, when, kept, holds, empty, where, since) \
  v.name = name.size() == 0 ? nullptr : name.data();  // `empty` is a parameter
    IMONDRIAN_COLUMNS(POINT)
#undef POINT
    return v;
  }
};

// Cells of a forest, and walks over a few of its cuts: what verdicts (imondrian/_models/feedback.py) are spread by.
//
// Compiled once, for every machine: pointers are chased here, nothing else.
#pragma once

#include <algorithm>
#include <cstdint>
#include <new>

#include "core.hpp"
#include "nativekit/interrupt.hpp"
#include "nativekit/parallel.hpp"

namespace imondrian::cells {

constexpr std::int64_t kRows = 256;  // a thread takes at a time

namespace {

inline double mass_in(const ForestView& f, std::int64_t t, std::int32_t v) {
  return v < 0 ? f.leaf_mass[t * f.capacity + ~v] : f.mass[t * f.capacity + v];
}

// The first node on a row's way down that holds at most `most`; where a value is missing, the heavier way (ties: left).
template <class T>
std::int32_t cell_of(const ForestView& f, std::int64_t t, const T* x, double most) {
  std::int32_t v = f.header[t * kHeaderSize + kRoot];
  while (v >= 0 && f.mass[t * f.capacity + v] > most) {
    const std::int64_t at = t * f.capacity + v;
    const std::int32_t left = f.child[2 * at], right = f.child[2 * at + 1];
    const T value = x[f.feature[at]];
    const T threshold = static_cast<const T*>(f.threshold)[at];
    const bool to_right =
        value != value    ? mass_in(f, t, right) > mass_in(f, t, left)
        : f.n_nominal > 0 ? Kinds<T>{static_cast<const T*>(f.nominal_mask)}.is_right(f.feature[at], value, threshold)
                          : value > threshold;
    v = to_right ? right : left;
  }
  return v;
}

template <class T>
void find(const ForestView& f, const T* x, std::int64_t n, double most, std::int32_t* out) {
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t t = 0; t < f.n_trees; ++t) out[i * f.n_trees + t] = cell_of(f, t, x + i * f.n_features, most);
  }
}

}  // namespace

// The cells of rows of x (n, n_features) in trees that hold points, out (n, n_trees): a node, or ~leaf.
inline void find_cells(const ForestView& f, bool is64, const void* x, std::int64_t n, double most, std::int32_t* out) {
  if (is64) {
    find(f, static_cast<const double*>(x), n, most, out);
  } else {
    find(f, static_cast<const float*>(x), n, most, out);
  }
}

// Cuts of several trees in one table, parents before children. A child is a cut (>= 0), or ~leaf.
struct Cuts {
  const std::int32_t* root;     // (t,)
  const std::int32_t* feature;  // (k,); < 0: a feature that is gone
  const double* threshold;      // (k,)
  const std::int32_t* child;    // (k, 2)
  const std::uint8_t* heavier;  // (k,): the side that rows without a value take
  const double* value;          // of leaves
  const std::uint8_t* nominal;  // (k,): whether the feature is; null: none
  std::int64_t n_trees;
};

namespace {

template <class T>
double sum_of(const Cuts& cuts, const T* x) {
  double sum = 0.0;
  for (std::int64_t t = 0; t < cuts.n_trees; ++t) {
    std::int32_t v = cuts.root[t];
    while (v >= 0) {
      const std::int32_t feature = cuts.feature[v];
      const double value = feature < 0 ? 0.0 : static_cast<double>(x[feature]);
      const bool missing = feature < 0 || value != value, nominal = !missing && cuts.nominal && cuts.nominal[v];
      const bool right = nominal ? has_bit(x[feature], static_cast<int>(cuts.threshold[v])) : value > cuts.threshold[v];
      v = cuts.child[2 * std::int64_t{v} + (missing ? cuts.heavier[v] : right)];
    }
    sum += cuts.value[~v];
  }
  return sum;
}

template <class T>
void sum_all(const Cuts& cuts, const T* x, std::int64_t n, std::int64_t d, double* out, int n_threads) {
  nativekit::parallel_for((n + kRows - 1) / kRows, n_threads, [&](std::int64_t part) {
    for (std::int64_t i = part * kRows; i < std::min(n, (part + 1) * kRows); ++i) out[i] = sum_of(cuts, x + i * d);
  });
}

}  // namespace

// What the leaves that rows of x (n, d) end in are worth, summed over the trees: out (n,).
inline Status sum_values(const Cuts& cuts, bool is64, const void* x, std::int64_t n, std::int64_t d, double* out,
                         int n_threads) {
  try {
    if (is64) {
      sum_all(cuts, static_cast<const double*>(x), n, d, out, n_threads);
    } else {
      sum_all(cuts, static_cast<const float*>(x), n, d, out, n_threads);
    }
    return Status::kOk;
  } catch (const std::bad_alloc&) {
    return Status::kNoMemory;
  } catch (const nativekit::Interrupted&) {
    return Status::kInterrupted;
  }
}

}  // namespace imondrian::cells

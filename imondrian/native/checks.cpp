// Checks of what comes in: numbers, and columns.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <new>
#include <vector>

#include "audit.hpp"
#include "core.hpp"
#include "dispatch.hpp"
#include "nativekit/parallel.hpp"

namespace imondrian::NK_ISA {
namespace {

// Counting, in integers as wide as the numbers, keeps the loop free of branches.
template <class T>
bool no_infinity_piece(const T* x, std::int64_t n) {
  std::conditional_t<sizeof(T) == 8, std::int64_t, std::int32_t> bad = 0;
  for (std::int64_t i = 0; i < n; ++i) bad += std::abs(x[i]) > std::numeric_limits<T>::max();
  return bad == 0;
}

template <class T>
bool no_infinity_as(const T* x, std::int64_t n, int n_threads) {
  constexpr std::int64_t kPiece = 1 << 16;
  std::atomic<bool> found{false};
  nativekit::parallel_for((n + kPiece - 1) / kPiece, n < 4 * kPiece ? 1 : n_threads, [&](std::int64_t p) {
    if (!no_infinity_piece(x + p * kPiece, std::min(kPiece, n - p * kPiece))) found = true;
  });
  return !found;
}

}  // namespace

bool no_infinity(bool is64, const void* x, std::int64_t n, int n_threads) {
  return is64 ? no_infinity_as(static_cast<const double*>(x), n, n_threads)
              : no_infinity_as(static_cast<const float*>(x), n, n_threads);
}

bool any_missing(bool is64, const void* x, std::int64_t n) {
  return is64 ? has_missing(static_cast<const double*>(x), n) : has_missing(static_cast<const float*>(x), n);
}

void count_levels(const ForestView& forest, bool is64, int n_threads) {
  nativekit::parallel_for(forest.n_trees, n_threads, [&](std::int64_t t) {
    is64 ? count_all_levels(Tree<double>(forest, t)) : count_all_levels(Tree<float>(forest, t));
  });
}

Status audit(const ForestView& forest, bool is64, Fault* fault, int n_threads) {
  return guarded([&] {
    std::vector<Fault> faults(static_cast<std::size_t>(forest.n_trees));
    std::atomic<bool> no_memory{false};
    nativekit::parallel_for(forest.n_trees, n_threads, [&](std::int64_t t) {
      try {
        faults[t] = is64 ? Auditor<double>(forest, t).run() : Auditor<float>(forest, t).run();
      } catch (const std::bad_alloc&) {
        no_memory = true;
      }
    });
    for (const Fault& found : faults) {
      if (found.invariant != 0) {
        *fault = found;
        break;
      }
    }
    return no_memory ? Status::kNoMemory : Status::kOk;
  });
}

}  // namespace imondrian::NK_ISA

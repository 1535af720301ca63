#include "core.hpp"

#include <algorithm>
#include <atomic>
#include <new>
#include <vector>

#include "nativekit/parallel.hpp"
#include "nativekit/simd.hpp"

namespace imondrian {
namespace {

// x - x is 0 for finite values and NaN for the others; comparing keeps the loop free of branches.
NK_CLONES bool finite_piece(const double* x, std::int64_t n) {
  std::int64_t bad = 0;
  for (std::int64_t i = 0; i < n; ++i) bad += !(x[i] - x[i] == 0.0);
  return bad == 0;
}
NK_CLONES bool finite_piece(const float* x, std::int64_t n) {
  std::int32_t bad = 0;
  for (std::int64_t i = 0; i < n; ++i) bad += !(x[i] - x[i] == 0.0f);
  return bad == 0;
}

template <class T>
bool all_finite_as(const T* x, std::int64_t n, int n_threads) {
  constexpr std::int64_t kPiece = 1 << 16;
  std::atomic<bool> finite{true};
  nativekit::parallel_for((n + kPiece - 1) / kPiece, n < 4 * kPiece ? 1 : n_threads, [&](std::int64_t p) {
    if (!finite_piece(x + p * kPiece, std::min(kPiece, n - p * kPiece))) finite = false;
  });
  return finite;
}

}  // namespace

bool all_finite(bool is64, const void* x, std::int64_t n, int n_threads) {
  return is64 ? all_finite_as(static_cast<const double*>(x), n, n_threads)
              : all_finite_as(static_cast<const float*>(x), n, n_threads);
}

double hidden_depth_of(double mass) { return hidden_depth(mass); }

Status audit(const ForestView& forest, bool is64, Fault* fault, int n_threads) {
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
}

}  // namespace imondrian

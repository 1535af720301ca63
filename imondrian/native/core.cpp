// The core that the instruction set in use has.
#include "core.hpp"

#include "nativekit/isa.hpp"

namespace imondrian {

namespace baseline {
extern const Core kCore;
}
#if NK_HAS_LEVELS
namespace avx2 {
extern const Core kCore;
}
namespace avx512 {
extern const Core kCore;
}
#else
namespace avx2 {
using baseline::kCore;
}
namespace avx512 {
using baseline::kCore;
}
#endif

namespace {

const Core& core() { return nativekit::of_level(baseline::kCore, avx2::kCore, avx512::kCore); }

}  // namespace

double hidden_depth_of(double mass) { return core().hidden_depth_of(mass); }

bool no_infinity(bool is64, const void* x, std::int64_t n, int n_threads) {
  return core().no_infinity(is64, x, n, n_threads);
}

bool any_missing(bool is64, const void* x, std::int64_t n) { return core().any_missing(is64, x, n); }

Status fit(const ForestView& forest, bool is64, const void* x, std::int64_t n, const double* weight,
           std::int64_t n_sample, bool own_rows, bool already_drawn, int n_threads) {
  return core().fit(forest, is64, x, n, weight, n_sample, own_rows, already_drawn, n_threads);
}

Status draw_rows(const ForestView& forest, std::int64_t n, const double* weight, std::int64_t n_sample, int n_threads) {
  return core().draw_rows(forest, n, weight, n_sample, n_threads);
}

Status draw_bags(const ForestView& forest, bool is64, std::int64_t known, const std::int32_t* order) {
  return core().draw_bags(forest, is64, known, order);
}

Status fill_boxes(const ForestView& forest, bool is64, int n_threads) {
  return core().fill_boxes(forest, is64, n_threads);
}

Status learn(const ForestView& forest, bool is64, const void* x, std::int64_t n, const double* weight,
             const double* stamp, Score score, double* depth, double* norm, std::int64_t* learnt, int n_threads) {
  return core().learn(forest, is64, x, n, weight, stamp, score, depth, norm, learnt, n_threads);
}

Status forget(const ForestView& forest, bool is64, const void* x, std::int64_t n, bool remove, std::int64_t* holders,
              int n_threads) {
  return core().forget(forest, is64, x, n, remove, holders, n_threads);
}

Status score(const ForestView& forest, bool is64, const void* x, std::int64_t n, Score kind, double* depth,
             double* norm, int n_threads) {
  return core().score(forest, is64, x, n, kind, depth, norm, n_threads);
}

Status drawn_ways(const ForestView& forest, bool is64, Score score, std::int32_t* child, double* gain) {
  return core().drawn_ways(forest, is64, score, child, gain);
}

void spacing_excess(const ForestView& forest, const double* spacing, std::int64_t n, double* out) {
  core().spacing_excess(forest, spacing, n, out);
}

Status explain(const ForestView& forest, bool is64, const void* x, std::int64_t n, Score score, double* out,
               double* value, double* expected, int n_threads) {
  return core().explain(forest, is64, x, n, score, out, value, expected, n_threads);
}

void count_levels(const ForestView& forest, bool is64, int n_threads) { core().count_levels(forest, is64, n_threads); }

Status audit(const ForestView& forest, bool is64, Fault* fault, int n_threads) {
  return core().audit(forest, is64, fault, n_threads);
}

}  // namespace imondrian

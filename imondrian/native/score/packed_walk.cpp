#include "score/packed_walk.hpp"

#if defined(__GNUC__) && defined(__x86_64__)
#define IMONDRIAN_X86 1
#include <immintrin.h>
#endif

namespace imondrian {
namespace {

inline void reach(double& out, const double* value, std::int32_t end) { out += value[end]; }
inline void reach(std::int32_t& out, const double*, std::int32_t end) { out = end; }

}  // namespace

namespace portable {
#define SCAN_TARGET
template <class T>
struct Compare {
  using Row = const T*;
  static Row load(const T* x, std::int64_t) { return x; }
  static unsigned answers(Row x, const Block<T>& block) {
    unsigned bits = 0;
    for (int k = 0; k < kBlockNodes; ++k) {
      bits |= static_cast<unsigned>(x[block.feature[k]] > block.threshold[k]) << k;
    }
    return bits;
  }
};
#include "score/packed_walk.inc"
#undef SCAN_TARGET
}  // namespace portable

#if IMONDRIAN_X86

namespace avx2 {
#define SCAN_TARGET __attribute__((target("avx2")))
struct GatherFloat {
  using Row = const float*;
  SCAN_TARGET static Row load(const float* x, std::int64_t) { return x; }
  SCAN_TARGET static unsigned answers(Row x, const Block<float>& block) {
    const __m256i feature = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(block.feature));
    const __m256 asked = _mm256_i32gather_ps(x, feature, 4);
    const __m256 over = _mm256_cmp_ps(asked, _mm256_loadu_ps(block.threshold), _CMP_GT_OQ);
    return static_cast<unsigned>(_mm256_movemask_ps(over));
  }
};
struct GatherDouble {
  using Row = const double*;
  SCAN_TARGET static Row load(const double* x, std::int64_t) { return x; }
  SCAN_TARGET static unsigned half(Row x, const std::int32_t* feature, const double* threshold) {
    const __m128i index = _mm_loadu_si128(reinterpret_cast<const __m128i*>(feature));
    const __m256d asked = _mm256_i32gather_pd(x, index, 8);
    const __m256d over = _mm256_cmp_pd(asked, _mm256_loadu_pd(threshold), _CMP_GT_OQ);
    return static_cast<unsigned>(_mm256_movemask_pd(over));
  }
  SCAN_TARGET static unsigned answers(Row x, const Block<double>& block) {
    return half(x, block.feature, block.threshold) |
           half(x, block.feature + 4, block.threshold + 4) << 4;
  }
};
#include "score/packed_walk.inc"
#undef SCAN_TARGET
}  // namespace avx2

namespace avx512 {
#define SCAN_TARGET __attribute__((target("avx512f,avx512vl,avx512bw,avx512dq,bmi2")))
// Up to 16 features: the whole row sits in two registers and a permute replaces the gather.
struct PermuteFloat {
  struct Row {
    __m256 low, high;
  };
  SCAN_TARGET static Row load(const float* x, std::int64_t n_features) {
    const unsigned mask = (1u << n_features) - 1u;
    return {_mm256_maskz_loadu_ps(static_cast<__mmask8>(mask), x),
            _mm256_maskz_loadu_ps(static_cast<__mmask8>(mask >> 8), x + 8)};
  }
  SCAN_TARGET static unsigned answers(const Row& x, const Block<float>& block) {
    const __m256i feature = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(block.feature));
    const __m256 asked = _mm256_permutex2var_ps(x.low, feature, x.high);
    return _mm256_cmp_ps_mask(asked, _mm256_loadu_ps(block.threshold), _CMP_GT_OQ);
  }
};
struct PermuteDouble {
  struct Row {
    __m512d low, high;
  };
  SCAN_TARGET static Row load(const double* x, std::int64_t n_features) {
    const unsigned mask = (1u << n_features) - 1u;
    return {_mm512_maskz_loadu_pd(static_cast<__mmask8>(mask), x),
            _mm512_maskz_loadu_pd(static_cast<__mmask8>(mask >> 8), x + 8)};
  }
  SCAN_TARGET static unsigned answers(const Row& x, const Block<double>& block) {
    const __m512i feature = _mm512_cvtepi32_epi64(
        _mm256_loadu_si256(reinterpret_cast<const __m256i*>(block.feature)));
    const __m512d asked = _mm512_permutex2var_pd(x.low, feature, x.high);
    return _mm512_cmp_pd_mask(asked, _mm512_loadu_pd(block.threshold), _CMP_GT_OQ);
  }
};
#include "score/packed_walk.inc"
#undef SCAN_TARGET
}  // namespace avx512

namespace {

bool has_avx512() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
}

template <class T, class Out, class Gather, class Permute>
PackedScan<T, Out> choose(std::int64_t n_features) {
  if (has_avx512() && n_features <= 16) return avx512::scan<T, Permute, Out>;
  if (__builtin_cpu_supports("avx2")) return avx2::scan<T, Gather, Out>;
  return portable::scan<T, portable::Compare<T>, Out>;
}

}  // namespace

#define IMONDRIAN_CHOOSE(Out)                                                    \
  template <>                                                                    \
  PackedScan<float, Out> choose_scan(std::int64_t n) {                           \
    return choose<float, Out, avx2::GatherFloat, avx512::PermuteFloat>(n);       \
  }                                                                              \
  template <>                                                                    \
  PackedScan<double, Out> choose_scan(std::int64_t n) {                          \
    return choose<double, Out, avx2::GatherDouble, avx512::PermuteDouble>(n);    \
  }

#else

#define IMONDRIAN_CHOOSE(Out)                                                                                       \
  template <>                                                                                                       \
  PackedScan<float, Out> choose_scan(std::int64_t) { return portable::scan<float, portable::Compare<float>, Out>; } \
  template <>                                                                                                       \
  PackedScan<double, Out> choose_scan(std::int64_t) {                                                               \
    return portable::scan<double, portable::Compare<double>, Out>;                                                  \
  }

#endif

IMONDRIAN_CHOOSE(double)
IMONDRIAN_CHOOSE(std::int32_t)

}  // namespace imondrian

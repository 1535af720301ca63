#include "score/packed_walk.hpp"

namespace imondrian::NK_ISA {
namespace {

inline void reach(double& out, const double* value, std::int32_t end) { out += value[end]; }
inline void reach(std::int32_t& out, const double*, std::int32_t end) { out = end; }

// Rows read as they come: one comparison a node.
template <class T>
struct Compare {
  using Row = const T*;
  static NK_INLINE Row load(const T* x, std::int64_t) { return x; }
  static NK_INLINE unsigned answers(Row x, const Block<T>& block) {
    unsigned bits = 0;
    for (int k = 0; k < kBlockNodes; ++k) {
      bits |= static_cast<unsigned>(x[block.feature[k]] > block.threshold[k]) << k;
    }
    return bits;
  }
};

#if NK_X86 && NK_LEVEL >= 1
// A gather fetches what a block asks about.
struct GatherFloat {
  using Row = const float*;
  static NK_INLINE Row load(const float* x, std::int64_t) { return x; }
  static NK_INLINE unsigned answers(Row x, const Block<float>& block) {
    const __m256i feature = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(block.feature));
    const __m256 asked = _mm256_i32gather_ps(x, feature, 4);
    const __m256 over = _mm256_cmp_ps(asked, _mm256_loadu_ps(block.threshold), _CMP_GT_OQ);
    return static_cast<unsigned>(_mm256_movemask_ps(over));
  }
};
struct GatherDouble {
  using Row = const double*;
  static NK_INLINE Row load(const double* x, std::int64_t) { return x; }
  static NK_INLINE unsigned half(Row x, const std::int32_t* feature, const double* threshold) {
    const __m128i index = _mm_loadu_si128(reinterpret_cast<const __m128i*>(feature));
    const __m256d asked = _mm256_i32gather_pd(x, index, 8);
    const __m256d over = _mm256_cmp_pd(asked, _mm256_loadu_pd(threshold), _CMP_GT_OQ);
    return static_cast<unsigned>(_mm256_movemask_pd(over));
  }
  static NK_INLINE unsigned answers(Row x, const Block<double>& block) {
    return half(x, block.feature, block.threshold) | half(x, block.feature + 4, block.threshold + 4) << 4;
  }
};
#endif

#if NK_X86 && NK_LEVEL >= 2
// Up to 16 features: the whole row sits in two registers and a permute replaces the gather.
struct PermuteFloat {
  struct Row {
    __m256 low, high;
  };
  static NK_INLINE Row load(const float* x, std::int64_t n_features) {
    const unsigned mask = (1u << n_features) - 1u;
    return {_mm256_maskz_loadu_ps(static_cast<__mmask8>(mask), x),
            _mm256_maskz_loadu_ps(static_cast<__mmask8>(mask >> 8), x + 8)};
  }
  static NK_INLINE unsigned answers(const Row& x, const Block<float>& block) {
    const __m256i feature = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(block.feature));
    const __m256 asked = _mm256_permutex2var_ps(x.low, feature, x.high);
    return _mm256_cmp_ps_mask(asked, _mm256_loadu_ps(block.threshold), _CMP_GT_OQ);
  }
};
struct PermuteDouble {
  struct Row {
    __m512d low, high;
  };
  static NK_INLINE Row load(const double* x, std::int64_t n_features) {
    const unsigned mask = (1u << n_features) - 1u;
    return {_mm512_maskz_loadu_pd(static_cast<__mmask8>(mask), x),
            _mm512_maskz_loadu_pd(static_cast<__mmask8>(mask >> 8), x + 8)};
  }
  static NK_INLINE unsigned answers(const Row& x, const Block<double>& block) {
    const __m512i feature = _mm512_cvtepi32_epi64(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(block.feature)));
    const __m512d asked = _mm512_permutex2var_pd(x.low, feature, x.high);
    return _mm512_cmp_pd_mask(asked, _mm512_loadu_pd(block.threshold), _CMP_GT_OQ);
  }
};
#endif

// Eight rows go side by side, so that the latency of one hides behind the others; a row that has reached its
// end stays there without a branch.
template <class T, class How, class Out>
void scan(const PackedTree<T>& tree, const T* x, std::int64_t n, std::int64_t stride, std::int64_t n_features,
          Out* out) {
  constexpr int kRows = 8;
  const Block<T>* blocks = tree.blocks.data();
  const double* value = tree.value.data();
  for (std::int64_t i = 0; i < n; i += kRows) {
    typename How::Row rows[kRows];
    std::int32_t at[kRows];
    for (int r = 0; r < kRows; ++r) {
      const std::int64_t row = i + r < n ? i + r : n - 1;
      rows[r] = How::load(x + row * stride, n_features);
      at[r] = tree.start;
    }
    std::int32_t all = tree.start;
    while (all >= 0) {
      all = -1;
      for (int r = 0; r < kRows; ++r) {
        const Block<T>& block = blocks[at[r] > 0 ? at[r] : 0];
        const std::int32_t to = block.exits[block.exit_of[How::answers(rows[r], block)]];
        at[r] = at[r] < 0 ? at[r] : to;
        all &= at[r];
      }
    }
    const int live = n - i < kRows ? static_cast<int>(n - i) : kRows;
    for (int r = 0; r < live; ++r) reach(out[i + r], value, ~at[r]);
  }
}

}  // namespace

template <class T, class Out>
PackedScan<T, Out> choose_scan([[maybe_unused]] std::int64_t n_features) {
#if NK_X86 && NK_LEVEL >= 2
  if (n_features <= 16) return scan<T, std::conditional_t<sizeof(T) == 4, PermuteFloat, PermuteDouble>, Out>;
#endif
#if NK_X86 && NK_LEVEL >= 1
  return scan<T, std::conditional_t<sizeof(T) == 4, GatherFloat, GatherDouble>, Out>;
#else
  return scan<T, Compare<T>, Out>;
#endif
}

template PackedScan<float, double> choose_scan(std::int64_t);
template PackedScan<double, double> choose_scan(std::int64_t);
template PackedScan<float, std::int32_t> choose_scan(std::int64_t);
template PackedScan<double, std::int32_t> choose_scan(std::int64_t);

}  // namespace imondrian::NK_ISA

// Sixteen numbers at once. Included once per instruction set, inside namespace NK_ARCH.
//
// NK_PACK_BITS is 512, 256 or 0 (plain loops that any compiler turns into its own vectors). The
// arithmetic is the same IEEE operation on each lane everywhere, so results do not depend on it.

namespace pointmetrics {
namespace NK_ARCH {

#if NK_PACK_BITS == 512
struct VecFloat {
  using V = __m512;
  static constexpr int kWidth = 16;
  static NK_INLINE V load(const float* p) { return _mm512_loadu_ps(p); }
  static NK_INLINE void store(float* p, V a) { _mm512_storeu_ps(p, a); }
  static NK_INLINE V set(float a) { return _mm512_set1_ps(a); }
  static NK_INLINE V add(V a, V b) { return _mm512_add_ps(a, b); }
  static NK_INLINE V sub(V a, V b) { return _mm512_sub_ps(a, b); }
  static NK_INLINE V mul(V a, V b) { return _mm512_mul_ps(a, b); }
  static NK_INLINE V max(V a, V b) { return _mm512_max_ps(a, b); }
  static NK_INLINE V min(V a, V b) { return _mm512_min_ps(a, b); }
  static NK_INLINE unsigned le(V a, V b) { return _mm512_cmp_ps_mask(a, b, _CMP_LE_OQ); }
  static NK_INLINE V where_lt(V a, V b, V x, V y) {
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), y, x);
  }
};
struct VecDouble {
  using V = __m512d;
  static constexpr int kWidth = 8;
  static NK_INLINE V load(const double* p) { return _mm512_loadu_pd(p); }
  static NK_INLINE void store(double* p, V a) { _mm512_storeu_pd(p, a); }
  static NK_INLINE V set(double a) { return _mm512_set1_pd(a); }
  static NK_INLINE V add(V a, V b) { return _mm512_add_pd(a, b); }
  static NK_INLINE V sub(V a, V b) { return _mm512_sub_pd(a, b); }
  static NK_INLINE V mul(V a, V b) { return _mm512_mul_pd(a, b); }
  static NK_INLINE V max(V a, V b) { return _mm512_max_pd(a, b); }
  static NK_INLINE V min(V a, V b) { return _mm512_min_pd(a, b); }
  static NK_INLINE unsigned le(V a, V b) { return _mm512_cmp_pd_mask(a, b, _CMP_LE_OQ); }
  static NK_INLINE V where_lt(V a, V b, V x, V y) {
    return _mm512_mask_blend_pd(_mm512_cmp_pd_mask(a, b, _CMP_LT_OQ), y, x);
  }
};
#elif NK_PACK_BITS == 256
struct VecFloat {
  using V = __m256;
  static constexpr int kWidth = 8;
  static NK_INLINE V load(const float* p) { return _mm256_loadu_ps(p); }
  static NK_INLINE void store(float* p, V a) { _mm256_storeu_ps(p, a); }
  static NK_INLINE V set(float a) { return _mm256_set1_ps(a); }
  static NK_INLINE V add(V a, V b) { return _mm256_add_ps(a, b); }
  static NK_INLINE V sub(V a, V b) { return _mm256_sub_ps(a, b); }
  static NK_INLINE V mul(V a, V b) { return _mm256_mul_ps(a, b); }
  static NK_INLINE V max(V a, V b) { return _mm256_max_ps(a, b); }
  static NK_INLINE V min(V a, V b) { return _mm256_min_ps(a, b); }
  static NK_INLINE unsigned le(V a, V b) {
    return static_cast<unsigned>(_mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_LE_OQ)));
  }
  static NK_INLINE V where_lt(V a, V b, V x, V y) {
    return _mm256_blendv_ps(y, x, _mm256_cmp_ps(a, b, _CMP_LT_OQ));
  }
};
struct VecDouble {
  using V = __m256d;
  static constexpr int kWidth = 4;
  static NK_INLINE V load(const double* p) { return _mm256_loadu_pd(p); }
  static NK_INLINE void store(double* p, V a) { _mm256_storeu_pd(p, a); }
  static NK_INLINE V set(double a) { return _mm256_set1_pd(a); }
  static NK_INLINE V add(V a, V b) { return _mm256_add_pd(a, b); }
  static NK_INLINE V sub(V a, V b) { return _mm256_sub_pd(a, b); }
  static NK_INLINE V mul(V a, V b) { return _mm256_mul_pd(a, b); }
  static NK_INLINE V max(V a, V b) { return _mm256_max_pd(a, b); }
  static NK_INLINE V min(V a, V b) { return _mm256_min_pd(a, b); }
  static NK_INLINE unsigned le(V a, V b) {
    return static_cast<unsigned>(_mm256_movemask_pd(_mm256_cmp_pd(a, b, _CMP_LE_OQ)));
  }
  static NK_INLINE V where_lt(V a, V b, V x, V y) {
    return _mm256_blendv_pd(y, x, _mm256_cmp_pd(a, b, _CMP_LT_OQ));
  }
};
#else
template <class T>
struct VecScalar {
  using V = T;
  static constexpr int kWidth = 1;
  static NK_INLINE V load(const T* p) { return *p; }
  static NK_INLINE void store(T* p, V a) { *p = a; }
  static NK_INLINE V set(T a) { return a; }
  static NK_INLINE V add(V a, V b) { return a + b; }
  static NK_INLINE V sub(V a, V b) { return a - b; }
  static NK_INLINE V mul(V a, V b) { return a * b; }
  static NK_INLINE V max(V a, V b) { return a > b ? a : b; }
  static NK_INLINE V min(V a, V b) { return a < b ? a : b; }
  static NK_INLINE unsigned le(V a, V b) { return a <= b ? 1u : 0u; }
  static NK_INLINE V where_lt(V a, V b, V x, V y) { return a < b ? x : y; }
};
using VecFloat = VecScalar<float>;
using VecDouble = VecScalar<double>;
#endif

template <class T>
struct Pack {
  using S = std::conditional_t<std::is_same_v<T, float>, VecFloat, VecDouble>;
  static constexpr int kParts = kLanes / S::kWidth;
  typename S::V v[kParts];

  template <class F>
  static NK_INLINE Pack each(const F& part) {
    Pack out;
    for (int k = 0; k < kParts; ++k) out.v[k] = part(k);
    return out;
  }
  static NK_INLINE Pack load(const T* p) { return each([&](int k) { return S::load(p + k * S::kWidth); }); }
  static NK_INLINE Pack set(T a) { return each([&](int) { return S::set(a); }); }
  NK_INLINE void store(T* p) const {
    for (int k = 0; k < kParts; ++k) S::store(p + k * S::kWidth, v[k]);
  }
  friend NK_INLINE Pack operator+(const Pack& a, const Pack& b) {
    return each([&](int k) { return S::add(a.v[k], b.v[k]); });
  }
  friend NK_INLINE Pack operator-(const Pack& a, const Pack& b) {
    return each([&](int k) { return S::sub(a.v[k], b.v[k]); });
  }
  friend NK_INLINE Pack operator*(const Pack& a, const Pack& b) {
    return each([&](int k) { return S::mul(a.v[k], b.v[k]); });
  }
  friend NK_INLINE Pack max(const Pack& a, const Pack& b) {
    return each([&](int k) { return S::max(a.v[k], b.v[k]); });
  }
  friend NK_INLINE Pack min(const Pack& a, const Pack& b) {
    return each([&](int k) { return S::min(a.v[k], b.v[k]); });
  }
  // Bit i is set where a[i] <= b[i].
  friend NK_INLINE unsigned le_mask(const Pack& a, const Pack& b) {
    unsigned mask = 0;
    for (int k = 0; k < kParts; ++k) mask |= S::le(a.v[k], b.v[k]) << (k * S::kWidth);
    return mask;
  }
  // a < b ? x : y, lane by lane.
  friend NK_INLINE Pack where_lt(const Pack& a, const Pack& b, const Pack& x, const Pack& y) {
    return each([&](int k) { return S::where_lt(a.v[k], b.v[k], x.v[k], y.v[k]); });
  }
};

template <class T>
NK_INLINE T largest(const Pack<T>& pack) {
  alignas(64) T lanes[kLanes];
  pack.store(lanes);
  for (int width = kLanes / 2; width > 0; width /= 2) {
    for (int i = 0; i < width; ++i) lanes[i] = std::max(lanes[i], lanes[i + width]);
  }
  return lanes[0];
}

// Where least[i] beats best[i], or equals it with a lower id, set id[i] to leaf_ids[slot[i]]. Without
// branches: which lanes improve is not to be predicted.
template <class T>
NK_INLINE void take_ids(const Pack<T>& least, const Pack<T>& slot, const Pack<T>& best, const std::int32_t* leaf_ids,
                        std::int32_t* id) {
  alignas(64) T leasts[kLanes];
  alignas(64) T slots[kLanes];
  alignas(64) T bests[kLanes];
  least.store(leasts);
  slot.store(slots);
  best.store(bests);
  for (int i = 0; i < kLanes; ++i) {
    const std::int32_t found = leaf_ids[static_cast<int>(slots[i])];
    const bool take = (leasts[i] < bests[i]) | ((leasts[i] == bests[i]) & (found < id[i]));
    id[i] = take ? found : id[i];
  }
}

#if NK_PACK_BITS == 512
template <>
NK_INLINE float largest(const Pack<float>& pack) {
  return _mm512_reduce_max_ps(pack.v[0]);
}

template <>
NK_INLINE double largest(const Pack<double>& pack) {
  return _mm512_reduce_max_pd(_mm512_max_pd(pack.v[0], pack.v[1]));
}

NK_INLINE void take_ids_where(unsigned less, unsigned equal, __m512i slot, const std::int32_t* leaf_ids,
                              std::int32_t* id) {
  const __m512i found = _mm512_permutexvar_epi32(slot, _mm512_loadu_si512(leaf_ids));
  const __m512i old = _mm512_loadu_si512(id);
  const auto lower = _mm512_mask_cmplt_epi32_mask(static_cast<__mmask16>(equal), found, old);
  _mm512_storeu_si512(id, _mm512_mask_blend_epi32(static_cast<__mmask16>(less | lower), old, found));
}

template <>
NK_INLINE void take_ids(const Pack<float>& least, const Pack<float>& slot, const Pack<float>& best,
                        const std::int32_t* leaf_ids, std::int32_t* id) {
  take_ids_where(_mm512_cmp_ps_mask(least.v[0], best.v[0], _CMP_LT_OQ),
                 _mm512_cmp_ps_mask(least.v[0], best.v[0], _CMP_EQ_OQ), _mm512_cvttps_epi32(slot.v[0]), leaf_ids, id);
}

template <>
NK_INLINE void take_ids(const Pack<double>& least, const Pack<double>& slot, const Pack<double>& best,
                        const std::int32_t* leaf_ids, std::int32_t* id) {
  unsigned less = 0;
  unsigned equal = 0;
  for (int k = 0; k < 2; ++k) {
    less |= static_cast<unsigned>(_mm512_cmp_pd_mask(least.v[k], best.v[k], _CMP_LT_OQ)) << (8 * k);
    equal |= static_cast<unsigned>(_mm512_cmp_pd_mask(least.v[k], best.v[k], _CMP_EQ_OQ)) << (8 * k);
  }
  const __m512i slots = _mm512_inserti64x4(_mm512_castsi256_si512(_mm512_cvttpd_epi32(slot.v[0])),
                                           _mm512_cvttpd_epi32(slot.v[1]), 1);
  take_ids_where(less, equal, slots, leaf_ids, id);
}
#endif

}  // namespace NK_ARCH
}  // namespace pointmetrics

// Which query has found which point. Included once per instruction set (isa/level.hpp).
#pragma once

namespace pointmetrics::NK_ISA {

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

#if NK_X86 && NK_LEVEL == 2
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
  const __m512i slots =
      _mm512_inserti64x4(_mm512_castsi256_si512(_mm512_cvttpd_epi32(slot.v[0])), _mm512_cvttpd_epi32(slot.v[1]), 1);
  take_ids_where(less, equal, slots, leaf_ids, id);
}
#endif

}  // namespace pointmetrics::NK_ISA

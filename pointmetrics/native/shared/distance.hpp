// Squared distances, of numbers and of Packs: one text for the core and for the kernels, so that both round alike.
// Included at the head of whatever needs it, and once more per instruction set (isa/level.hpp).
#if !defined(POINTMETRICS_SHARED_DISTANCE_HPP_) || defined(NK_ISA)
#define POINTMETRICS_SHARED_DISTANCE_HPP_

#include "shared/host_device.hpp"

namespace pointmetrics {
#if defined(NK_ISA)
namespace NK_ISA {
#endif

// A squared distance is summed by this along the axes 0, 1, .., everywhere.
template <class V>
NK_SHARED V add_square(V sum, V difference) {
  return sum + difference * difference;
}

// How far [from, to] is outside [low, high] along an axis. Rounding is monotone: it is no more than the computed
// difference of any two points inside, so that what is pruned by it is pruned rightly, ties included.
template <class V>
NK_SHARED V gap_between(V low, V high, V from, V to, V zero) {
  return larger(larger(low - to, from - high), zero);
}

// In S, with `step` numbers from one coordinate to the next.
template <class S, class T>
NK_SHARED S sq_distance(const T* a, int a_step, const T* b, int b_step, int d) {
  S sum = 0;
  for (int k = 0; k < d; ++k) sum = add_square(sum, static_cast<S>(a[k * a_step]) - static_cast<S>(b[k * b_step]));
  return sum;
}

// distance^power, of powers 1 and 2.
template <class T>
NK_SHARED double powered(T sq_dist, int power) {
  return power == 2 ? static_cast<double>(sq_dist) : sqrt(static_cast<double>(sq_dist));
}

#if defined(NK_ISA)
}  // namespace NK_ISA
#endif
}  // namespace pointmetrics

#endif  // POINTMETRICS_SHARED_DISTANCE_HPP_

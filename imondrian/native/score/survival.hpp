// exp(-hazard), many at once: of each instruction set, and of every C library, the same bits.
#pragma once

#include "nativekit/pack.hpp"

namespace imondrian::NK_ISA {

constexpr double kGone = 40.0;  // what survives this much hazard cannot change a depth

// exp(-hazard) of hazards that are not negative, within an ulp; 0 beyond kGone, or where one is NaN.
//
// As 2^k exp(r), k whole and |r| <= log(2) / 2, where (exp(r) - 1 - r) / r^2 is the polynomial that equals it in the
// Chebyshev nodes: off by 0.002 ulp of exp(r).
template <class P>
NK_INLINE P survival(const P& hazard) {
  constexpr double kPerLog2 = 0x1.71547652b82fep+0, kLog2 = 0x1.62e42fee00000p-1, kLog2Rest = 0x1.a39ef35793c76p-33;
  constexpr double kToWhole = 0x1.8p52;  // added and taken away, it rounds
  constexpr double kTerms[] = {0x1.0000000000000p-1,  0x1.5555555555557p-3,  0x1.5555555555556p-5,
                               0x1.11111111100dcp-7,  0x1.6c16c16c162d4p-10, 0x1.a01a01abe7fe1p-13,
                               0x1.a01a01a6d889cp-16, 0x1.71de0231960ebp-19, 0x1.27e4db646b17ep-22,
                               0x1.af4de97ca4194p-26, 0x1.1f730349868cep-29};
  const P least = smaller(hazard, P::of(kGone));
  const P k = (P::of(kToWhole) - least * P::of(kPerLog2)) - P::of(kToWhole);
  const P r = (P::zero() - least - k * P::of(kLog2)) - k * P::of(kLog2Rest);
  const P r2 = r * r;
  P even = P::of(kTerms[10]), odd = P::of(kTerms[9]);  // two chains, half as long as one
  for (int i = 8; i >= 0; i -= 2) even = even * r2 + P::of(kTerms[i]);
  for (int i = 7; i >= 1; i -= 2) odd = odd * r2 + P::of(kTerms[i]);
  const P chance = (P::of(1.0) + (r + r2 * (even + odd * r))) * power_of_two(k);
  return where_le(hazard, P::of(kGone), chance, P::zero());
}
NK_INLINE double survival(double hazard) { return survival(nativekit::NK_ISA::Pack<double, 1>::of(hazard)).sum(); }

}  // namespace imondrian::NK_ISA

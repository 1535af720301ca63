// The whole core for one instruction set: calls within it cost nothing, and one table is all that is chosen when it
// runs.
//
// Its files are one unit: that what they keep to themselves lies in a namespace without a name is as it should be.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wsubobject-linkage"
#endif
#include "checks.cpp"
#include "fit/clean_mass.cpp"
#include "fit/fit.cpp"
#include "score/explain.cpp"
#include "score/score.cpp"
#include "score/spacing.cpp"
#include "stream/learn.cpp"

namespace imondrian::NK_ISA {

extern const Core kCore;
const Core kCore = {hidden_depth_of, no_infinity,    any_missing, fit,    draw_rows,
                    draw_bags,       fill_boxes,     learn,       forget, score,
                    drawn_ways,      spacing_excess, explain,     audit,  count_levels};

}  // namespace imondrian::NK_ISA

// The hot loops of the core for one instruction set, and the table they are called by.
#include "nativekit/pack.hpp"
#include "shared/distance.hpp"

namespace pointmetrics::NK_ISA {

template <class T>
using Pack = nativekit::NK_ISA::Pack<T, kLanes>;

}  // namespace pointmetrics::NK_ISA

#include "emd/price_query.hpp"
#include "magnitude.hpp"
#include "mesh/mesh_search.hpp"
#include "nearest/build.hpp"
#include "nearest/curve.hpp"
#include "nearest/search.hpp"
#include "nearest/tied.hpp"

namespace pointmetrics::NK_ISA {

template <class T>
constexpr Kernels<T> kKernels = {curve_order<T>, fill_leaves<T>, fill_levels<T>,
                                 search<T>,      search_tied<T>, max_magnitude<T>};

extern const Core kCore;
const Core kCore = {kKernels<float>, kKernels<double>, search_mesh, emd::NK_ISA::kQueries};

}  // namespace pointmetrics::NK_ISA

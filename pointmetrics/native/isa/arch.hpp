// Compile the kernels for the instruction set that the including file set up (NK_ARCH, NK_PACK_BITS).
#include "isa/pack.hpp"
//
#include "nearest/build.hpp"
#include "nearest/curve.hpp"
#include "nearest/search.hpp"
//
#include "mesh/mesh_search.hpp"

namespace pointmetrics {
namespace NK_ARCH {

template <class T>
extern const Kernels<T> kKernels = {curve_order<T>, fill_leaves<T>, fill_levels<T>, search<T>};

template const Kernels<float> kKernels<float>;
template const Kernels<double> kKernels<double>;

extern const MeshSearch kMeshSearch;
const MeshSearch kMeshSearch = search_mesh;

}  // namespace NK_ARCH
}  // namespace pointmetrics

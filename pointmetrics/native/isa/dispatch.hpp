// The kernels of the instruction set in use.
#pragma once

#include "mesh/mesh.hpp"
#include "isa/shared.hpp"

namespace pointmetrics {

template <class T>
const Kernels<T>& kernels();

using MeshSearch = void (*)(const Tree<double>* tree, const Mesh* mesh, const double* points,
                            const std::int32_t* order, std::int64_t begin, std::int64_t end, double* sq_dist,
                            std::int32_t* face, double* barycentric);
MeshSearch mesh_search();

}  // namespace pointmetrics

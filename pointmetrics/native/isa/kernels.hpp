// What is compiled once for every instruction set, and that of the set in use.
#pragma once

#include <cstdint>
#include <type_traits>

#include "emd/price_tree.hpp"
#include "mesh/mesh.hpp"
#include "nearest/distortion.hpp"
#include "nearest/tree.hpp"

namespace pointmetrics {

// `order` runs along the Hilbert curve.
template <class T>
struct Kernels {
  // Fill order[0, n) from points; scratch holds 2 n 64-bit words. Afterwards the first n hold a key each, above 32 bits
  // of order: points that coincide are in one run of equal keys.
  void (*curve_order)(const T* points, std::int64_t n, int d, std::int32_t* order, std::uint64_t* scratch);
  // Fill leaves [begin, end) of tree from points in the given order (nullptr: as they come), and,
  // in a tree that is not flat, their boxes.
  void (*fill_leaves)(const T* points, const std::int32_t* order, std::int64_t begin, std::int64_t end,
                      const Tree<T>* tree);
  void (*fill_levels)(const Tree<T>* tree);
  // Nearest neighbour in tree of the queries points[order[begin, end)].
  void (*search)(const Tree<T>* tree, const T* points, const std::int32_t* order, std::int64_t begin, std::int64_t end,
                 T* sq_dist, std::int32_t* nearest);
  // Add the errors of the points in leaves [begin, end) of `from` to sums.
  void (*search_tied)(const Weighted<T>* from, const Weighted<T>* to, std::int64_t begin, std::int64_t end,
                      Distortion* sums);
  // The largest |value|; not finite where any value is not.
  double (*max_magnitude)(const T* values, std::int64_t n);
};

struct Core {
  Kernels<float> floats;
  Kernels<double> doubles;
  void (*search_mesh)(const Tree<double>* tree, const Mesh* mesh, const double* points, const std::int32_t* order,
                      std::int64_t begin, std::int64_t end, double* sq_dist, std::int32_t* face, double* barycentric);
  emd::Queries queries;
};

const Core& core();

template <class T>
const Kernels<T>& kernels() {
  if constexpr (std::is_same_v<T, float>) {
    return core().floats;
  } else {
    return core().doubles;
  }
}

}  // namespace pointmetrics

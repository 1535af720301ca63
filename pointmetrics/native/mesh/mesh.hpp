// Distances from points to the triangles of a mesh.
#pragma once

#include <cstdint>

namespace pointmetrics {

// A mesh in float64 whose faces refer to vertices that exist.
struct Mesh {
  const double* vertices;     // (n_vertices, 3)
  const std::int32_t* faces;  // (n_faces, 3)
  std::int64_t n_faces;
};

// For every point: squared distance to the surface, the face it is on (lowest of equally near ones) and
// the barycentric coordinates of the closest point there.
int nearest_on_mesh(const double* points, std::int64_t n, const Mesh& mesh, int n_threads, double* sq_dist,
                    std::int32_t* face, double* barycentric);

}  // namespace pointmetrics

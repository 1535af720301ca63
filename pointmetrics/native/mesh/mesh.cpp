#include "mesh/mesh.hpp"

#include <algorithm>
#include <vector>

#include "core.hpp"
#include "isa/kernels.hpp"
#include "nativekit/parallel.hpp"

namespace pointmetrics {
namespace {

// The faces in curve order of their centres.
std::vector<std::int32_t> order_of_faces(const Mesh& mesh) {
  const auto n = static_cast<std::size_t>(mesh.n_faces);
  std::vector<double> centres(3 * n);
  for (std::size_t f = 0; f < n; ++f) {
    for (int a = 0; a < 3; ++a) {
      double sum = 0;
      for (int c = 0; c < 3; ++c) sum += mesh.vertices[3 * std::int64_t{mesh.faces[3 * f + c]} + a];
      centres[3 * f + a] = sum / 3;
    }
  }
  std::vector<std::int32_t> order(n);
  std::vector<std::uint64_t> scratch(2 * n);
  kernels<double>().curve_order(centres.data(), mesh.n_faces, 3, order.data(), scratch.data());
  return order;
}

// The levels above the faces, with room for their boxes.
Tree<double> make_levels(const Mesh& mesh, std::vector<double>* boxes, std::vector<std::int32_t>* ids) {
  Tree<double> tree{};
  tree.d = 3;
  tree.level_size[0] = mesh.n_faces;
  std::int64_t total = 0;
  do {
    ++tree.n_levels;
    total += tree.level_size[tree.n_levels] = packs(tree.level_size[tree.n_levels - 1]);
  } while (tree.level_size[tree.n_levels] > 1);
  boxes->resize(static_cast<std::size_t>(total) * 6 * kLanes);
  ids->resize(static_cast<std::size_t>(total) * kLanes);
  std::int64_t used = 0;
  for (int level = 1; level <= tree.n_levels; ++level) {
    tree.boxes[level] = boxes->data() + used * 6 * kLanes;
    tree.min_id[level] = ids->data() + used * kLanes;
    used += tree.level_size[level];
  }
  return tree;
}

// Face boxes in curve order of the faces' centres, and the levels above them.
Tree<double> index_faces(const Mesh& mesh, std::vector<double>* boxes, std::vector<std::int32_t>* ids) {
  const std::vector<std::int32_t> order = order_of_faces(mesh);
  Tree<double> tree = make_levels(mesh, boxes, ids);
  for (std::int64_t slot = 0; slot < mesh.n_faces; ++slot) {
    const std::int32_t face = order[static_cast<std::size_t>(slot)];
    double* box = tree.boxes[1] + slot / kLanes * 6 * kLanes + slot % kLanes;
    for (int a = 0; a < 3; ++a) {
      const std::int32_t* corners = mesh.faces + 3 * std::int64_t{face};
      const double at[3] = {mesh.vertices[3 * std::int64_t{corners[0]} + a],
                            mesh.vertices[3 * std::int64_t{corners[1]} + a],
                            mesh.vertices[3 * std::int64_t{corners[2]} + a]};
      box[a * kLanes] = std::min(at[0], std::min(at[1], at[2]));
      box[(3 + a) * kLanes] = std::max(at[0], std::max(at[1], at[2]));
    }
    tree.min_id[1][slot] = face;
  }
  kernels<double>().fill_levels(&tree);
  return tree;
}

}  // namespace

int nearest_on_mesh(const double* points, std::int64_t n, const Mesh& mesh, int n_threads, double* sq_dist,
                    std::int32_t* face, double* barycentric) {
  return guarded([&] {
    std::vector<double> boxes;
    std::vector<std::int32_t> ids;
    const Tree<double> tree = index_faces(mesh, &boxes, &ids);
    std::vector<std::int32_t> order(static_cast<std::size_t>(n));
    std::vector<std::uint64_t> scratch(2 * static_cast<std::size_t>(n));
    kernels<double>().curve_order(points, n, 3, order.data(), scratch.data());
    constexpr std::int64_t kPerTask = 512, kPerStop = 64;
    nativekit::parallel_for((n + kPerTask - 1) / kPerTask, n_threads, [&](std::int64_t t) {
      const std::int64_t last = std::min(n, (t + 1) * kPerTask);
      for (std::int64_t at = t * kPerTask; at < last; at += kPerStop) {
        nativekit::stop_if_asked();
        core().search_mesh(&tree, &mesh, points, order.data(), at, std::min(last, at + kPerStop), sq_dist, face,
                           barycentric);
      }
    });
    return kOk;
  });
}

}  // namespace pointmetrics

// The nearest triangle of a point. Included once per instruction set (isa/level.hpp), in float64 only.

namespace pointmetrics::NK_ISA {

struct OnMesh {
  double sq_dist = std::numeric_limits<double>::infinity();
  std::int32_t face = kNoPoint;
  double barycentric[3] = {0, 0, 0};
};

NK_INLINE double dot(const double* a, const double* b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }

// Keep the closest point of the edge from corner i to corner j if it beats `best`.
NK_INLINE void try_edge(const double* query, const double* const corner[3], int i, int j, std::int32_t face,
                        OnMesh* best) {
  double edge[3];
  double to[3];
  for (int a = 0; a < 3; ++a) {
    edge[a] = corner[j][a] - corner[i][a];
    to[a] = query[a] - corner[i][a];
  }
  const double length = dot(edge, edge);
  const double along = length > 0 ? std::min(1.0, std::max(0.0, dot(to, edge) / length)) : 0.0;
  double off[3];
  for (int a = 0; a < 3; ++a) off[a] = to[a] - along * edge[a];
  const double sq_dist = dot(off, off);
  if (sq_dist < best->sq_dist || (sq_dist == best->sq_dist && face < best->face)) {
    *best = {sq_dist, face, {0, 0, 0}};
    best->barycentric[i] = 1 - along;
    best->barycentric[j] = along;
  }
}

// The inside of the triangle where the query projects there, else its edges. A triangle without area
// has only edges.
NK_INLINE void try_face(const double* query, const Mesh& mesh, std::int32_t face, OnMesh* best) {
  const double* corner[3];
  for (int k = 0; k < 3; ++k) corner[k] = mesh.vertices + 3 * std::int64_t{mesh.faces[3 * std::int64_t{face} + k]};
  double u[3];
  double v[3];
  double w[3];
  for (int a = 0; a < 3; ++a) {
    u[a] = corner[1][a] - corner[0][a];
    v[a] = corner[2][a] - corner[0][a];
    w[a] = query[a] - corner[0][a];
  }
  const double normal[3] = {u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]};
  const double area = dot(normal, normal);
  if (area > 0) {
    const double uw[3] = {u[1] * w[2] - u[2] * w[1], u[2] * w[0] - u[0] * w[2], u[0] * w[1] - u[1] * w[0]};
    const double wv[3] = {w[1] * v[2] - w[2] * v[1], w[2] * v[0] - w[0] * v[2], w[0] * v[1] - w[1] * v[0]};
    const double third = dot(uw, normal) / area;
    const double second = dot(wv, normal) / area;
    if (third >= 0 && second >= 0 && second + third <= 1) {
      double off[3];
      for (int a = 0; a < 3; ++a) off[a] = w[a] - second * u[a] - third * v[a];
      const double sq_dist = dot(off, off);
      if (sq_dist < best->sq_dist || (sq_dist == best->sq_dist && face < best->face)) {
        *best = {sq_dist, face, {1 - second - third, second, third}};
      }
      return;
    }
  }
  try_edge(query, corner, 0, 1, face, best);
  try_edge(query, corner, 1, 2, face, best);
  try_edge(query, corner, 2, 0, face, best);
}

// What is left to be looked at in a search of the faces' tree, the nearest on top within a level.
struct MeshStack {
  struct Entry {
    double sq_dist;
    std::int64_t node;
    int level;
  };
  Entry entry[kMaxLevels * kLanes + 1];
  int top = 0;

  // Put those children of a node on it that are not farther than `bound`, the farthest first.
  NK_INLINE void push_children(const Tree<double>& tree, const Entry& parent, const double* query, double bound) {
    const double* boxes = tree.boxes[parent.level] + parent.node * 6 * kLanes;
    Pack<double> sum = Pack<double>::of(0);
    for (int a = 0; a < 3; ++a) {
      const Pack<double> q = Pack<double>::of(query[a]);
      const Pack<double> low = Pack<double>::load(boxes + a * kLanes),
                         high = Pack<double>::load(boxes + (3 + a) * kLanes);
      sum = add_square(sum, gap_between(low, high, q, q, Pack<double>::of(0)));
    }
    alignas(64) double dist[kLanes];
    sum.store(dist);
    const int bottom = top;
    for (unsigned mask = le_mask(sum, Pack<double>::of(bound)); mask != 0; mask &= mask - 1) {
      const int i = nativekit::lowest_bit(mask);
      int at = top++;
      for (; at > bottom && entry[at - 1].sq_dist < dist[i]; --at) entry[at] = entry[at - 1];
      entry[at] = {dist[i], parent.node * kLanes + i, parent.level - 1};
    }
  }
};

// Whatever comes nearer to the query than *best does. `tree` has one child of level 1 for each face, in curve order;
// min_id[1] is the face.
inline void search_faces(const Tree<double>& tree, const Mesh& mesh, const double* query, OnMesh* best) {
  // A closest point is rounded, a box is not: this much slack keeps a face whose computed distance would
  // win from being pruned by its box.
  constexpr double kSlack = 1 + 1e-9;
  MeshStack stack;
  stack.entry[stack.top++] = {0, 0, tree.n_levels};
  while (stack.top > 0) {
    const MeshStack::Entry entry = stack.entry[--stack.top];
    if (entry.sq_dist > best->sq_dist * kSlack) continue;
    if (entry.level == 0) {
      try_face(query, mesh, tree.min_id[1][entry.node], best);
      continue;
    }
    // Empty lanes are at infinity; a first query has no bound and must not take them for children.
    const double bound = std::min(best->sq_dist * kSlack, std::numeric_limits<double>::max());
    stack.push_children(tree, entry, query, bound);
  }
}

inline void search_mesh(const Tree<double>* tree, const Mesh* mesh, const double* points, const std::int32_t* order,
                        std::int64_t begin, std::int64_t end, double* sq_dist, std::int32_t* face,
                        double* barycentric) {
  OnMesh best;
  for (std::int64_t k = begin; k < end; ++k) {
    const std::int64_t row = order[k];
    const double* query = points + 3 * row;
    const std::int32_t known = best.face;
    best = OnMesh{};
    if (known != kNoPoint) try_face(query, *mesh, known, &best);
    search_faces(*tree, *mesh, query, &best);
    sq_dist[row] = best.sq_dist;
    face[row] = best.face;
    for (int a = 0; a < 3; ++a) barycentric[3 * row + a] = best.barycentric[a];
  }
}

}  // namespace pointmetrics::NK_ISA

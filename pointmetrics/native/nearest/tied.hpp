// Errors to the nearest points and along the normals of all that are equally near. Included once per instruction set
// (isa/level.hpp). D is 2, 3 or 0 (any).
//
// The points of a leaf search together. A leaf in which a nearest point was found is remembered, so that the points at
// that distance are found again without a second way through the tree.

namespace pointmetrics::NK_ISA {

constexpr int kRemembered = 16;

template <class T, int D>
struct TiedGroup : Group<T, D> {
  bool with_normals;
  bool forgot;  // leaves: the tree must be gone through again
  int n_leaves;
  std::int64_t leaves[kRemembered];
  Pack<T> least[kRemembered];
  double total[kLanes];
  double count[kLanes];
};

template <class T, int D>
NK_INLINE Pack<T> sq_dist_to(const T* leaf, int i, int d, const Group<T, D>& group) {
  Pack<T> diff = Pack<T>::load(group.query[0]) - Pack<T>::of(leaf[i]);
  Pack<T> sum = diff * diff;
  for (int a = 1; a < (D > 0 ? D : d); ++a) {
    diff = Pack<T>::load(group.query[a]) - Pack<T>::of(leaf[a * kLanes + i]);
    sum = sum + diff * diff;
  }
  return sum;
}

template <class T, int D>
NK_INLINE void remember(std::int64_t leaf, const Pack<T>& least, TiedGroup<T, D>* group) {
  if (group->n_leaves == kRemembered) {
    int kept = 0;
    for (int k = 0; k < kRemembered; ++k) {
      if (le_mask(group->least[k], group->best) == 0) continue;
      group->leaves[kept] = group->leaves[k];
      group->least[kept++] = group->least[k];
    }
    group->n_leaves = kept;
  }
  if (group->n_leaves == kRemembered) {
    group->forgot = true;
    return;
  }
  group->leaves[group->n_leaves] = leaf;
  group->least[group->n_leaves++] = least;
}

template <class T, int D>
NK_INLINE void scan_leaf(const Tree<T>& tree, std::int64_t leaf, unsigned, TiedGroup<T, D>* group) {
  const int n_axes = D > 0 ? D : tree.d;
  const T* at = tree.points + leaf * n_axes * kLanes;
  Pack<T> least = sq_dist_to<T, D>(at, 0, n_axes, *group);
  for (int i = 1; i < kLanes; ++i) least = smaller(sq_dist_to<T, D>(at, i, n_axes, *group), least);
  const unsigned mask = le_mask(least, group->best);
  if (mask == 0) return;
  if ((mask >> (kLanes - 1)) != 0) group->leaf = leaf;
  group->best = smaller(least, group->best);
  group->worst = group->best.largest();
  if (group->with_normals) remember<T, D>(leaf, least, group);
}

// Add what the points of a leaf that are as near as the nearest have along their normals.
template <class T, int D>
NK_INLINE void weigh_leaf(const Weighted<T>& to, std::int64_t leaf, TiedGroup<T, D>* group) {
  const T* at = to.tree.points + leaf * 3 * kLanes;
  const double* normals = to.leaf_normals + leaf * 3 * kLanes;
  for (int i = 0; i < kLanes; ++i) {
    for (unsigned mask = le_mask(sq_dist_to<T, D>(at, i, 3, *group), group->best); mask != 0; mask &= mask - 1) {
      const int lane = nativekit::lowest_bit(mask);
      double gap[3];
      double along = 0;
      for (int a = 0; a < 3; ++a) {
        gap[a] = static_cast<double>(group->query[a][lane]) - static_cast<double>(at[a * kLanes + i]);
        along += gap[a] * normals[a * kLanes + i];
      }
      group->total[lane] += along * along;
      group->count[lane] += 1;
      if (to.twins == nullptr) continue;
      for (std::int32_t twin = to.twins[to.tree.ids[leaf * kLanes + i]]; twin != kNoPoint; twin = to.twins[twin]) {
        const double* normal = to.normals + static_cast<std::int64_t>(twin) * 3;
        along = gap[0] * normal[0] + gap[1] * normal[1] + gap[2] * normal[2];
        group->total[lane] += along * along;
        group->count[lane] += 1;
      }
    }
  }
}

template <class T, int D>
void weigh_node(const Weighted<T>& to, int level, std::int64_t node, TiedGroup<T, D>* group) {
  const T* boxes = to.tree.boxes[level] + node * 2 * to.tree.d * kLanes;
  const std::int32_t* min_ids = to.tree.min_id[level] + node * kLanes;
  for (int i = 0; i < kLanes; ++i) {
    if (!helps<T, D>(boxes, i, min_ids[i], to.tree.d, *group)) continue;
    if (level == 1) {
      weigh_leaf<T, D>(to, node * kLanes + i, group);
    } else {
      weigh_node<T, D>(to, level - 1, node * kLanes + i, group);
    }
  }
}

template <class T, int D>
NK_INLINE void weigh(const Weighted<T>& to, TiedGroup<T, D>* group) {
  for (int i = 0; i < kLanes; ++i) group->total[i] = group->count[i] = 0;
  if (group->forgot) {
    weigh_node<T, D>(to, to.tree.n_levels, 0, group);
    return;
  }
  for (int k = 0; k < group->n_leaves; ++k) {
    if (le_mask(group->least[k], group->best) != 0) weigh_leaf<T, D>(to, group->leaves[k], group);
  }
}

// Lanes past the last point repeat it.
template <class T, int D>
NK_INLINE int load_leaf(const Tree<T>& from, std::int64_t leaf, TiedGroup<T, D>* group) {
  const int count = static_cast<int>(std::min<std::int64_t>(kLanes, from.n - leaf * kLanes));
  for (int a = 0; a < (D > 0 ? D : from.d); ++a) {
    const T* at = from.points + (leaf * from.d + a) * kLanes;
    for (int i = 0; i < kLanes; ++i) group->query[a][i] = at[std::min(i, count - 1)];
  }
  // `helps` takes an equally near box for one that may hold a lower id: every one does for the ties, else none.
  for (int i = 0; i < kLanes; ++i) group->id[i] = group->with_normals ? kNoPoint : -1;
  enclose<T, D>(from.d, group);
  group->n_leaves = 0;
  group->forgot = false;
  return count;
}

template <class T, int D>
NK_INLINE void search_tied_dim(const Weighted<T>& from, const Weighted<T>& to, std::int64_t begin, std::int64_t end,
                               Distortion* sums) {
  TiedGroup<T, D> group;
  group.leaf = -1;
  group.with_normals = to.leaf_normals != nullptr;
  for (std::int64_t leaf = begin; leaf < end; ++leaf) {
    nativekit::stop_if_asked();  // ties can make a leaf take long
    const int count = load_leaf<T, D>(from.tree, leaf, &group);
    search_group<T, D>(to.tree, &group);
    if (group.with_normals) weigh<T, D>(to, &group);
    alignas(64) T best[kLanes];
    group.best.store(best);
    for (int i = 0; i < count; ++i) {
      const double weight = from.counts == nullptr ? 1 : from.counts[from.tree.ids[leaf * kLanes + i]];
      const double sq_dist = static_cast<double>(best[i]);
      sums->sum_sq += weight * sq_dist;
      sums->max_sq = std::max(sums->max_sq, sq_dist);
      if (!group.with_normals) continue;
      const double plane = group.total[i] / group.count[i];
      sums->sum_plane += weight * plane;
      sums->max_plane = std::max(sums->max_plane, plane);
    }
  }
}

template <class T>
void search_tied(const Weighted<T>* from, const Weighted<T>* to, std::int64_t begin, std::int64_t end,
                 Distortion* sums) {
  switch (to->tree.d) {
    case 2:
      search_tied_dim<T, 2>(*from, *to, begin, end, sums);
      break;
    case 3:
      search_tied_dim<T, 3>(*from, *to, begin, end, sums);
      break;
    default:
      search_tied_dim<T, 0>(*from, *to, begin, end, sums);
  }
}

}  // namespace pointmetrics::NK_ISA

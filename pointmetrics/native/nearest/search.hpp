// Exact nearest neighbours in a tree. Included once per instruction set (isa/level.hpp). D is 2, 3 or 0 (any).
//
// A box's distance is computed like a point's, and rounding is monotone, so it never exceeds the
// computed distance of a point inside: pruning on it is exact in floating point, ties included.

#include "nearest/take_ids.hpp"

namespace pointmetrics::NK_ISA {

template <class T, int D>
NK_INLINE Pack<T> leaf_sq_dist(const T* leaf, const T* query, int d) {
  Pack<T> diff = Pack<T>::load(leaf) - Pack<T>::of(query[0]);
  Pack<T> sum = diff * diff;
  for (int a = 1; a < (D > 0 ? D : d); ++a) {
    diff = Pack<T>::load(leaf + a * kLanes) - Pack<T>::of(query[a]);
    sum = add_square(sum, diff);
  }
  return sum;
}

// Sixteen queries that lie next to each other on the curve and search together: whatever a branch
// costs is paid once for all of them. Lanes past the last query repeat it.
template <class T, int D>
struct Group {
  alignas(64) T query[(D > 0 ? D : kMaxDim)][kLanes];
  T lower[(D > 0 ? D : kMaxDim)];
  T upper[(D > 0 ? D : kMaxDim)];
  T centre[(D > 0 ? D : kMaxDim)];
  Pack<T> best;
  alignas(64) std::int32_t id[kLanes];
  std::int64_t leaf;  // where the last lane found its neighbour
  T worst;            // largest of best
};

template <class T, int D>
NK_INLINE void enclose(int d, Group<T, D>* group) {
  for (int a = 0; a < (D > 0 ? D : d); ++a) {
    T low = group->query[a][0];
    T high = low;
    for (int i = 1; i < kLanes; ++i) {
      low = std::min(low, group->query[a][i]);
      high = std::max(high, group->query[a][i]);
    }
    group->lower[a] = low;
    group->upper[a] = high;
    group->centre[a] = low + (high - low) / 2;
  }
  group->best = Pack<T>::of(std::numeric_limits<T>::infinity());
  group->worst = std::numeric_limits<T>::infinity();
}

template <class T, int D>
NK_INLINE void load_group(const T* points, const std::int64_t* rows, int d, Group<T, D>* group) {
  for (int i = 0; i < kLanes; ++i) {
    for (int a = 0; a < (D > 0 ? D : d); ++a) group->query[a][i] = points[rows[i] * d + a];
    group->id[i] = kNoPoint;
  }
  enclose<T, D>(d, group);
}

// The 16 points of a leaf against the 16 queries. The ids of a leaf ascend, so that the first of
// equally near points within it is the one to take.
template <class T, int D>
NK_INLINE void scan_leaf(const Tree<T>& tree, std::int64_t leaf, Group<T, D>* group) {
  const int n_axes = D > 0 ? D : tree.d;
  const T* at = tree.points + leaf * n_axes * kLanes;
  Pack<T> least = Pack<T>::of(std::numeric_limits<T>::infinity());
  Pack<T> slot = Pack<T>::of(0);
  for (int i = 0; i < kLanes; ++i) {
    Pack<T> diff = Pack<T>::load(group->query[0]) - Pack<T>::of(at[i]);
    Pack<T> sum = diff * diff;
    for (int a = 1; a < n_axes; ++a) {
      diff = Pack<T>::load(group->query[a]) - Pack<T>::of(at[a * kLanes + i]);
      sum = add_square(sum, diff);
    }
    slot = where_lt(sum, least, Pack<T>::of(static_cast<T>(i)), slot);
    least = smaller(sum, least);
  }
  if (le_mask(least, group->best) == 0) return;
  // The last lane's leaf is where the next group starts; a tie with another leaf does as well.
  if ((le_mask(least, group->best) >> (kLanes - 1)) != 0) group->leaf = leaf;
  take_ids(least, slot, group->best, tree.ids + leaf * kLanes, group->id);
  group->best = smaller(least, group->best);
  group->worst = group->best.largest();
}

template <class T>
struct Visit {
  T sq_dist;  // between the boxes
  T rank;     // between the child's box and the group's centre
  std::int32_t min_id;
  std::int32_t node;
  std::int32_t parent;
  int level;
};

// May the box `lane` of a node hold something better for any query?
template <class T, int D>
NK_INLINE bool helps(const T* boxes, int lane, std::int32_t min_id, int d, const Group<T, D>& group) {
  const int n_axes = D > 0 ? D : d;
  const Pack<T> zero = Pack<T>::of(0);
  Pack<T> sum = zero;
  for (int a = 0; a < n_axes; ++a) {
    const Pack<T> q = Pack<T>::load(group.query[a]);
    const Pack<T> low = Pack<T>::of(boxes[a * kLanes + lane]), high = Pack<T>::of(boxes[(n_axes + a) * kLanes + lane]);
    const Pack<T> gap = gap_between(low, high, q, q, zero);
    sum = a == 0 ? gap * gap : add_square(sum, gap);
  }
  unsigned mask = le_mask(sum, group.best);
  if (mask == 0) return false;
  if ((mask & ~le_mask(group.best, sum)) != 0) return true;
  // Nothing can be nearer; an equally near point of lower id might be there.
  for (; mask != 0; mask &= mask - 1) {
    if (min_id < group.id[nativekit::lowest_bit(mask)]) return true;
  }
  return false;
}

// The leaves of a node of level 1: first those that reach into the group's box, which make the bound
// that spares most of the others. `AnyGroup` is a Group or what extends it, with its own scan_leaf.
template <class T, int D, class AnyGroup>
NK_INLINE void scan_leaves(const Tree<T>& tree, std::int64_t node, std::int64_t known_leaf, AnyGroup* group) {
  const int n_axes = D > 0 ? D : tree.d;
  const T* boxes = tree.boxes[1] + node * 2 * n_axes * kLanes;
  const std::int32_t* min_ids = tree.min_id[1] + node * kLanes;
  const Pack<T> zero = Pack<T>::of(0);
  Pack<T> sum = zero;
  for (int a = 0; a < n_axes; ++a) {
    const Pack<T> low = Pack<T>::load(boxes + a * kLanes);
    const Pack<T> high = Pack<T>::load(boxes + (n_axes + a) * kLanes);
    sum = add_square(sum, gap_between(low, high, Pack<T>::of(group->lower[a]), Pack<T>::of(group->upper[a]), zero));
  }
  const unsigned inside = le_mask(sum, zero);
  const unsigned near = le_mask(sum, Pack<T>::of(group->worst));
  for (unsigned mask = inside; mask != 0; mask &= mask - 1) {
    const int i = nativekit::lowest_bit(mask);
    const std::int64_t leaf = node * kLanes + i;
    if (leaf != known_leaf && helps<T, D>(boxes, i, min_ids[i], n_axes, *group)) scan_leaf<T, D>(tree, leaf, group);
  }
  for (unsigned mask = near & ~inside & le_mask(sum, Pack<T>::of(group->worst)); mask != 0; mask &= mask - 1) {
    const int i = nativekit::lowest_bit(mask);
    const std::int64_t leaf = node * kLanes + i;
    if (leaf != known_leaf && helps<T, D>(boxes, i, min_ids[i], n_axes, *group)) scan_leaf<T, D>(tree, leaf, group);
  }
}

template <class T, int D>
NK_INLINE void push_children(const Tree<T>& tree, int level, std::int64_t node, const Group<T, D>& group,
                             Visit<T>* stack, int* top) {
  const int n_axes = D > 0 ? D : tree.d;
  const T* boxes = tree.boxes[level] + node * 2 * n_axes * kLanes;
  const Pack<T> zero = Pack<T>::of(0);
  Pack<T> sum = zero;
  Pack<T> rank = zero;
  for (int a = 0; a < n_axes; ++a) {
    const Pack<T> low = Pack<T>::load(boxes + a * kLanes);
    const Pack<T> high = Pack<T>::load(boxes + (n_axes + a) * kLanes);
    sum = add_square(sum, gap_between(low, high, Pack<T>::of(group.lower[a]), Pack<T>::of(group.upper[a]), zero));
    const Pack<T> centre = Pack<T>::of(group.centre[a]);
    rank = add_square(rank, gap_between(low, high, centre, centre, zero));
  }
  unsigned mask = le_mask(sum, Pack<T>::of(group.worst));
  alignas(64) T dist[kLanes];
  alignas(64) T ranks[kLanes];
  sum.store(dist);
  rank.store(ranks);
  const std::int32_t* min_ids = tree.min_id[level] + node * kLanes;
  const int bottom = *top;
  for (; mask != 0; mask &= mask - 1) {
    const int i = nativekit::lowest_bit(mask);
    // Nearest on top; at equal distance the lowest id, so that a pile of duplicates is left early.
    int at = (*top)++;
    for (; at > bottom &&
           (stack[at - 1].rank < ranks[i] || (stack[at - 1].rank == ranks[i] && stack[at - 1].min_id < min_ids[i]));
         --at) {
      stack[at] = stack[at - 1];
    }
    stack[at] = {
        dist[i],  ranks[i], min_ids[i], static_cast<std::int32_t>(node * kLanes + i), static_cast<std::int32_t>(node),
        level - 1};
  }
}

template <class T, int D, class AnyGroup>
NK_INLINE void search_group(const Tree<T>& tree, AnyGroup* group) {
  Visit<T> stack[kMaxLevels * kLanes + 1];
  int top = 0;
  const std::int64_t known_leaf = group->leaf;
  if (known_leaf >= 0) scan_leaf<T, D>(tree, known_leaf, group);
  if (tree.n_levels == 1) {
    scan_leaves<T, D>(tree, 0, known_leaf, group);
    return;
  }
  push_children<T, D>(tree, tree.n_levels, 0, *group, stack, &top);
  while (top > 0) {
    const Visit<T> visit = stack[--top];
    if (visit.sq_dist > group->worst) continue;
    const T* boxes = tree.boxes[visit.level + 1] + static_cast<std::int64_t>(visit.parent) * 2 * tree.d * kLanes;
    if (!helps<T, D>(boxes, visit.node % kLanes, visit.min_id, tree.d, *group)) continue;
    if (visit.level == 1) {
      scan_leaves<T, D>(tree, visit.node, known_leaf, group);
    } else {
      push_children<T, D>(tree, visit.level, visit.node, *group, stack, &top);
    }
  }
}

template <class T, int D>
NK_INLINE void search_tree(const Tree<T>& tree, const T* points, const std::int32_t* order, std::int64_t begin,
                           std::int64_t end, T* sq_dist, std::int32_t* nearest) {
  Group<T, D> group;
  group.leaf = -1;
  for (std::int64_t k = begin; k < end; k += kLanes) {
    const int count = static_cast<int>(std::min<std::int64_t>(kLanes, end - k));
    std::int64_t rows[kLanes];
    for (int i = 0; i < kLanes; ++i) {
      const std::int64_t at = k + std::min(i, count - 1);
      rows[i] = order == nullptr ? at : order[at];
    }
    if (order != nullptr) {
      for (int i = 0; i < kLanes; ++i) prefetch_row(points, order, k + kLanes + i, end, tree.d);
    }
    load_group<T, D>(points, rows, tree.d, &group);
    search_group<T, D>(tree, &group);
    alignas(64) T best[kLanes];
    group.best.store(best);
    for (int i = 0; i < count; ++i) {
      sq_dist[rows[i]] = best[i];
      nearest[rows[i]] = group.id[i];
    }
  }
}

// Every leaf against kTile queries at a time: the loads of a leaf are shared. Relies on T4 (slot =
// id), so that the lowest block and then the lowest slot is the lowest id.
template <class T, int D, int kTile>
NK_INLINE void scan_flat(const Tree<T>& tree, const T* points, const std::int64_t* rows, T* sq_dist,
                         std::int32_t* nearest) {
  const Pack<T> inf = Pack<T>::of(std::numeric_limits<T>::infinity());
  Pack<T> best[kTile];
  Pack<T> block[kTile];
  for (int t = 0; t < kTile; ++t) best[t] = block[t] = inf;
  for (std::int64_t leaf = 0; leaf < tree.level_size[0]; ++leaf) {
    const T* at = tree.points + leaf * tree.d * kLanes;
    const Pack<T> here = Pack<T>::of(static_cast<T>(leaf));
    for (int t = 0; t < kTile; ++t) {
      const Pack<T> dist = leaf_sq_dist<T, D>(at, points + rows[t] * tree.d, tree.d);
      block[t] = where_lt(dist, best[t], here, block[t]);
      best[t] = smaller(dist, best[t]);
    }
  }
  for (int t = 0; t < kTile; ++t) {
    alignas(64) T dist[kLanes];
    alignas(64) T blocks[kLanes];
    best[t].store(dist);
    block[t].store(blocks);
    T least = dist[0];
    for (int i = 1; i < kLanes; ++i) least = std::min(least, dist[i]);
    std::int64_t id = kNoPoint;
    for (int i = 0; i < kLanes; ++i) {
      if (dist[i] == least) id = std::min(id, static_cast<std::int64_t>(blocks[i]) * kLanes + i);
    }
    sq_dist[rows[t]] = least;
    nearest[rows[t]] = static_cast<std::int32_t>(id);
  }
}

template <class T, int D>
NK_INLINE void search_flat(const Tree<T>& tree, const T* points, const std::int32_t* order, std::int64_t begin,
                           std::int64_t end, T* sq_dist, std::int32_t* nearest) {
  constexpr int kTile = 4;
  std::int64_t k = begin;
  for (; k < end;) {
    std::int64_t rows[kTile];
    const int count = static_cast<int>(std::min<std::int64_t>(kTile, end - k));
    for (int t = 0; t < count; ++t) rows[t] = order == nullptr ? k + t : order[k + t];
    if (count == kTile) {
      scan_flat<T, D, kTile>(tree, points, rows, sq_dist, nearest);
    } else {
      for (int t = 0; t < count; ++t) scan_flat<T, D, 1>(tree, points, rows + t, sq_dist, nearest);
    }
    k += count;
  }
}

template <class T, int D>
void search_dim(const Tree<T>& tree, const T* points, const std::int32_t* order, std::int64_t begin, std::int64_t end,
                T* sq_dist, std::int32_t* nearest) {
  if (tree.n_levels == 0) {
    search_flat<T, D>(tree, points, order, begin, end, sq_dist, nearest);
  } else {
    search_tree<T, D>(tree, points, order, begin, end, sq_dist, nearest);
  }
}

template <class T>
void search(const Tree<T>* tree, const T* points, const std::int32_t* order, std::int64_t begin, std::int64_t end,
            T* sq_dist, std::int32_t* nearest) {
  switch (tree->d) {
    case 2:
      search_dim<T, 2>(*tree, points, order, begin, end, sq_dist, nearest);
      break;
    case 3:
      search_dim<T, 3>(*tree, points, order, begin, end, sq_dist, nearest);
      break;
    default:
      search_dim<T, 0>(*tree, points, order, begin, end, sq_dist, nearest);
  }
}

}  // namespace pointmetrics::NK_ISA

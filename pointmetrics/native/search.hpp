// Exact nearest neighbours in a tree. Included once per instruction set. D is 2, 3 or 0 (any).
//
// A box's distance is computed like a point's, and rounding is monotone, so it never exceeds the
// computed distance of a point inside: pruning on it is exact in floating point, ties included.

namespace pointmetrics {
namespace NK_ARCH {

template <class T>
struct Nearest {
  T sq_dist = std::numeric_limits<T>::infinity();
  std::int32_t id = kNoPoint;
  std::int64_t leaf = -1;
};

template <class T, int D>
NK_INLINE Pack<T> leaf_sq_dist(const T* leaf, const T* query, int d) {
  Pack<T> diff = Pack<T>::load(leaf) - Pack<T>::set(query[0]);
  Pack<T> sum = diff * diff;
  for (int a = 1; a < (D > 0 ? D : d); ++a) {
    diff = Pack<T>::load(leaf + a * kLanes) - Pack<T>::set(query[a]);
    sum = sum + diff * diff;
  }
  return sum;
}

template <class T, int D>
NK_INLINE Pack<T> box_sq_dist(const T* boxes, const T* query, int d) {
  const int n_axes = D > 0 ? D : d;
  const Pack<T> zero = Pack<T>::set(0);
  Pack<T> sum = zero;
  for (int a = 0; a < n_axes; ++a) {
    const Pack<T> q = Pack<T>::set(query[a]);
    const Pack<T> below = Pack<T>::load(boxes + a * kLanes) - q;
    const Pack<T> above = q - Pack<T>::load(boxes + (n_axes + a) * kLanes);
    const Pack<T> diff = max(max(below, above), zero);
    sum = a == 0 ? diff * diff : sum + diff * diff;
  }
  return sum;
}

NK_INLINE int lowest_bit(unsigned mask) {
#if defined(_MSC_VER)
  unsigned long at;
  _BitScanForward(&at, mask);
  return static_cast<int>(at);
#else
  return __builtin_ctz(mask);
#endif
}

template <class T, int D>
NK_INLINE void scan_leaf(const Tree<T>& tree, std::int64_t leaf, const T* query, Nearest<T>* best) {
  const Pack<T> sq_dist = leaf_sq_dist<T, D>(tree.points + leaf * tree.d * kLanes, query, tree.d);
  unsigned mask = le_mask(sq_dist, Pack<T>::set(best->sq_dist));
  if (mask == 0) return;
  alignas(64) T dist[kLanes];
  sq_dist.store(dist);
  const std::int32_t* ids = tree.ids + leaf * kLanes;
  for (; mask != 0; mask &= mask - 1) {
    const int i = lowest_bit(mask);
    if (dist[i] < best->sq_dist || (dist[i] == best->sq_dist && ids[i] < best->id)) {
      *best = {dist[i], ids[i], leaf};
    }
  }
}

template <class T>
struct Visit {
  T sq_dist;
  std::int32_t min_id;
  std::int64_t node;
  int level;
};

template <class T, int D>
NK_INLINE void search_one(const Tree<T>& tree, const T* query, Nearest<T>* best) {
  Visit<T> stack[kMaxLevels * kLanes + 1];
  int top = 0;
  const std::int64_t known_leaf = best->leaf;
  stack[top++] = {0, 0, 0, tree.n_levels};
  while (top > 0) {
    const Visit<T> visit = stack[--top];
    if (visit.sq_dist > best->sq_dist ||
        (visit.sq_dist == best->sq_dist && visit.min_id > best->id)) {
      continue;
    }
    if (visit.level == 0) {
      if (visit.node != known_leaf) scan_leaf<T, D>(tree, visit.node, query, best);
      continue;
    }
    const T* boxes = tree.boxes[visit.level] + visit.node * 2 * tree.d * kLanes;
    const Pack<T> sq_dist = box_sq_dist<T, D>(boxes, query, tree.d);
    unsigned mask = le_mask(sq_dist, Pack<T>::set(best->sq_dist));
    alignas(64) T dist[kLanes];
    sq_dist.store(dist);
    const std::int32_t* min_ids = tree.min_id[visit.level] + visit.node * kLanes;
    const int bottom = top;
    for (; mask != 0; mask &= mask - 1) {
      const int i = lowest_bit(mask);
      // Nearest on top; at equal distance the lowest id, so that a pile of duplicates is left early.
      int at = top++;
      for (; at > bottom && (stack[at - 1].sq_dist < dist[i] ||
                             (stack[at - 1].sq_dist == dist[i] && stack[at - 1].min_id < min_ids[i]));
           --at) {
        stack[at] = stack[at - 1];
      }
      stack[at] = {dist[i], min_ids[i], visit.node * kLanes + i, visit.level - 1};
    }
  }
}

template <class T, int D>
NK_INLINE void search_tree(const Tree<T>& tree, const T* points, const std::int32_t* order,
                           std::int64_t begin, std::int64_t end, T* sq_dist, std::int32_t* nearest) {
  Nearest<T> best;
  for (std::int64_t k = begin; k < end; ++k) {
    const std::int64_t i = order == nullptr ? k : order[k];
    const T* query = points + i * tree.d;
    const std::int64_t leaf = best.leaf;
    best = Nearest<T>{};
    if (leaf >= 0) scan_leaf<T, D>(tree, leaf, query, &best);
    search_one<T, D>(tree, query, &best);
    sq_dist[i] = best.sq_dist;
    nearest[i] = best.id;
  }
}

// Every leaf against kTile queries at a time: the loads of a leaf are shared. Relies on T4 (slot =
// id), so that the lowest block and then the lowest slot is the lowest id.
template <class T, int D, int kTile>
NK_INLINE void scan_flat(const Tree<T>& tree, const T* points, const std::int64_t* rows, T* sq_dist,
                         std::int32_t* nearest) {
  const Pack<T> inf = Pack<T>::set(std::numeric_limits<T>::infinity());
  Pack<T> best[kTile];
  Pack<T> block[kTile];
  for (int t = 0; t < kTile; ++t) best[t] = block[t] = inf;
  for (std::int64_t leaf = 0; leaf < tree.level_size[0]; ++leaf) {
    const T* at = tree.points + leaf * tree.d * kLanes;
    const Pack<T> here = Pack<T>::set(static_cast<T>(leaf));
    for (int t = 0; t < kTile; ++t) {
      const Pack<T> dist = leaf_sq_dist<T, D>(at, points + rows[t] * tree.d, tree.d);
      block[t] = where_lt(dist, best[t], here, block[t]);
      best[t] = min(dist, best[t]);
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
NK_INLINE void search_flat(const Tree<T>& tree, const T* points, const std::int32_t* order,
                           std::int64_t begin, std::int64_t end, T* sq_dist, std::int32_t* nearest) {
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
void search_dim(const Tree<T>& tree, const T* points, const std::int32_t* order, std::int64_t begin,
                std::int64_t end, T* sq_dist, std::int32_t* nearest) {
  if (tree.n_levels == 0) {
    search_flat<T, D>(tree, points, order, begin, end, sq_dist, nearest);
  } else {
    search_tree<T, D>(tree, points, order, begin, end, sq_dist, nearest);
  }
}

template <class T>
void search(const Tree<T>* tree, const T* points, const std::int32_t* order, std::int64_t begin,
            std::int64_t end, T* sq_dist, std::int32_t* nearest) {
  switch (tree->d) {
    case 2: search_dim<T, 2>(*tree, points, order, begin, end, sq_dist, nearest); break;
    case 3: search_dim<T, 3>(*tree, points, order, begin, end, sq_dist, nearest); break;
    default: search_dim<T, 0>(*tree, points, order, begin, end, sq_dist, nearest);
  }
}

}  // namespace NK_ARCH
}  // namespace pointmetrics

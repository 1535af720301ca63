// Fill a laid-out tree from points. Included once per instruction set (isa/level.hpp).

namespace pointmetrics::NK_ISA {

// Put up to 16 distinct ids in rising order by counting the lower ones of each: no branch to mispredict,
// and no harm where both arrays are one.
NK_INLINE void sort_ids(const std::int32_t* from, int count, std::int32_t* to) {
  alignas(64) std::int32_t ids[kLanes];
  alignas(64) std::int32_t rank[kLanes] = {};
  for (int i = 0; i < kLanes; ++i) ids[i] = i < count ? from[i] : kNoPoint;
  for (int j = 0; j < kLanes; ++j) {
    for (int i = 0; i < kLanes; ++i) rank[i] += ids[j] < ids[i] ? 1 : 0;
  }
  for (int i = 0; i < count; ++i) to[rank[i]] = ids[i];
}

template <class T>
void fill_leaves(const T* points, const std::int32_t* order, std::int64_t begin, std::int64_t end,
                 const Tree<T>* tree) {
  constexpr T kInf = std::numeric_limits<T>::infinity();
  const int d = tree->d;
  for (std::int64_t leaf = begin; leaf < end; ++leaf) {
    const std::int64_t first = leaf * kLanes;
    const int count = static_cast<int>(std::min<std::int64_t>(kLanes, tree->n - first));
    T* out = tree->points + leaf * d * kLanes;
    std::int32_t* ids = tree->ids + first;
    if (order != nullptr) {
      for (int i = 0; i < kLanes; ++i) prefetch_row(points, order, first + 4 * kLanes + i, tree->n, d);
    }
    if (order == nullptr) {
      for (int i = 0; i < count; ++i) ids[i] = static_cast<std::int32_t>(first + i);
    } else {
      sort_ids(order + first, count, ids);
    }
    for (int i = 0; i < count; ++i) {
      for (int a = 0; a < d; ++a) out[a * kLanes + i] = points[static_cast<std::int64_t>(ids[i]) * d + a];
    }
    if (tree->n_levels > 0) {
      T* box = tree->boxes[1] + leaf / kLanes * 2 * d * kLanes + leaf % kLanes;
      for (int a = 0; a < d; ++a) {
        T low = out[a * kLanes];
        T high = low;
        for (int i = 1; i < count; ++i) {
          low = std::min(low, out[a * kLanes + i]);
          high = std::max(high, out[a * kLanes + i]);
        }
        box[a * kLanes] = low;
        box[(d + a) * kLanes] = high;
      }
      tree->min_id[1][leaf] = ids[0];
    }
    for (int i = count; i < kLanes; ++i) {
      ids[i] = kNoPoint;
      for (int a = 0; a < d; ++a) out[a * kLanes + i] = kInf;
    }
  }
}

// Boxes of every level above the leaves' own, and the padding of all levels (T1).
template <class T>
void fill_levels(const Tree<T>* tree) {
  constexpr T kInf = std::numeric_limits<T>::infinity();
  const int d = tree->d;
  for (int level = 1; level <= tree->n_levels; ++level) {
    const std::int64_t n_children = tree->level_size[level - 1];
    for (std::int64_t child = n_children; child < tree->level_size[level] * kLanes; ++child) {
      T* box = tree->boxes[level] + child / kLanes * 2 * d * kLanes + child % kLanes;
      for (int a = 0; a < 2 * d; ++a) box[a * kLanes] = kInf;
      tree->min_id[level][child] = kNoPoint;
    }
    if (level == tree->n_levels) break;
    for (std::int64_t node = 0; node < tree->level_size[level]; ++node) {
      const int count = static_cast<int>(std::min<std::int64_t>(kLanes, n_children - node * kLanes));
      const T* from = tree->boxes[level] + node * 2 * d * kLanes;
      T* to = tree->boxes[level + 1] + node / kLanes * 2 * d * kLanes + node % kLanes;
      for (int a = 0; a < d; ++a) {
        to[a * kLanes] = *std::min_element(from + a * kLanes, from + a * kLanes + count);
        to[(d + a) * kLanes] = *std::max_element(from + (d + a) * kLanes, from + (d + a) * kLanes + count);
      }
      const std::int32_t* ids = tree->min_id[level] + node * kLanes;
      tree->min_id[level + 1][node] = *std::min_element(ids, ids + count);
    }
  }
}

}  // namespace pointmetrics::NK_ISA

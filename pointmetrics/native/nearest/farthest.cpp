#include <algorithm>
#include <atomic>
#include <cstdint>
#include <limits>
#include <vector>

#include "nativekit/parallel.hpp"
#include "nativekit/simd.hpp"
#include "nearest/boxed.hpp"
#include "nearest/sampling.hpp"
#include "status.hpp"

namespace pointmetrics {
namespace {

// Distances to the points chosen so far, and up the tree the largest below each child with the lowest id that
// has it. A new point changes nothing in a box that is no nearer to it than that largest: rounding is monotone,
// so a box is never further away than a point in it. Chosen points and padding hold -1.
template <class T>
class Farthest {
 public:
  Farthest(const T* points, std::int64_t n, int d) : boxed_(points, n, d), tree_(boxed_.tree()), points_(points) {
    slot_.resize(static_cast<std::size_t>(n));
    for (int level = 0; level <= tree_.n_levels; ++level) {
      const auto size = static_cast<std::size_t>(tree_.level_size[level]) * kLanes;
      most_[level].assign(size, T{-1});
      if (level > 0) ids_[level].assign(size, kNoPoint);
    }
    for (std::int64_t s = 0; s < tree_.level_size[0] * kLanes; ++s) {
      const auto at = static_cast<std::size_t>(s);
      if (tree_.ids[s] == kNoPoint) continue;
      slot_[static_cast<std::size_t>(tree_.ids[s])] = static_cast<std::int32_t>(s);
      most_[0][at] = std::numeric_limits<T>::infinity();
    }
    for (int level = 0; level < tree_.n_levels; ++level) {
      for (std::int64_t node = 0; node < tree_.level_size[level]; ++node) summarise(level, node);
    }
  }

  // Take a point out of the running and come nearer to it.
  void choose(std::int64_t point) {
    std::int64_t at = slot_[static_cast<std::size_t>(point)];
    most_[0][static_cast<std::size_t>(at)] = -1;
    for (int level = 0; level < tree_.n_levels; ++level) summarise(level, at /= kLanes);
    approach(tree_.n_levels, 0, points_ + point * tree_.d);
  }

  std::int64_t best() const {
    const std::vector<T>& most = most_[tree_.n_levels];
    const std::vector<std::int32_t>& ids = ids_[tree_.n_levels];
    int at = 0;
    for (int i = 1; i < kLanes; ++i) {
      const auto lane = static_cast<std::size_t>(i), old = static_cast<std::size_t>(at);
      if (most[lane] > most[old] || (most[lane] == most[old] && ids[lane] < ids[old])) at = i;
    }
    return ids[static_cast<std::size_t>(at)];
  }

 private:
  // Tell the level above the largest of a node's children, and its lowest id.
  void summarise(int level, std::int64_t node) {
    const T* most = most_[level].data() + node * kLanes;
    const std::int32_t* ids = (level == 0 ? tree_.ids : ids_[level].data()) + node * kLanes;
    T best = most[0];
    for (int i = 1; i < kLanes; ++i) best = std::max(best, most[i]);
    std::int32_t id = kNoPoint;
    for (int i = 0; i < kLanes; ++i) id = std::min(id, most[i] == best ? ids[i] : kNoPoint);
    most_[level + 1][static_cast<std::size_t>(node)] = best;
    ids_[level + 1][static_cast<std::size_t>(node)] = id;
  }

  void approach(int level, std::int64_t node, const T* q) {
    const int d = tree_.d;
    const T* box = tree_.boxes[level] + node * 2 * d * kLanes;
    T sq[kLanes] = {};
    for (int a = 0; a < d; ++a) {
      for (int i = 0; i < kLanes; ++i) {
        const T gap = std::max(std::max(box[a * kLanes + i] - q[a], q[a] - box[(d + a) * kLanes + i]), T{0});
        sq[i] += gap * gap;
      }
    }
    const T* most = most_[level].data() + node * kLanes;
    for (int i = 0; i < kLanes; ++i) {
      if (!(sq[i] < most[i])) continue;
      const std::int64_t child = node * kLanes + i;
      if (level == 1) {
        approach_points(child, q);
      } else {
        approach(level - 1, child, q);
      }
      summarise(level - 1, child);
    }
  }

  void approach_points(std::int64_t leaf, const T* q) {
    const int d = tree_.d;
    const T* at = tree_.points + leaf * d * kLanes;
    T sq[kLanes] = {};
    for (int a = 0; a < d; ++a) {
      for (int i = 0; i < kLanes; ++i) {
        const T gap = at[a * kLanes + i] - q[a];
        sq[i] += gap * gap;
      }
    }
    T* most = most_[0].data() + leaf * kLanes;
    for (int i = 0; i < kLanes; ++i) most[i] = std::min(most[i], sq[i]);
  }

  Boxed<T> boxed_;
  const Tree<T>& tree_;
  const T* points_;
  std::vector<T> most_[kMaxLevels + 1];
  std::vector<std::int32_t> ids_[kMaxLevels + 1];
  std::vector<std::int32_t> slot_;
};

}  // namespace

template <class T>
int farthest(const FarthestJob<T>& job) {
  return guarded([&] {
    std::atomic<bool> failed{false};
    nativekit::parallel_for(job.n_clouds, job.n_threads, [&](std::int64_t i) {
      try {
        const std::int64_t n = job.offsets[i + 1] - job.offsets[i];
        Farthest<T> cloud(job.points + job.offsets[i] * job.d, n, job.d);
        std::int64_t* chosen = job.chosen + i * job.k;
        chosen[0] = job.start;
        for (std::int64_t k = 1; k < job.k; ++k) {
          nativekit::stop_if_asked();
          cloud.choose(chosen[k - 1]);
          chosen[k] = cloud.best();
        }
      } catch (const std::bad_alloc&) {
        failed = true;
      }
    });
    return failed ? kOutOfMemory : kOk;
  });
}

template int farthest(const FarthestJob<float>&);
template int farthest(const FarthestJob<double>&);

}  // namespace pointmetrics

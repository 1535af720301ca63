#include <algorithm>
#include <cstdint>
#include <vector>

#include "nativekit/parallel.hpp"
#include "nearest/boxed.hpp"
#include "nearest/sampling.hpp"
#include "status.hpp"

namespace pointmetrics {
namespace {

// One ball: counts, and where `ids` is not nullptr collects, the points in it.
template <class T>
struct Ball {
  const T* centre;
  double sq_radius;
  std::int64_t count;
  std::int64_t* ids;
};

template <class T>
void take_points(const Tree<T>& tree, std::int64_t leaf, Ball<T>* ball) {
  const T* at = tree.points + leaf * tree.d * kLanes;
  T sq[kLanes] = {};
  for (int a = 0; a < tree.d; ++a) {
    for (int i = 0; i < kLanes; ++i) {
      const T gap = at[a * kLanes + i] - ball->centre[a];
      sq[i] += gap * gap;
    }
  }
  for (int i = 0; i < kLanes; ++i) {
    if (!(static_cast<double>(sq[i]) <= ball->sq_radius)) continue;
    if (ball->ids != nullptr) ball->ids[ball->count] = tree.ids[leaf * kLanes + i];
    ++ball->count;
  }
}

// Rounding is monotone: a box is never further away than a point in it. Padding lies at infinity.
template <class T>
void search(const Tree<T>& tree, int level, std::int64_t node, Ball<T>* ball) {
  const int d = tree.d;
  const T* box = tree.boxes[level] + node * 2 * d * kLanes;
  T sq[kLanes] = {};
  for (int a = 0; a < d; ++a) {
    const T q = ball->centre[a];
    for (int i = 0; i < kLanes; ++i) {
      const T gap = std::max(std::max(box[a * kLanes + i] - q, q - box[(d + a) * kLanes + i]), T{0});
      sq[i] += gap * gap;
    }
  }
  for (int i = 0; i < kLanes; ++i) {
    if (!(static_cast<double>(sq[i]) <= ball->sq_radius)) continue;
    if (level == 1) {
      take_points(tree, node * kLanes + i, ball);
    } else {
      search(tree, level - 1, node * kLanes + i, ball);
    }
  }
}

}  // namespace

template <class T>
int balls(const BallJob<T>& job) {
  return guarded([&] {
    const Boxed<T> boxed(job.points, job.n, job.d);
    const Tree<T>& tree = boxed.tree();
    std::vector<std::int32_t> order(static_cast<std::size_t>(job.n_centres));
    std::vector<std::uint64_t> scratch(2 * static_cast<std::size_t>(job.n_centres));
    kernels<T>().curve_order(job.centres, job.n_centres, job.d, order.data(), scratch.data());
    constexpr std::int64_t kPerTask = 64;
    nativekit::parallel_for((job.n_centres + kPerTask - 1) / kPerTask, job.n_threads, [&](std::int64_t task) {
      const std::int64_t last = std::min(job.n_centres, (task + 1) * kPerTask);
      for (std::int64_t k = task * kPerTask; k < last; ++k) {
        nativekit::stop_if_asked();
        const std::int64_t i = order[static_cast<std::size_t>(k)];
        std::int64_t* ids = job.ids == nullptr ? nullptr : job.ids + job.offsets[i];
        Ball<T> ball{job.centres + i * job.d, job.sq_radii[i], 0, ids};
        search(tree, tree.n_levels, 0, &ball);
        if (ids == nullptr) {
          job.counts[i] = ball.count;
        } else {
          std::sort(ids, ids + ball.count);
        }
      }
    });
    return kOk;
  });
}

template int balls(const BallJob<float>&);
template int balls(const BallJob<double>&);

}  // namespace pointmetrics

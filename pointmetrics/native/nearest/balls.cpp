#include <algorithm>
#include <cstdint>
#include <vector>

#include "nativekit/parallel.hpp"
#include "nearest/boxed.hpp"
#include "nearest/sampling.hpp"
#include "status.hpp"

namespace pointmetrics {
namespace {

template <class T>
struct Ball {
  const T* centre;
  double sq_radius;
};

// Call take(slot) for every point of a leaf that is in the ball.
template <class T, class Take>
void search_points(const Tree<T>& tree, std::int64_t leaf, const Ball<T>& ball, const Take& take) {
  const T* at = tree.points + leaf * tree.d * kLanes;
  T sq[kLanes] = {};
  for (int a = 0; a < tree.d; ++a) {
    for (int i = 0; i < kLanes; ++i) {
      const T gap = at[a * kLanes + i] - ball.centre[a];
      sq[i] += gap * gap;
    }
  }
  for (int i = 0; i < kLanes; ++i) {
    if (static_cast<double>(sq[i]) <= ball.sq_radius) take(leaf * kLanes + i);
  }
}

// Rounding is monotone: a box is never further away than a point in it. Padding lies at infinity.
template <class T, class Take>
void search(const Tree<T>& tree, int level, std::int64_t node, const Ball<T>& ball, const Take& take) {
  const int d = tree.d;
  const T* box = tree.boxes[level] + node * 2 * d * kLanes;
  T sq[kLanes] = {};
  for (int a = 0; a < d; ++a) {
    const T q = ball.centre[a];
    for (int i = 0; i < kLanes; ++i) {
      const T gap = std::max(std::max(box[a * kLanes + i] - q, q - box[(d + a) * kLanes + i]), T{0});
      sq[i] += gap * gap;
    }
  }
  for (int i = 0; i < kLanes; ++i) {
    if (!(static_cast<double>(sq[i]) <= ball.sq_radius)) continue;
    if (level == 1) {
      search_points(tree, node * kLanes + i, ball, take);
    } else {
      search(tree, level - 1, node * kLanes + i, ball, take);
    }
  }
}

// Call each(tree, i) for every centre, neighbours in space one after another.
template <class T, class Each>
int for_centres(const T* points, std::int64_t n, const T* centres, std::int64_t n_centres, int d, int n_threads,
                const Each& each) {
  return guarded([&] {
    const Boxed<T> boxed(points, n, d);
    std::vector<std::int32_t> order(static_cast<std::size_t>(n_centres));
    std::vector<std::uint64_t> scratch(2 * static_cast<std::size_t>(n_centres));
    kernels<T>().curve_order(centres, n_centres, d, order.data(), scratch.data());
    constexpr std::int64_t kPerTask = 64;
    nativekit::parallel_for((n_centres + kPerTask - 1) / kPerTask, n_threads, [&](std::int64_t task) {
      const std::int64_t last = std::min(n_centres, (task + 1) * kPerTask);
      for (std::int64_t k = task * kPerTask; k < last; ++k) {
        nativekit::stop_if_asked();
        each(boxed.tree(), std::int64_t{order[static_cast<std::size_t>(k)]});
      }
    });
    return kOk;
  });
}

}  // namespace

template <class T>
int balls(const BallJob<T>& job) {
  return for_centres(job.points, job.n, job.centres, job.n_centres, job.d, job.n_threads,
                     [&](const Tree<T>& tree, std::int64_t i) {
                       const Ball<T> ball{job.centres + i * job.d, job.sq_radii[i]};
                       std::int64_t count = 0;
                       if (job.ids == nullptr) {
                         search(tree, tree.n_levels, 0, ball, [&](std::int64_t) { ++count; });
                         job.counts[i] = count;
                         return;
                       }
                       std::int64_t* ids = job.ids + job.offsets[i];
                       search(tree, tree.n_levels, 0, ball, [&](std::int64_t slot) { ids[count++] = tree.ids[slot]; });
                       std::sort(ids, ids + count);
                     });
}

int ball_moments(const MomentJob& job) {
  return for_centres(
      job.points, job.n, job.centres, job.n_centres, 3, job.n_threads, [&](const Tree<double>& tree, std::int64_t i) {
        const double* centre = job.centres + 3 * i;
        std::int64_t count = 0;
        double sums[9] = {};
        search(tree, tree.n_levels, 0, Ball<double>{centre, job.radius * job.radius}, [&](std::int64_t slot) {
          const double* at = tree.points + slot / kLanes * 3 * kLanes + slot % kLanes;
          const double x = at[0] - centre[0], y = at[kLanes] - centre[1], z = at[2 * kLanes] - centre[2];
          const double terms[9] = {x, y, z, x * x, x * y, x * z, y * y, y * z, z * z};
          for (int k = 0; k < 9; ++k) sums[k] += terms[k];
          ++count;
        });
        job.counts[i] = count;
        std::copy(sums, sums + 9, job.sums + 9 * i);
      });
}

template int balls(const BallJob<float>&);
template int balls(const BallJob<double>&);

}  // namespace pointmetrics

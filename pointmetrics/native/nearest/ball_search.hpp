// The points of a cloud within balls.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "nativekit/parallel.hpp"
#include "nearest/boxed.hpp"
#include "status.hpp"

namespace pointmetrics {

template <class T>
struct Ball {
  const T* centre;
  double sq_radius;
};

// Call take(slot) for every point of a leaf that is in the ball.
template <class T, class Take>
void search_ball_points(const Tree<T>& tree, std::int64_t leaf, const Ball<T>& ball, const Take& take) {
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
void search_ball(const Tree<T>& tree, int level, std::int64_t node, const Ball<T>& ball, const Take& take) {
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
      search_ball_points(tree, node * kLanes + i, ball, take);
    } else {
      search_ball(tree, level - 1, node * kLanes + i, ball, take);
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

}  // namespace pointmetrics

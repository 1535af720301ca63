#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "nativekit/parallel.hpp"
#include "nearest/boxed.hpp"
#include "nearest/sampling.hpp"
#include "status.hpp"

namespace pointmetrics {
namespace {

// One cylinder, and the running mean of what was found in it.
struct Cylinder {
  const double* core;
  const double* axis;
  double radius;
  double half_length;
  std::int64_t count = 0;
  double mean = 0;
  double sq_dev = 0;

  void take(double along) {
    ++count;
    const double step = along - mean;
    mean += step / static_cast<double>(count);
    sq_dev += step * (along - mean);
  }
};

void take_points(const Tree<double>& tree, std::int64_t leaf, Cylinder* within) {
  const double* at = tree.points + leaf * 3 * kLanes;
  double along[kLanes], off[kLanes];
  for (int i = 0; i < kLanes; ++i) {
    double flow[3], t = 0, sq = 0;
    for (int a = 0; a < 3; ++a) {
      flow[a] = at[a * kLanes + i] - within->core[a];
      t += flow[a] * within->axis[a];
    }
    for (int a = 0; a < 3; ++a) {
      const double gap = flow[a] - t * within->axis[a];
      sq += gap * gap;
    }
    along[i] = t;
    off[i] = sq;
  }
  // Padding is NaN here, and passes no comparison.
  for (int i = 0; i < kLanes; ++i) {
    if (off[i] <= within->radius * within->radius && std::abs(along[i]) <= within->half_length) within->take(along[i]);
  }
}

void search(const Tree<double>& tree, int level, std::int64_t node, Cylinder* within) {
  const double* box = tree.boxes[level] + node * 6 * kLanes;
  bool meets[kLanes];
  for (int i = 0; i < kLanes; ++i) {
    double flow[3], half_sq = 0, size = 0, t = 0, reach = 0, sq = 0;
    for (int a = 0; a < 3; ++a) {
      const double low = box[a * kLanes + i], half = (box[(3 + a) * kLanes + i] - low) / 2;
      flow[a] = low + half - within->core[a];
      half_sq += half * half;
      t += flow[a] * within->axis[a];
      reach += half * std::abs(within->axis[a]);
      size += std::abs(flow[a]) + half;
    }
    for (int a = 0; a < 3; ++a) {
      const double gap = flow[a] - t * within->axis[a];
      sq += gap * gap;
    }
    // Slack for rounding. Padding is NaN, and meets nothing.
    const double slack = 1e-12 * size, wide = within->radius + std::sqrt(half_sq) + slack;
    meets[i] = sq <= wide * wide && std::abs(t) - reach <= within->half_length + slack;
  }
  for (int i = 0; i < kLanes; ++i) {
    if (!meets[i]) continue;
    if (level == 1) {
      take_points(tree, node * kLanes + i, within);
    } else {
      search(tree, level - 1, node * kLanes + i, within);
    }
  }
}

}  // namespace

int cylinders(const CylinderJob& job) {
  return guarded([&] {
    const Boxed<double> boxed(job.points, job.n, 3);
    const Tree<double>& tree = boxed.tree();
    std::vector<std::int32_t> order(static_cast<std::size_t>(job.n_cores));
    std::vector<std::uint64_t> scratch(2 * static_cast<std::size_t>(job.n_cores));
    kernels<double>().curve_order(job.cores, job.n_cores, 3, order.data(), scratch.data());
    constexpr std::int64_t kPerTask = 64;
    nativekit::parallel_for((job.n_cores + kPerTask - 1) / kPerTask, job.n_threads, [&](std::int64_t task) {
      const std::int64_t last = std::min(job.n_cores, (task + 1) * kPerTask);
      for (std::int64_t k = task * kPerTask; k < last; ++k) {
        nativekit::stop_if_asked();
        const std::int64_t i = order[static_cast<std::size_t>(k)];
        Cylinder within{job.cores + 3 * i, job.axes + 3 * i, job.radius, job.half_length};
        search(tree, tree.n_levels, 0, &within);
        job.count[i] = within.count;
        job.mean[i] = within.mean;
        job.sq_dev[i] = within.sq_dev;
      }
    });
    return kOk;
  });
}

}  // namespace pointmetrics

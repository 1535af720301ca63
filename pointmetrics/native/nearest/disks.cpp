#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <limits>
#include <new>
#include <vector>

#include "nearest/ball_search.hpp"
#include "nearest/sampling.hpp"
#include "shared/distance.hpp"

namespace pointmetrics {
namespace {

template <class T>
class Disk {
 public:
  Disk(const DiskJob<T>& job, const Tree<T>& tree, std::int64_t seed)
      : job_(job), seed_(seed), middle_(job.points + job.seeds[seed] * 3) {
    const double widest = *std::max_element(job.radii, job.radii + job.n_radii);
    search_ball(tree, tree.n_levels, 0, Ball<T>{middle_, widest * widest},
                [&](std::int64_t slot) { all_.push_back(tree.ids[slot]); });
    std::sort(all_.begin(), all_.end());
  }

  void measure(int at) {
    sq_radius_ = job_.radii[at] * job_.radii[at];
    inside_.clear();
    for (const std::int64_t point : all_) {
      if (holds(point)) inside_.push_back(point);
    }
    const std::int64_t disk = seed_ * job_.n_radii + at;
    const auto count = static_cast<std::int64_t>(inside_.size());
    job_.counts[disk] = count;
    const double expected = std::sqrt(job_.ideal * sq_radius_ / static_cast<double>(count));
    double clutter = 0;
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t point = inside_[static_cast<std::size_t>(i)];
      const std::int64_t nearest = count < 2 ? point : nearest_of(point);
      const double distance = std::sqrt(sq_dist(point, nearest));
      clutter += (distance - expected) * (distance - expected) / expected;
      if (job_.offsets == nullptr) continue;
      const std::int64_t to = job_.offsets[disk] + i;
      job_.ids[to] = point;
      job_.nearest[to] = nearest;
      job_.distances[to] = distance;
    }
    job_.clutter[disk] = clutter;
  }

 private:
  // As the search has it: in T.
  bool holds(std::int64_t point) const {
    return static_cast<double>(sq_distance<T>(job_.points + point * 3, 1, middle_, 1, 3)) <= sq_radius_;
  }

  double sq_dist(std::int64_t a, std::int64_t b) const {
    return sq_distance<double>(job_.points + a * 3, 1, job_.points + b * 3, 1, 3);
  }

  // Mostly that of the cloud, or the next; where none of the few known is inside, all of the disk is gone through.
  std::int64_t nearest_of(std::int64_t point) const {
    const std::int64_t* known = job_.near + point * job_.n_near;
    for (int k = 0; k < job_.n_near; ++k) {
      if (known[k] != point && holds(known[k])) return known[k];
    }
    std::int64_t best = point;
    double least = std::numeric_limits<double>::infinity();
    for (const std::int64_t other : inside_) {
      const double sq = other == point ? least : sq_dist(point, other);
      if (sq < least) {
        least = sq;
        best = other;
      }
    }
    return best;
  }

  const DiskJob<T>& job_;
  std::int64_t seed_;
  const T* middle_;
  double sq_radius_ = 0;
  std::vector<std::int64_t> all_;
  std::vector<std::int64_t> inside_;
};

}  // namespace

template <class T>
int disks(const DiskJob<T>& job) {
  return guarded([&] {
    const Boxed<T> boxed(job.points, job.n, 3);
    std::atomic<bool> failed{false};
    nativekit::parallel_for(job.n_seeds, job.n_threads, [&](std::int64_t seed) {
      nativekit::stop_if_asked();
      try {
        Disk<T> disk(job, boxed.tree(), seed);
        for (int at = 0; at < job.n_radii; ++at) disk.measure(at);
      } catch (const std::bad_alloc&) {
        failed = true;
      }
    });
    return failed ? kOutOfMemory : kOk;
  });
}

template int disks(const DiskJob<float>&);
template int disks(const DiskJob<double>&);

}  // namespace pointmetrics

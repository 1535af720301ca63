#include <algorithm>
#include <cstdint>

#include "nearest/ball_search.hpp"
#include "nearest/sampling.hpp"

namespace pointmetrics {

template <class T>
int balls(const BallJob<T>& job) {
  return for_centres(
      job.points, job.n, job.centres, job.n_centres, job.d, job.n_threads, [&](const Tree<T>& tree, std::int64_t i) {
        const Ball<T> ball{job.centres + i * job.d, job.sq_radii[i]};
        std::int64_t count = 0;
        if (job.ids == nullptr) {
          search_ball(tree, tree.n_levels, 0, ball, [&](std::int64_t) { ++count; });
          job.counts[i] = count;
          return;
        }
        std::int64_t* ids = job.ids + job.offsets[i];
        search_ball(tree, tree.n_levels, 0, ball, [&](std::int64_t slot) { ids[count++] = tree.ids[slot]; });
        std::sort(ids, ids + count);
      });
}

int ball_moments(const MomentJob& job) {
  return for_centres(
      job.points, job.n, job.centres, job.n_centres, 3, job.n_threads, [&](const Tree<double>& tree, std::int64_t i) {
        const double* centre = job.centres + 3 * i;
        std::int64_t count = 0;
        double sums[9] = {};
        search_ball(tree, tree.n_levels, 0, Ball<double>{centre, job.radius * job.radius}, [&](std::int64_t slot) {
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

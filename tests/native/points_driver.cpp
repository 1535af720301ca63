// The point core without Python, for sanitizers: neighbours, errors, samples, balls, disks, cylinders, pairwise sums,
// meshes and both earth mover's solvers in both precisions, on clouds with ties, duplicates and extreme sizes, in
// exact-sized heap arrays so that a step outside one is seen. Every result is checked against brute force or its own
// certificate, and every thread count must give the same bits. Prints one line and returns 0.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

#include "core.hpp"
#include "emd/emd.hpp"
#include "nativekit/isa.hpp"
#include "points_cases.hpp"
#include "points_interrupts.hpp"
#include "points_neighbors.hpp"

namespace {

void check_mesh() {
  std::mt19937_64 rng(6);
  const auto vertices = cloud<double>(rng, 60, 3, false), points = cloud<double>(rng, 300, 3, false);
  std::vector<std::int32_t> faces;
  for (int i = 0; i < 3 * 150; ++i) faces.push_back(static_cast<std::int32_t>(rng() % 60));
  const pointmetrics::Mesh mesh{vertices.data(), faces.data(), 150};
  std::vector<double> first;
  for (const int threads : {1, 3}) {
    std::vector<double> sq(300), barycentric(900);
    std::vector<std::int32_t> face(300);
    require(pointmetrics::nearest_on_mesh(points.data(), 300, mesh, threads, sq.data(), face.data(),
                                          barycentric.data()) == 0,
            "nearest_on_mesh failed");
    if (threads == 1) first = sq;
    require(sq == first, "mesh distances depend on the threads");
  }
}

void check_assignment(int d, const std::vector<std::int64_t>& n, bool lattice, pointmetrics::emd::Cost cost,
                      double tol) {
  std::mt19937_64 rng(static_cast<std::uint64_t>(d) + 10 * n.size());
  const auto offsets = offsets_of(n);
  const auto x = cloud<double>(rng, offsets.back(), d, lattice), y = cloud<double>(rng, offsets.back(), d, lattice);
  const std::size_t pairs = n.size(), total = static_cast<std::size_t>(offsets.back());
  std::vector<std::int32_t> first;
  for (const int threads : {1, 2, 4}) {
    std::vector<double> upper(pairs), lower(pairs), prices(total);
    std::vector<std::uint8_t> converged(pairs);
    std::vector<std::int32_t> assignment(total);
    const pointmetrics::emd::Job job{
        x.data(),     y.data(),         offsets.data(),    std::int64_t(pairs), d, cost, tol, threads, upper.data(),
        lower.data(), converged.data(), assignment.data(), prices.data()};
    require(pointmetrics::emd::solve(job) == 0, "solve failed");
    if (threads == 1) first = assignment;
    require(assignment == first, "the assignment depends on the threads");
    for (std::size_t k = 0; k < pairs; ++k) {
      std::vector<std::int32_t> used(assignment.begin() + offsets[k], assignment.begin() + offsets[k + 1]);
      std::sort(used.begin(), used.end());
      for (std::size_t i = 0; i < used.size(); ++i) require(used[i] == std::int32_t(i), "no bijection");
      require(converged[k] && lower[k] <= upper[k], "no certificate");
      require(upper[k] - lower[k] <= std::max(tol, 1e-10) * upper[k] + 1e-12, "the gap is too wide");
    }
  }
}

void check_transport(int d, const std::vector<std::int64_t>& n, const std::vector<std::int64_t>& m) {
  std::mt19937_64 rng(9);
  const auto x_offsets = offsets_of(n), y_offsets = offsets_of(m);
  const auto x = cloud<double>(rng, x_offsets.back(), d, false), y = cloud<double>(rng, y_offsets.back(), d, true);
  std::vector<std::int64_t> x_mass, y_mass;
  for (std::size_t k = 0; k < n.size(); ++k) {
    x_mass.insert(x_mass.end(), static_cast<std::size_t>(n[k]), m[k]);
    y_mass.insert(y_mass.end(), static_cast<std::size_t>(m[k]), n[k]);
  }
  std::vector<double> first;
  for (const int threads : {1, 3}) {
    std::vector<double> upper(n.size()), lower(n.size());
    std::vector<std::uint8_t> converged(n.size());
    std::vector<pointmetrics::emd::Plan> plans;
    const pointmetrics::emd::TransportJob job{x.data(),
                                              y.data(),
                                              x_offsets.data(),
                                              y_offsets.data(),
                                              x_mass.data(),
                                              y_mass.data(),
                                              std::int64_t(n.size()),
                                              d,
                                              pointmetrics::emd::Cost::euclidean,
                                              0.0,
                                              threads,
                                              upper.data(),
                                              lower.data(),
                                              converged.data()};
    require(pointmetrics::emd::transport(job, plans) == 0, "transport failed");
    if (threads == 1) first = upper;
    require(upper == first, "the transport depends on the threads");
    for (std::size_t k = 0; k < n.size(); ++k) {
      require(lower[k] <= upper[k] && upper[k] - lower[k] <= 1e-9 * upper[k] + 1e-12, "the gap is too wide");
      const std::int64_t moved = std::accumulate(plans[k].mass.begin(), plans[k].mass.end(), std::int64_t{0});
      require(moved == n[k] * m[k], "mass is lost");
    }
  }
}

double sq_between(const double* a, const double* b, int d) {
  double sum = 0;
  for (int k = 0; k < d; ++k) sum += (a[k] - b[k]) * (a[k] - b[k]);
  return sum;
}

// The greedy algorithm over all distances; chosen points have -1.
std::vector<std::int64_t> farthest_of(const std::vector<double>& points, std::int64_t n, int d, std::int64_t k) {
  std::vector<double> left(static_cast<std::size_t>(n), std::numeric_limits<double>::infinity());
  std::vector<std::int64_t> chosen = {0};
  while (static_cast<std::int64_t>(chosen.size()) < k) {
    const double* last = points.data() + chosen.back() * d;
    for (std::int64_t i = 0; i < n; ++i) {
      left[static_cast<std::size_t>(i)] =
          std::min(left[static_cast<std::size_t>(i)], sq_between(points.data() + i * d, last, d));
    }
    left[static_cast<std::size_t>(chosen.back())] = -1;
    chosen.push_back(std::max_element(left.begin(), left.end()) - left.begin());
  }
  return chosen;
}

void check_sampling(int d, std::int64_t n, bool lattice) {
  std::mt19937_64 rng(8);
  const auto points = cloud<double>(rng, n, d, lattice), centres = cloud<double>(rng, 70, d, lattice);
  const std::int64_t k = std::min<std::int64_t>(n, 50);
  const std::vector<std::int64_t> offsets = {0, n};
  const std::vector<double> sq_radii(70, lattice ? 1.0 : 0.09);
  for (const int threads : {1, 3}) {
    std::vector<std::int64_t> chosen(static_cast<std::size_t>(k)), counts(70), ends(1, 0);
    require(pointmetrics::farthest(pointmetrics::FarthestJob<double>{points.data(), offsets.data(), 1, d, k, 0, threads,
                                                                     chosen.data()}) == 0,
            "farthest failed");
    require(chosen == farthest_of(points, n, d, k), "farthest points differ");
    pointmetrics::BallJob<double> job{points.data(),   n,       centres.data(), 70,      d,
                                      sq_radii.data(), threads, counts.data(),  nullptr, nullptr};
    require(pointmetrics::balls(job) == 0, "counting balls failed");
    for (const std::int64_t count : counts) ends.push_back(ends.back() + count);
    std::vector<std::int64_t> ids(static_cast<std::size_t>(ends.back())), wanted;
    job.offsets = ends.data();
    job.ids = ids.data();
    require(ids.empty() || pointmetrics::balls(job) == 0, "listing balls failed");
    for (int i = 0; i < 70; ++i) {
      for (std::int64_t j = 0; j < n; ++j) {
        if (sq_between(points.data() + j * d, centres.data() + i * d, d) <= sq_radii[0]) wanted.push_back(j);
      }
    }
    require(ids == wanted, "balls differ");
  }
}

// Errors of a against b, point by point: of coinciding points the first counts, if `drop`.
pointmetrics::Distortion errors_of(const std::vector<double>& a, const std::vector<double>& b,
                                   const std::vector<double>& normals, bool drop, std::int64_t* count) {
  const auto n = static_cast<std::int64_t>(a.size() / 3), m = static_cast<std::int64_t>(b.size() / 3);
  const auto counts = [&](const std::vector<double>& points, std::int64_t i) {
    for (std::int64_t j = 0; drop && j < i; ++j) {
      if (sq_between(points.data() + 3 * i, points.data() + 3 * j, 3) == 0) return false;
    }
    return true;
  };
  pointmetrics::Distortion all{};
  *count = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    if (!counts(a, i)) continue;
    double least = std::numeric_limits<double>::infinity(), total = 0, ties = 0;
    for (std::int64_t j = 0; j < m; ++j) {
      const double sq = sq_between(a.data() + 3 * i, b.data() + 3 * j, 3);
      if (sq > least || !counts(b, j)) continue;
      if (sq < least) total = ties = 0;
      least = sq;
      double along = 0;
      for (std::size_t k = 0; k < 3; ++k) {
        const std::size_t at = 3 * static_cast<std::size_t>(j) + k;
        along += (a[3 * static_cast<std::size_t>(i) + k] - b[at]) * normals[at];
      }
      total += along * along;
      ++ties;
    }
    ++*count;
    all.sum_sq += least;
    all.max_sq = std::max(all.max_sq, least);
    all.sum_plane += total / ties;
    all.max_plane = std::max(all.max_plane, total / ties);
  }
  return all;
}

void check_distortion(std::int64_t n, std::int64_t m, bool lattice) {
  std::mt19937_64 rng(11);
  const auto x = cloud<double>(rng, n, 3, lattice), y = cloud<double>(rng, m, 3, lattice);
  const auto x_normals = cloud<double>(rng, n, 3, false), y_normals = cloud<double>(rng, m, 3, false);
  const auto near = [](double a, double b) { return std::abs(a - b) <= 1e-9 * std::max(std::abs(b), 1e-300); };
  for (const bool drop : {true, false}) {
    std::int64_t wanted[2], counts[2];
    pointmetrics::Distortion forth{}, back{};
    const pointmetrics::Distortion sides[] = {errors_of(x, y, y_normals, drop, wanted),
                                              errors_of(y, x, x_normals, drop, wanted + 1)};
    for (const int threads : {1, 3}) {
      require(pointmetrics::distortion(pointmetrics::DistortionJob<double>{x.data(), n, x_normals.data(), y.data(), m,
                                                                           y_normals.data(), 3, drop, threads, &forth,
                                                                           &back, counts}) == 0,
              "distortion failed");
      require(counts[0] == wanted[0] && counts[1] == wanted[1], "points that count differ");
      const pointmetrics::Distortion found[] = {forth, back};
      for (int side = 0; side < 2; ++side) {
        require(near(found[side].sum_sq, sides[side].sum_sq) && near(found[side].max_sq, sides[side].max_sq) &&
                    near(found[side].sum_plane, sides[side].sum_plane) &&
                    near(found[side].max_plane, sides[side].max_plane),
                "errors differ");
      }
    }
  }
  std::vector<std::int64_t> rows(static_cast<std::size_t>(n));
  std::int64_t n_rows = 0, count = 0;
  require(pointmetrics::distinct(x.data(), n, 3, rows.data(), &n_rows) == 0, "distinct failed");
  errors_of(x, y, y_normals, true, &count);
  require(n_rows == count, "distinct points differ");
}

void check_disks(std::int64_t n) {
  std::mt19937_64 rng(12);
  const auto points = cloud<double>(rng, n, 3, false);
  std::vector<std::int64_t> near(static_cast<std::size_t>(n)), seeds = {0, n - 1, n / 2}, counts(6), ends(1, 0);
  for (std::int64_t i = 0; i < n; ++i) near[static_cast<std::size_t>(i)] = i;  // nothing known but the point itself
  const std::vector<double> radii = {0.2, 0.5};
  std::vector<double> clutter(6);
  pointmetrics::DiskJob<double> job{points.data(), n,       near.data(), 1,      seeds.data(),  3,
                                    radii.data(),  2,       3.6,         2,      counts.data(), clutter.data(),
                                    nullptr,       nullptr, nullptr,     nullptr};
  require(pointmetrics::disks(job) == 0, "disks failed");
  for (const std::int64_t count : counts) ends.push_back(ends.back() + count);
  std::vector<std::int64_t> ids(static_cast<std::size_t>(ends.back())), nearest(ids.size());
  std::vector<double> distances(ids.size());
  job.offsets = ends.data();
  job.ids = ids.data();
  job.nearest = nearest.data();
  job.distances = distances.data();
  require(pointmetrics::disks(job) == 0, "listing disks failed");
  for (std::size_t disk = 0; disk < 6; ++disk) {
    const double* middle = points.data() + 3 * seeds[disk / 2];
    std::int64_t within = 0;
    for (std::int64_t j = 0; j < n; ++j)
      within += sq_between(points.data() + 3 * j, middle, 3) <= radii[disk % 2] * radii[disk % 2];
    require(counts[disk] == within, "disks hold others");
    for (auto at = static_cast<std::size_t>(ends[disk]); at < static_cast<std::size_t>(ends[disk + 1]); ++at) {
      double least = within > 1 ? std::numeric_limits<double>::infinity() : 0;
      for (auto to = static_cast<std::size_t>(ends[disk]); to < static_cast<std::size_t>(ends[disk + 1]); ++to) {
        if (to != at) least = std::min(least, sq_between(points.data() + 3 * ids[at], points.data() + 3 * ids[to], 3));
      }
      require(distances[at] == std::sqrt(least), "nearest in a disk differ");
    }
  }
}

void check_cylinders(std::int64_t n) {
  std::mt19937_64 rng(9);
  const auto points = cloud<double>(rng, n, 3, false), cores = cloud<double>(rng, 70, 3, false);
  std::vector<double> axes(210), mean(70), sq_dev(70), sums(630);
  for (std::size_t i = 0; i < 210; ++i) axes[i] = i % 3 == (i / 3) % 3 ? 1 : 0;
  std::vector<std::int64_t> count(70), counts(70);
  for (const int threads : {1, 3}) {
    require(pointmetrics::cylinders(pointmetrics::CylinderJob{points.data(), n, cores.data(), axes.data(), 70, 0.2, 0.4,
                                                              threads, count.data(), mean.data(), sq_dev.data()}) == 0,
            "cylinders failed");
    require(pointmetrics::ball_moments(pointmetrics::MomentJob{points.data(), n, cores.data(), 70, 0.3, threads,
                                                               counts.data(), sums.data()}) == 0,
            "moments failed");
    for (int i = 0; i < 70; ++i) {
      std::int64_t within = 0, near = 0;
      double sum = 0, traces = 0;
      for (std::int64_t j = 0; j < n; ++j) {
        const double sq = sq_between(points.data() + 3 * j, cores.data() + 3 * i, 3);
        const double along =
            points[static_cast<std::size_t>(3 * j + i % 3)] - cores[static_cast<std::size_t>(3 * i + i % 3)];
        if (sq - along * along <= 0.04 && std::abs(along) <= 0.4) ++within, sum += along;
        if (sq <= 0.09) ++near, traces += sq;
      }
      const auto at = static_cast<std::size_t>(i);
      require(count[at] == within && counts[at] == near, "counts differ");
      require(within == 0 || std::abs(mean[at] - sum / static_cast<double>(within)) < 1e-12, "means differ");
      require(std::abs(sums[9 * at + 3] + sums[9 * at + 6] + sums[9 * at + 8] - traces) < 1e-9, "moments differ");
    }
  }
}

void run_all() {
  using pointmetrics::emd::Cost;
  for (const int d : {1, 2, 3, 5}) {
    for (const bool lattice : {false, true}) {
      check_neighbors<float>(d, {1, 40, 700}, {1, 90, 600}, lattice);
      check_pairwise<float>(d, {1, 40, 700}, {1, 90, 600}, lattice);
      check_neighbors<double>(d, {3, 65, 500}, {700, 1, 257}, lattice);
      check_pairwise<double>(d, {3, 65, 500}, {700, 1, 257}, lattice);
      check_assignment(d, {1, 2, 33, 150}, lattice, Cost::euclidean, 0);
      check_sampling(d, 1, lattice);
      check_sampling(d, 600, lattice);
      check_assignment(d, {90, 64}, lattice, Cost::squared, lattice ? 0 : 1e-2);
    }
    check_transport(d, {1, 7, 60}, {5, 7, 43});
  }
  check_neighbors<float>(3, {3000}, {2500}, true);
  check_pairwise<float>(3, {3000}, {2500}, true);
  check_assignment(3, {1100}, false, Cost::euclidean, 0);
  check_prepared();
  check_mesh();
  check_sampling(20, 40, false);
  check_cylinders(1);
  check_cylinders(900);
  check_disks(1);
  check_disks(400);
  check_distortion(1, 1, false);
  for (const bool lattice : {false, true}) check_distortion(300, 220, lattice);
  check_distortion(40, 1, true);
  check_interrupted_pairs();
  check_interrupted_searches();
  check_interrupted_transport();
}

}  // namespace

int main() {
  for (int level = 0; level <= static_cast<int>(nativekit::best_level()); ++level) {
    nativekit::limit_level(level);
    run_all();
  }
  std::puts("points_driver: ok");
  return 0;
}

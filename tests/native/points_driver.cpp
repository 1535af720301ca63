// The point core without Python, for sanitizers: neighbours, errors, samples, balls, disks, cylinders, pairwise sums,
// meshes and both earth mover's solvers in both precisions, on clouds with ties, duplicates and extreme sizes, in
// exact-sized heap arrays so that a step outside one is seen. Every result is checked against brute force or its own
// certificate, and every thread count must give the same bits. Prints one line and returns 0.

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <numeric>
#include <random>
#include <thread>
#include <vector>

#include "core.hpp"
#include "emd/emd.hpp"
#include "nativekit/isa.hpp"

namespace {

void require(bool ok, const char* what) {
  if (ok) return;
  std::fprintf(stderr, "points_driver: %s\n", what);
  std::exit(1);
}

// Uniform, or on a lattice of three places an axis: then nearly everything ties.
template <class T>
std::vector<T> cloud(std::mt19937_64& rng, std::int64_t n, int d, bool lattice) {
  std::vector<T> points(static_cast<std::size_t>(n * d));
  for (T& value : points) {
    const double u = static_cast<double>(rng() >> 11) * 0x1p-53;
    value = static_cast<T>(lattice ? std::floor(u * 3) : u);
  }
  return points;
}

std::vector<std::int64_t> offsets_of(const std::vector<std::int64_t>& sizes) {
  std::vector<std::int64_t> offsets(1, 0);
  for (const std::int64_t size : sizes) offsets.push_back(offsets.back() + size);
  return offsets;
}

template <class T>
struct Neighbors {
  std::vector<T> sq_x, sq_y;
  std::vector<std::int32_t> id_x, id_y;
  bool operator==(const Neighbors& o) const {
    return sq_x == o.sq_x && sq_y == o.sq_y && id_x == o.id_x && id_y == o.id_y;
  }
};

template <class T>
void check_way(const std::vector<T>& from, std::int64_t a, std::int64_t n, const std::vector<T>& to, std::int64_t b,
               std::int64_t m, int d, const std::vector<std::int32_t>& ids) {
  for (std::int64_t i = 0; i < n; ++i) {
    double best = std::numeric_limits<double>::infinity(), found = 0;
    for (std::int64_t j = 0; j < m; ++j) {
      double sum = 0;
      for (int k = 0; k < d; ++k) {
        const double difference = static_cast<double>(from[(a + i) * d + k]) - static_cast<double>(to[(b + j) * d + k]);
        sum += difference * difference;
      }
      best = std::min(best, sum);
      if (j == ids[a + i]) found = sum;
    }
    require(ids[a + i] >= 0 && ids[a + i] < m, "a neighbour out of range");
    require(found <= best + 1e-5 * best + 1e-12, "not the nearest neighbour");
  }
}

template <class T>
void check_neighbors(int d, const std::vector<std::int64_t>& n, const std::vector<std::int64_t>& m, bool lattice) {
  std::mt19937_64 rng(static_cast<std::uint64_t>(d) + n.size());
  const auto x_offsets = offsets_of(n), y_offsets = offsets_of(m);
  const auto x = cloud<T>(rng, x_offsets.back(), d, lattice), y = cloud<T>(rng, y_offsets.back(), d, lattice);
  Neighbors<T> first;
  for (const int threads : {1, 2, 4}) {
    Neighbors<T> out{std::vector<T>(x.size() / d), std::vector<T>(y.size() / d),
                     std::vector<std::int32_t>(x.size() / d), std::vector<std::int32_t>(y.size() / d)};
    const pointmetrics::NearestJob<T> job{x.data(),
                                          x_offsets.data(),
                                          y.data(),
                                          y_offsets.data(),
                                          static_cast<std::int64_t>(n.size()),
                                          d,
                                          threads,
                                          nullptr,
                                          out.sq_x.data(),
                                          out.id_x.data(),
                                          out.sq_y.data(),
                                          out.id_y.data()};
    require(pointmetrics::nearest(job) == 0, "nearest failed");
    if (threads == 1) first = out;
    require(out == first, "neighbours depend on the threads");
  }
  for (std::size_t k = 0; k < n.size(); ++k) {
    check_way(x, x_offsets[k], n[k], y, y_offsets[k], m[k], d, first.id_x);
    check_way(y, y_offsets[k], m[k], x, x_offsets[k], n[k], d, first.id_y);
  }
  std::vector<std::int64_t> pairs;
  for (std::size_t i = 0; i < n.size(); ++i) {
    for (std::size_t j = 0; j < m.size(); ++j) pairs.insert(pairs.end(), {std::int64_t(i), std::int64_t(j)});
  }
  std::vector<double> sums[2];
  for (const int threads : {1, 3}) {
    std::vector<double> forth(pairs.size() / 2), back(pairs.size() / 2);
    const pointmetrics::PairwiseJob<T> job{x.data(),
                                           x_offsets.data(),
                                           std::int64_t(n.size()),
                                           y.data(),
                                           y_offsets.data(),
                                           std::int64_t(m.size()),
                                           pairs.data(),
                                           std::int64_t(pairs.size() / 2),
                                           d,
                                           1,
                                           threads,
                                           forth.data(),
                                           back.data()};
    require(pointmetrics::pairwise(job) == 0, "pairwise failed");
    forth.insert(forth.end(), back.begin(), back.end());
    sums[threads > 1] = forth;
  }
  require(sums[0] == sums[1], "sums depend on the threads");
}

void check_prepared() {
  std::mt19937_64 rng(5);
  const std::int64_t n = 700, m = 900;
  const auto x = cloud<float>(rng, n, 3, false), y = cloud<float>(rng, m, 3, false);
  const std::int64_t size = pointmetrics::prepared_size<float>(m, 3);
  char* memory = static_cast<char*>(std::aligned_alloc(64, static_cast<std::size_t>((size + 63) / 64 * 64)));
  require(pointmetrics::prepare(y.data(), m, 3, memory) == 0, "prepare failed");
  const std::int64_t x_offsets[2] = {0, n}, y_offsets[2] = {0, m};
  Neighbors<float> out[2];
  for (int prepared = 0; prepared < 2; ++prepared) {
    Neighbors<float>& o = out[prepared];
    o = {std::vector<float>(n), std::vector<float>(m), std::vector<std::int32_t>(n), std::vector<std::int32_t>(m)};
    const pointmetrics::NearestJob<float> job{
        x.data(),      x_offsets,     y.data(),      y_offsets,    1, 3, 2, prepared ? memory : nullptr,
        o.sq_x.data(), o.id_x.data(), o.sq_y.data(), o.id_y.data()};
    require(pointmetrics::nearest(job) == 0, "nearest failed");
  }
  require(out[0] == out[1], "a prepared cloud changes the neighbours");
  std::free(memory);
}

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

// Stops the call at the question that brings it to 0.
std::atomic<int> questions_left{0};
bool ask() { return --questions_left <= 0; }

// Runs call(threads) to its end and then stopped at the first question and at later ones: a status either way.
template <class Call>
void check_interrupts(const Call& call) {
  for (const int threads : {1, 2, 4}) {
    for (const int stop_at : {1, 2, 5, 1 << 30}) {
      questions_left = stop_at;
      nativekit::Watch watch(&ask);
      std::this_thread::sleep_for(nativekit::Watch::kPeriod);  // the first question is due
      const int status = call(threads);
      require(status == pointmetrics::kOk || status == pointmetrics::kInterrupted, "another status");
      require((status == pointmetrics::kInterrupted) == (questions_left <= 0), "an answer that nobody heard");
      // Of several threads, the others may be done before the one that asks has begun.
      if (stop_at == 1 && threads == 1) require(status == pointmetrics::kInterrupted, "the call was not stopped");
    }
  }
}

void check_interrupted_calls() {
  std::mt19937_64 rng(11);
  const auto x = cloud<double>(rng, 4000, 3, false), y = cloud<double>(rng, 4000, 3, false);
  const std::vector<std::int64_t> offsets = {0, 1500, 4000}, pairs = {0, 0, 0, 1, 1, 0, 1, 1};
  std::vector<double> sq_x(4000), sq_y(4000), forth(4), back(4), upper(2), lower(2);
  std::vector<std::int32_t> id_x(4000), id_y(4000);
  std::vector<std::uint8_t> converged(2);
  check_interrupts([&](int threads) {
    return pointmetrics::nearest(pointmetrics::NearestJob<double>{x.data(), offsets.data(), y.data(), offsets.data(), 2,
                                                                  3, threads, nullptr, sq_x.data(), id_x.data(),
                                                                  sq_y.data(), id_y.data()});
  });
  check_interrupts([&](int threads) {
    return pointmetrics::pairwise(pointmetrics::PairwiseJob<double>{x.data(), offsets.data(), 2, y.data(),
                                                                    offsets.data(), 2, pairs.data(), 4, 3, 2, threads,
                                                                    forth.data(), back.data()});
  });
  check_interrupts([&](int threads) {
    return pointmetrics::emd::solve(pointmetrics::emd::Job{x.data(), y.data(), offsets.data(), 1, 3,
                                                           pointmetrics::emd::Cost::euclidean, 0, threads, upper.data(),
                                                           lower.data(), converged.data(), id_x.data(), sq_x.data()});
  });
  std::vector<std::int64_t> chosen(2 * 400), counts(4000);
  check_interrupts([&](int threads) {
    return pointmetrics::farthest(
        pointmetrics::FarthestJob<double>{x.data(), offsets.data(), 2, 3, 400, 0, threads, chosen.data()});
  });
  const std::vector<double> sq_radii(4000, 0.01);
  check_interrupts([&](int threads) {
    return pointmetrics::balls(pointmetrics::BallJob<double>{x.data(), 4000, y.data(), 4000, 3, sq_radii.data(),
                                                             threads, counts.data(), nullptr, nullptr});
  });
  pointmetrics::Distortion forth_errors, back_errors;
  check_interrupts([&](int threads) {
    return pointmetrics::distortion(pointmetrics::DistortionJob<double>{x.data(), 4000, y.data(), y.data(), 4000,
                                                                        x.data(), 3, true, threads, &forth_errors,
                                                                        &back_errors, counts.data()});
  });
  const std::vector<std::int64_t> short_offsets = {0, 300}, long_offsets = {0, 600}, two(300, 2), one(600, 1);
  check_interrupts([&](int threads) {
    std::vector<pointmetrics::emd::Plan> plans;
    return pointmetrics::emd::transport(
        pointmetrics::emd::TransportJob{x.data(), y.data(), short_offsets.data(), long_offsets.data(), two.data(),
                                        one.data(), 1, 3, pointmetrics::emd::Cost::euclidean, 0, threads, upper.data(),
                                        lower.data(), converged.data()},
        plans);
  });
}

void run_all() {
  using pointmetrics::emd::Cost;
  for (const int d : {1, 2, 3, 5}) {
    for (const bool lattice : {false, true}) {
      check_neighbors<float>(d, {1, 40, 700}, {1, 90, 600}, lattice);
      check_neighbors<double>(d, {3, 65, 500}, {700, 1, 257}, lattice);
      check_assignment(d, {1, 2, 33, 150}, lattice, Cost::euclidean, 0);
      check_sampling(d, 1, lattice);
      check_sampling(d, 600, lattice);
      check_assignment(d, {90, 64}, lattice, Cost::squared, lattice ? 0 : 1e-2);
    }
    check_transport(d, {1, 7, 60}, {5, 7, 43});
  }
  check_neighbors<float>(3, {3000}, {2500}, true);
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
  check_interrupted_calls();
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

// Calls that are stopped, for points_driver.cpp.
#pragma once

#include <atomic>
#include <limits>
#include <thread>

#include "core.hpp"
#include "emd/emd.hpp"
#include "nativekit/interrupt.hpp"
#include "points_cases.hpp"

// Stops the call at the question that brings it to 0.
inline std::atomic<int> questions_left{0};
inline bool ask() { return --questions_left <= 0; }

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

inline void check_interrupted_pairs() {
  std::mt19937_64 rng(11);
  const auto x = cloud<double>(rng, 4000, 3, false), y = cloud<double>(rng, 4000, 3, false);
  const std::vector<std::int64_t> offsets = {0, 1500, 4000}, pairs = {0, 0, 0, 1, 1, 0, 1, 1};
  std::vector<double> sq_x(4000), sq_y(4000), forth(4), back(4);
  std::vector<std::int32_t> id_x(4000), id_y(4000);
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
}

inline void check_interrupted_searches() {
  std::mt19937_64 rng(11);
  const auto x = cloud<double>(rng, 4000, 3, false), y = cloud<double>(rng, 4000, 3, false);
  const std::vector<std::int64_t> offsets = {0, 1500, 4000};
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
}

inline void check_interrupted_transport() {
  std::mt19937_64 rng(11);
  const auto x = cloud<double>(rng, 4000, 3, false), y = cloud<double>(rng, 4000, 3, false);
  const std::vector<std::int64_t> offsets = {0, 1500, 4000};
  std::vector<double> prices(4000), upper(2), lower(2);
  std::vector<std::int32_t> column_of(4000);
  std::vector<std::uint8_t> converged(2);
  check_interrupts([&](int threads) {
    return pointmetrics::emd::solve(
        pointmetrics::emd::Job{x.data(), y.data(), offsets.data(), 1, 3, pointmetrics::emd::Cost::euclidean, 0, threads,
                               upper.data(), lower.data(), converged.data(), column_of.data(), prices.data()});
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

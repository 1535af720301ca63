// Windows by age: when points come, in seconds since the first, and what keeps a point of that time.
//
// The clock runs with the latest stamp and never back: what is late counts as of now. One stamp far ahead would stop
// it for good; so kMostLate records in a row that are more than a horizon late mean that it was set back, and it
// goes on from the last of them.
//
// A ring lets points go that are older than the horizon, but never the last kWarmUp, so that there are always scores.
// With decay > 0 a full ring is thinned: each tree cuts time into spans, as many a horizon as it has places, and keeps
// one point of each, drawn uniformly from those that came in it: a burst takes no more room than any other span.
// Trees cut in different places, so that no point changes all of them.
//
// A reservoir's points have the weight exp(when they came): decay is by time instead of by arrivals, and all else
// (stream.hpp) stays.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "base/view.hpp"

namespace imondrian::NK_ISA {

constexpr double kMostLate = 32.0;    // records
constexpr double kLongestStep = 1e6;  // horizons; what is so old is as good as infinitely old
constexpr double kWarmUp = 32.0;      // points: as WARM_UP of _forest/validation.py

// Take a stamp, in seconds; returns how far the clock has run.
inline double tick(double* clock, double stamp) {
  const double ahead = stamp - clock[kLatest];
  bool moves = true;
  if (clock[kStarted] == 0.0) {
    clock[kStarted] = 1.0;
  } else if (ahead >= 0.0) {
    clock[kNow] += std::min(ahead, kLongestStep * clock[kHorizon]);
  } else {
    clock[kLate] = ahead >= -clock[kHorizon] ? 0.0 : clock[kLate] + 1.0;
    moves = clock[kLate] >= kMostLate;
  }
  if (moves) {
    clock[kLatest] = stamp;
    clock[kLate] = 0.0;
  }
  return clock[kNow];
}

// The span of tree t that a time is in.
inline double span_of(const ForestView& forest, std::int64_t t, double now) {
  const double shift = static_cast<double>(t) / static_cast<double>(forest.n_trees);
  return std::floor(now / forest.clock[kHorizon] * static_cast<double>(forest.window) + shift);
}

// How likely a point of now is to beat the smallest key of a full reservoir: the hazard of its doing so.
inline double hazard(const ForestView& forest, std::int64_t t, double now) {
  return std::exp(now / forest.clock[kHorizon] - forest.member_key[t * forest.window]);
}

// Whether tree t keeps a point of now.
inline bool keeps_timed(const ForestView& forest, std::int64_t t, double now) {
  const std::int64_t* const state = forest.stream + kStreamSize * t;
  const double* const pace = forest.pace + kPaceSize * t;
  if (static_cast<Memory>(forest.memory) == Memory::kReservoir)
    return state[kHeld] < forest.window || hazard(forest, t, now) >= pace[kBudget];
  return forest.decay == 0.0 || pace[kBlank] > 0.0 || span_of(forest, t, now) != pace[kSpan] ||
         state[kSeen] >= state[kNext];
}

// Whether some member of tree t is too old.
inline bool has_outlived(const ForestView& forest, std::int64_t t, double now) {
  if (!forest.member_time) return false;
  const std::int64_t blank = static_cast<std::int64_t>(forest.pace[kPaceSize * t + kBlank]);
  if (blank == forest.window) return false;
  const std::int64_t place = (forest.stream[kStreamSize * t + kOldest] + blank) % forest.window;
  return forest.member_time[t * forest.window + place] < now - forest.clock[kHorizon];
}

}  // namespace imondrian::NK_ISA

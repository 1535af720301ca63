// The last scores of a forest, or of a group of its trees: what is usual now.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include "columns.hpp"

namespace imondrian {

// A window is how many scores there were ever, how many are held, the ring of them, and it sorted.
constexpr std::int64_t kRecent = (kRecentSize - 2) / 2;  // scores that are remembered at most
constexpr std::int64_t kFewRecent = 32;

class Recent {
 public:
  explicit Recent(double* state) : n_(state[0]), held_(state[1]), ring_(state + 2), sorted_(state + 2 + kRecent) {}

  std::int64_t size() const { return static_cast<std::int64_t>(held_); }

  void add(double value) {
    double* const oldest = ring_ + (static_cast<std::int64_t>(n_) - size()) % kRecent;
    double* gap =
        sorted_ + size();  // where the sorted copy has room; what is between there and the newcomer moves over
    double* place = sorted_ + rank(value);
    if (size() < limit()) {
      held_ += 1.0;
    } else {
      gap = sorted_ + rank(*oldest) - 1;
    }
    if (place > gap) {
      --place;
      std::memmove(gap, gap + 1, static_cast<std::size_t>(place - gap) * sizeof(double));
    } else {
      std::memmove(place + 1, place, static_cast<std::size_t>(gap - place) * sizeof(double));
    }
    *place = ring_[static_cast<std::int64_t>(n_) % kRecent] = value;
    n_ += 1.0;
  }

  // Remember values with masses as if they had come one by one, in no order: each as often as its mass
  // says, or evenly spaced quantiles where that is more than there is room for. Sorts them.
  void fill(std::vector<std::pair<double, double>>& values) {
    std::sort(values.begin(), values.end());
    double total = 0.0, passed = 0.0;
    for (const auto& value : values) total += value.second;
    const auto held = static_cast<std::int64_t>(std::clamp(std::nearbyint(total), 1.0, static_cast<double>(kRecent)));
    std::size_t at = 0;
    for (std::int64_t i = 0; i < held; ++i) {
      const double place = (static_cast<double>(i) + 0.5) * total / static_cast<double>(held);
      while (at + 1 < values.size() && passed + values[at].second <= place) passed += values[at++].second;
      sorted_[i] = values[at].first;
    }
    // Not in order of size: whatever comes next pushes out large and small alike.
    constexpr std::int64_t kStride = 197;  // a prime that does not divide kRecent
    for (std::int64_t i = 0, from = 0; i < held; ++i, from = (from + kStride) % kRecent) {
      while (from >= held) from = (from + kStride) % kRecent;
      ring_[i] = sorted_[from];
    }
    held_ = static_cast<double>(held);
    n_ = held_;
  }

  // The q-quantile, between order statistics by linear interpolation; of none, 0.
  double quantile(double q) const {
    const std::int64_t held = size();
    if (held == 0) return 0.0;
    const double place = q * static_cast<double>(held - 1);
    const auto below = static_cast<std::int64_t>(place);
    const double next = sorted_[std::min(below + 1, held - 1)];
    return sorted_[below] + (place - static_cast<double>(below)) * (next - sorted_[below]);
  }

  // Whether the sorted copy is what the ring holds, all finite.
  bool is_sound() const {
    if (!(n_ >= held_ && n_ < 0x1.0p53) || n_ != std::floor(n_)) return false;
    if (!(held_ >= 0.0 && held_ <= kRecent) || held_ != std::floor(held_)) return false;
    double copy[kRecent];
    for (std::int64_t i = 0; i < size(); ++i) copy[i] = ring_[(static_cast<std::int64_t>(n_) - 1 - i) % kRecent];
    std::sort(copy, copy + size());
    for (std::int64_t i = 0; i < size(); ++i) {
      if (!std::isfinite(copy[i]) || copy[i] != sorted_[i]) return false;
    }
    return true;
  }

 private:
  // Half of all at first: while trees fill up, what they give moves.
  std::int64_t limit() const {
    return std::clamp(std::max(static_cast<std::int64_t>(n_) / 2, size()), kFewRecent, kRecent);
  }
  // How many of them are not above `value`. No branches: half of them would be missed.
  std::int64_t rank(double value) const {
    const double* from = sorted_;
    std::int64_t n = size();
    for (; n > 1; n -= n / 2) from += n / 2 * (from[n / 2 - 1] <= value);
    return from - sorted_ + (n == 1 && *from <= value);
  }

  double& n_;
  double& held_;
  double* ring_;
  double* sorted_;
};

// Where the unusual begins, from recent mean log spacings: two quartile ranges above the median, or at the
// highest tenth if that is lower, but always a little above the median.
class Usual {
 public:
  explicit Usual(const Recent& recent) : middle_(recent.quantile(0.5)) {
    const double far = middle_ + kRanges * (recent.quantile(0.75) - recent.quantile(0.25));
    to_limit_ = std::max(std::min(far, recent.quantile(1.0 - kMostUnusual)) - middle_, kLeast);
  }
  // 0 where the unusual begins, -1 at the median.
  double excess(double spacing) const {
    return spacing == spacing ? (spacing - middle_) / to_limit_ - 1.0 : 0.0;  // NaN: nothing to compare with
  }

 private:
  static constexpr double kRanges = 2.0;
  static constexpr double kMostUnusual = 0.1;
  static constexpr double kLeast = 0.25;
  double middle_, to_limit_;
};

}  // namespace imondrian

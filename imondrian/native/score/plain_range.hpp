// Numbers so ordinary that no distance from a box can lose anything: sums of them need no second look.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "base/view.hpp"
#include "base/wide.hpp"

namespace imondrian::NK_ISA {

// By feature: 0, or from `least` to `most` in size. A difference of two such numbers is 0 or at least the last place of
// the smaller; times the rate, and added up, it is what is_plain() asks for.
template <class T>
class PlainRange {
 public:
  explicit PlainRange(std::int64_t n_features)
      : least_(static_cast<std::size_t>(n_features), 0.0),
        most_(least_.size(), static_cast<double>(std::numeric_limits<T>::max()) / 4.0) {}

  // Allow for the rates of a tree. A feature without one counts nothing.
  void allow(const T* rate) {
    const double n = static_cast<double>(least_.size());
    const double place = std::ldexp(1.0, std::numeric_limits<T>::digits);
    for (std::size_t j = 0; j < least_.size(); ++j) {
      const double each = static_cast<double>(rate[j]);
      if (!(each > 0.0)) continue;
      least_[j] = std::max(least_[j], Plain<T>::kLeast * place / each);
      most_[j] = std::min(most_[j], Plain<T>::kMost / (4.0 * n) / each);
    }
  }
  // Whether all values of a row are in it, or missing.
  bool holds(const T* x) const {
    bool all = true;
    for (std::size_t j = 0; j < least_.size(); ++j) {
      const double size = std::abs(static_cast<double>(x[j])), least = least_[j], most = most_[j];
      all &= (size == 0.0) | !((size < least) | (size > most));
    }
    return all;
  }

 private:
  std::vector<double> least_, most_;
};

}  // namespace imondrian::NK_ISA

// Depth under virtual insertion (depth_score.hpp, the same bits) of a row whose leaf is known, from below.
//
// Boxes lie within each other (I4): a row that one contains, all above contain, and no distance is left to be found. So
// a row climbs from its leaf until then, most rows half the way; its chances to get so far are summed up from above.
#pragma once

#include <cstdint>
#include <vector>

#include "score/depth_score.hpp"
#include "score/survival.hpp"

namespace imondrian::NK_ISA {

// Scratch of one thread.
template <class T>
class InsertionWalk {
 public:
  // The depth of the padded row x, which lacks no value, in a tree where it ends in `leaf` (~slot) so many levels down.
  NK_INLINE double depth(const Tree<T>& tree, const T* x, std::int32_t leaf, std::int32_t levels) {
    if (static_cast<std::size_t>(levels + kSpare) > risk_.size()) make_room(levels);
    tree_ = &tree;
    switch (tree.width / P::kLanes) {
      case 1:
        return climb<1>(x, leaf, levels);
      case 2:
        return climb<2>(x, leaf, levels);
      case 3:
        return climb<3>(x, leaf, levels);
      default:
        return climb<0>(x, leaf, levels);
    }
  }

 private:
  using P = Pack<T>;
#if NK_LEVEL == 2
  using D = nativekit::NK_ISA::Pack<double, 8>;
#else
  using D = nativekit::NK_ISA::Pack<double, 4>;
#endif
  static constexpr std::int32_t kSpare = 8;  // what packs may reach beyond the last level

  NK_RARE void make_room(std::int32_t levels) {
    for (std::vector<double>* each : {&risk_, &hazard_, &chance_}) {
      each->resize(static_cast<std::size_t>(2 * levels + kSpare));
    }
  }

  // The width in packs, if it is not 0, lets compilers unroll what they do a row.
  template <int kPacks>
  NK_INLINE double climb(const T* x, std::int32_t leaf, std::int32_t levels) {
    const std::int64_t width = kPacks > 0 ? kPacks * P::kLanes : tree_->width;
    const T* const held = tree_->lower_of(leaf);
    const double below =
        !(separation_rate(x, held, held, tree_->rate, width) > 0.0) ? hidden_depth(tree_->leaf_mass[~leaf]) : 1.0;
    std::int32_t n = 0, v = tree_->leaf_parent[~leaf];
    double distance;
    while (v >= 0 && is_outside<kPacks>(x, tree_->lower + v * width, tree_->upper + v * width, distance)) {
      const std::int32_t up = tree_->parent[v];
      risk_[n++] = distance * (tree_->time[v] - (up < 0 ? 0.0 : tree_->time[up]));
      v = up;
    }
    return add_up(n, levels, below);
  }

  // Whether a box does not contain x; and then separation_rate().
  template <int kPacks>
  NK_INLINE bool is_outside(const T* x, const T* lo, const T* hi, double& distance) const {
    const std::int64_t width = kPacks > 0 ? kPacks * P::kLanes : tree_->width;
    P sum = P::zero();
    typename P::Flags beyond;
    for (std::int64_t j = 0; j < width; j += P::kLanes) {
      const P at = P::load(x + j);
      const P apart = larger(P::load(lo + j) - at, at - P::load(hi + j));
      sum = sum + larger(apart, P::zero()) * P::load(tree_->rate + j);
      beyond = beyond | P::not_below(at, apart);
    }
    if (!beyond.any()) return false;
    distance = static_cast<double>(sum.sum());
    if (!is_plain<T>(distance)) distance = separation_rate(x, lo, hi, tree_->rate, width);
    return true;
  }

  // Sum up n levels below the box that contains the row: in each, a point hangs below it if it gets there uncut.
  NK_INLINE double add_up(std::int32_t n, std::int32_t levels, double below) {
    if (n == 0) return levels + below;
    find_chances(n);
    double expected = levels - n + 1;
    for (std::int32_t i = 0; i + 1 < n; ++i) expected += chance_[i];
    return expected + chance_[n - 1] * below;
  }
  NK_INLINE void find_chances(std::int32_t n) {
    double hazard = 0.0;
    for (std::int32_t i = 0; i < n; ++i) hazard_[i] = hazard += risk_[n - 1 - i];
    for (std::int32_t i = 0; i < n; i += D::kLanes) survival(D::load(hazard_.data() + i)).store(chance_.data() + i);
  }

  const Tree<T>* tree_ = nullptr;
  std::vector<double> risk_;             // by level, from below
  std::vector<double> hazard_, chance_;  // by level, from above
};

}  // namespace imondrian::NK_ISA

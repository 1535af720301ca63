// Why a point scores what it does in one tree: additive contributions of its features, exact.
//
// V(v) is the mean, over the points stored below v, of what they get themselves. (Of depths: the levels down to v, and
// what means.hpp keeps.) A point's value less V(root)
// telescopes over its walk: a step from v to its child c is worth V(c) - V(v), and goes to the feature
// cut at v, on the side taken. A point that is cut off outside a box, or stretches it, owes the rest of its
// value to the features in which it is outside, in proportion to how far. What it gets for its distance to the nearest
// clean point (of a wide forest), against what clean points there get for theirs, goes to each feature by how much
// farther or nearer it is there. For want of a value the row goes the way that
// its score does (means.hpp), which leaves out what that step is worth: a missing value contributes nothing. What a
// nominal feature contributes counts as from above.
#pragma once

#include <cmath>
#include <limits>
#include <vector>

#include "score/depth_score.hpp"
#include "score/spacing.hpp"
#include "tree/box.hpp"

namespace imondrian::NK_ISA {

constexpr int kSides = 2;                 // below, above
constexpr double kPlainMost = 0x1.0p900;  // sums below lose nothing

template <class T>
class TreeExplainer {
 public:
  TreeExplainer(const Tree<T>& tree, Score score)
      : tree_(tree), score_(score),
        node_(score == Score::kSpacing ? static_cast<std::size_t>(tree.header[kNodeMark]) : 0), box_(node_.size()),
        means_(depth_means(tree)) {
    if (tree.empty() || score != Score::kSpacing) return;
    sight_.look_at(tree);
    needed_ = clean_needed(tree);
    find_sizes();
  }

  // What stored points get on average.
  double expected() const {
    if (tree_.empty()) return 0.0;
    return score_ == Score::kSpacing ? size_of(tree_.root()) : levels_below(tree_.root());
  }

  // Where a walk goes on: reached by `share` of the point, `depth` levels down, its parent cut at `born`.
  struct Step {
    std::int32_t node;
    double share, depth, born;
  };
  // A thread's own.
  struct Scratch {
    std::vector<Step> steps;
    std::vector<double> weight, parts, words;
    BoxScratch<T> box;
  };

  // The value of padded row x; its contributions are added to out (n_features, kSides).
  double explain(const T* x, double* out, Scratch& scratch) const {
    if (tree_.empty()) return 0.0;
    double value = 0.0;
    scratch.steps.assign(1, Step{tree_.root(), 1.0, 0.0, 0.0});
    while (!scratch.steps.empty()) {
      const Step step = scratch.steps.back();
      scratch.steps.pop_back();
      value += score_ == Score::kSpacing ? pass_spacing(x, step, out, scratch) : pass_depth(x, step, out, scratch);
    }
    return value;
  }

 private:
  double size_of(std::int32_t v) const { return v < 0 ? std::log(kFloor) : node_[v]; }
  // How many levels below v its points are, on average.
  double levels_below(std::int32_t v) const { return v < 0 ? hidden_depth(tree_.leaf_mass[~v]) : means_.at(v); }
  // What a step from v to its child is worth.
  double worth(std::int32_t v, std::int32_t child) const {
    return score_ == Score::kSpacing ? below(v, child) - node_[v] : means_.gain(v, child);
  }
  bool falls_short(std::int32_t v) const { return tree_.clean_of(v) < needed_; }

  // From the leaves up.
  void find_sizes() {
    std::vector<std::int32_t> order;
    const auto reach = [&](std::int32_t v) {
      if (v >= 0) order.push_back(v);
    };
    const std::vector<T> nothing(static_cast<std::size_t>(tree_.width), std::numeric_limits<T>::quiet_NaN());
    BoxScratch<T> scratch;
    reach(tree_.root());
    for (std::size_t i = 0; i < order.size(); ++i) {
      for (int side = 0; side < 2; ++side) reach(tree_.child[2 * std::int64_t{order[i]} + side]);
    }
    if (!tree_.lower) {
      BoxSweep<T>(tree_, sight_).run([&](std::int32_t v, const T* lo, const T* hi) {
        const std::int32_t* const child = tree_.child + 2 * std::int64_t{v};
        if (falls_short(child[0]) || falls_short(child[1]))
          box_[v] = sight_.usual(tree_, v, sight_.extent_in(tree_, v, lo, hi, nothing.data()), scratch);
      });
    }
    for (std::size_t i = order.size(); i-- > 0;) {
      const std::int32_t v = order[i];
      const std::int32_t left = tree_.child[2 * std::int64_t{v}], right = tree_.child[2 * std::int64_t{v} + 1];
      if (tree_.lower && (falls_short(left) || falls_short(right))) {
        box_[v] = sight_.usual(tree_, v, sight_.extent(tree_, v, nothing.data(), scratch), scratch);
      }
      node_[v] = (tree_.mass_of(left) * below(v, left) + tree_.mass_of(right) * below(v, right)) /
                 (tree_.mass_of(left) + tree_.mass_of(right));
    }
  }

  // V of a child; where its clean mass falls short, what is stored below it gets the size of its parent's box.
  double below(std::int32_t v, std::int32_t child) const { return falls_short(child) ? box_[v] : size_of(child); }

  static void add(double* out, std::int64_t j, bool above, double amount) { out[kSides * j + above] += amount; }

  // Go on from a node, whatever the score; each child's step is worth value(child) - value(node). Returns what
  // is to be added to the value: for want of a value, the step does not count.
  template <class Enter>
  double go_on(const T* x, const Step& step, double* out, const Enter& enter) const {
    const std::int32_t v = step.node;
    const std::int32_t left = tree_.child[2 * std::int64_t{v}], right = tree_.child[2 * std::int64_t{v} + 1];
    const T at = x[tree_.feature[v]];
    if (at == at) {
      const bool goes_right = tree_.is_right(v, at), above = goes_right || is_nominal(tree_.feature[v]);
      const std::int32_t child = goes_right ? right : left;
      add(out, tree_.feature[v], above, step.share * worth(v, child));
      enter(child, step.share);
      return 0.0;
    }
    const std::int32_t child = drawn_side(tree_, v) ? right : left;
    enter(child, step.share);
    return -step.share * worth(v, child);
  }

  // Levels, of leaves or under virtual insertion (score/depth_score.hpp).
  double pass_depth(const T* x, Step step, double* out, Scratch& scratch) const {
    const std::int32_t v = step.node;
    double value = 0.0;
    if (score_ == Score::kInsertion) {
      const T* lo = tree_.lower_of(v);
      const T* hi = tree_.upper_of(v);
      const double distance = separation_rate(tree_, x, lo, hi);
      double leaves = v < 0 && distance > 0.0 ? 1.0 : 0.0;
      if (v >= 0 && distance > 0.0) leaves = -std::expm1(-distance * (tree_.time[v] - step.born));
      if (leaves > 0.0) {
        value = step.share * leaves * (step.depth + 1.0);
        const double amount = step.share * leaves * (1.0 - levels_below(v));
        const double* const words = bits_apart(x, lo, hi, scratch);
        spread(x, lo, hi, tree_.rate, tree_.width, nullptr, words, amount, out, scratch);
        step.share *= 1.0 - leaves;
      }
    }
    if (v < 0) return value + step.share * (step.depth + levels_below(v));
    if (step.share == 0.0) return value;
    return value + go_on(x, step, out, [&](std::int32_t child, double share) {
             scratch.steps.push_back({child, share, step.depth + 1.0, tree_.time[v]});
           });
  }

  double pass_spacing(const T* x, const Step& step, double* out, Scratch& scratch) const {
    const std::int32_t v = step.node;
    if (v < 0) return stretch(x, v, step.share, std::log(kFloor), out, scratch);
    if (falls_short(v)) return stretch(x, v, step.share, node_[v], out, scratch);  // the root
    double value = 0.0;
    const double left_out = go_on(x, step, out, [&](std::int32_t child, double share) {
      if (falls_short(child)) {
        value += stretch(x, v, share, box_[v], out, scratch);
      } else {
        scratch.steps.push_back({child, share, 0.0, 0.0});
      }
    });
    return value + left_out;
  }

  // End in a box: what x adds to its log size.
  double stretch(const T* x, std::int32_t v, double share, double log_size, double* out, Scratch& scratch) const {
    if (sight_.near() > 0.0) return stretch_wide(x, v, share, out, scratch);
    const double value = std::log(sight_.extent(tree_, v, x, scratch.box));
    if (value == log_size) return share * value;
    stretch_box(x, v, share * (value - log_size), out, scratch);
    return share * value;
  }

  // Share an amount out over the features in which x is outside the box of v.
  void stretch_box(const T* x, std::int32_t v, double amount, double* out, Scratch& scratch) const {
    T row[kMostSeen];
    const std::size_t width = static_cast<std::size_t>(sight_.width());
    scratch.box.lower.resize(width), scratch.box.upper.resize(width);
    const T* lo = scratch.box.lower.data();
    const T* hi = scratch.box.upper.data();
    sight_.box(tree_, v, scratch.box.lower.data(), scratch.box.upper.data());
    const double* const words = strange_levels(x, v, scratch);
    spread(sight_.row(x, row), lo, hi, sight_.rate(), sight_.width(), names(), words, amount, out, scratch);
  }

  // The same of a wide forest: for the extent, then for the distance to the nearest clean point.
  double stretch_wide(const T* x, std::int32_t v, double share, double* out, Scratch& scratch) const {
    BoxScratch<T>& box = scratch.box;
    std::int32_t nearest = kNobody;
    const double extent = sight_.extent(tree_, v, x, box), away = sight_.nearest(tree_, v, x, kNobody, &nearest);
    const double size = sight_.extent(tree_, v, box.no_values(tree_.width), box);
    scratch.parts.resize(static_cast<std::size_t>(sight_.n_seen()));
    const double apart = sight_.among(tree_, v, box, scratch.parts.data()), others = apart == kFar ? size : apart;
    const double value = sight_.value(tree_, v, extent, away, box);
    const double near = away == kFar ? 0.0 : sight_.near() * (std::log(away) - std::log(others));
    const double rest = value - sight_.mixed(size, others) - near;
    if (rest != 0.0) stretch_box(x, v, share * rest, out, scratch);
    if (near != 0.0) compare(x, tree_.lower_of(~nearest), share * near, away, others, out, scratch);
    return share * value;
  }

  // Share out what the distance to a clean point, kFloor + away, is worth against kFloor + others: to each feature that
  // x has by what it adds to the one less what it adds to the other (scratch.parts).
  void compare(const T* x, const T* point, double amount, double away, double others, double* out,
               Scratch& scratch) const {
    T own[kMostSeen], theirs[kMostSeen];
    const T* const at = sight_.row(x, own);
    const T* const there = sight_.row(point, theirs);
    const std::int64_t n = sight_.n_seen();
    std::vector<double>&usual = scratch.parts, &parts = scratch.weight;
    parts.assign(static_cast<std::size_t>(n), 0.0);
    double paid[kMostSeen];
    const bool mixed = sight_.nominal().n > 0;
    if (mixed) sight_.costs_of(tree_, x, paid);
    sight_.add_parts(at, there, 1.0, parts.data(), mixed ? paid : nullptr);
    double sum = 0.0, usual_sum = 0.0, present = 0.0;
    for (std::int64_t j = 0; j < n; ++j) {
      if (at[j] != at[j]) usual[j] = 0.0;
      sum += parts[j], usual_sum += usual[j], present += at[j] == at[j];
    }
    const double least = away - others;
    const bool plain = std::max(sum, usual_sum) < kPlainMost && (usual_sum > 0.0) == (others > kFloor);
    if (plain && least != 0.0) {
      const auto share_of = [](double part, double total) { return total > 0.0 ? part / total : 0.0; };
      for (std::int64_t j = 0; j < n; ++j) {
        const double now = (away - kFloor) * share_of(parts[j], sum);  // total may be tiny: no factor of it alone
        const double before = (others - kFloor) * share_of(usual[j], usual_sum);
        const double part = amount * ((now - before) / least);
        if (part != 0.0) add(out, name(j), at[j] > there[j] || is_nominal(name(j)), part);
      }
    } else if (sum > 0.0) {
      const double* const words = mixed ? levels_apart(at, there, paid, scratch) : nullptr;
      spread(at, there, there, sight_.rate(), sight_.width(), names(), words, amount, out, scratch);
    } else {
      for (std::int64_t j = 0; j < n; ++j) {
        if (at[j] == at[j]) add(out, name(j), at[j] > there[j] || is_nominal(name(j)), amount / present);
      }
    }
  }

  bool is_nominal(std::int64_t j) const { return tree_.kinds.is_nominal(j); }

  // By feature: what tells the word of x from a box, in cuts per unit of time; of numbers NaN. Null if all are numbers.
  const double* bits_apart(const T* x, const T* lo, const T* hi, Scratch& scratch) const {
    if (!tree_.kinds.any()) return nullptr;
    scratch.words.assign(static_cast<std::size_t>(tree_.width), std::numeric_limits<double>::quiet_NaN());
    const MixedExcesses<T> outside{{x, lo, hi, tree_.rate}, tree_.kinds};
    for (std::int64_t k = 0; k < tree_.kinds.n; ++k) {
      scratch.words[tree_.kinds.which[k]] = outside.of(tree_.kinds.which[k]);
    }
    return scratch.words.data();
  }
  // By feature that the tree sees: what x pays for a level that no clean point in the box of v has; of numbers NaN.
  const double* strange_levels(const T* x, std::int32_t v, Scratch& scratch) const {
    const SeenNominal& nominal = sight_.nominal();
    if (nominal.n == 0) return nullptr;
    scratch.words.assign(static_cast<std::size_t>(sight_.width()), std::numeric_limits<double>::quiet_NaN());
    const std::uint64_t strange = nominal.strange(tree_, v, x, kNobody);
    for (std::int32_t k = 0; k < nominal.n; ++k) {
      scratch.words[nominal.place[k]] =
          ((strange >> k) & 1) != 0 ? nominal.cost(tree_, k, x[nominal.feature[k]], 0.0) : 0.0;
    }
    return scratch.words.data();
  }

  // By feature that the tree sees: what it costs that the levels of two points differ; of numbers NaN.
  const double* levels_apart(const T* a, const T* b, const double* paid, Scratch& scratch) const {
    scratch.words.assign(static_cast<std::size_t>(sight_.width()), std::numeric_limits<double>::quiet_NaN());
    for (std::int32_t k = 0; k < sight_.nominal().n; ++k) {
      const std::int32_t j = sight_.nominal().place[k];
      scratch.words[j] = a[j] != b[j] && a[j] == a[j] && b[j] == b[j] ? paid[k] : 0.0;
    }
    return scratch.words.data();
  }

  const std::int32_t* names() const { return sight_.sees_few() ? tree_.bag : nullptr; }
  std::int64_t name(std::int64_t j) const { return sight_.sees_few() ? tree_.bag[j] : j; }

  // Share an amount out over the features in which x is outside [lo, hi]. names: of the features; null: 0, 1, ...
  // words: how far nominal features are outside, NaN where there is a number; null: there are numbers only.
  void spread(const T* x, const T* lo, const T* hi, const T* rate, std::int64_t width, const std::int32_t* names,
              const double* words, double amount, double* out, Scratch& scratch) const {
    const Far far{{x, lo, hi, rate}, score_ == Score::kSpacing, words};
    std::vector<double>& weight = scratch.weight;
    weight.assign(static_cast<std::size_t>(width), 0.0);
    double total = 0.0;
    for (std::int64_t j = 0; j < width; ++j) total += weight[j] = far.of(j);
    if (!is_plain<double>(total)) {
      const int top = top_exponent(far, width);
      total = 0.0;
      for (std::int64_t j = 0; j < width; ++j) total += weight[j] = against(far.wide_of(j), top);
    }
    for (std::int64_t j = 0; j < width && total > 0.0; ++j) {
      const bool above = x[j] > hi[j] || far.is_word(j);
      if (weight[j] > 0.0) add(out, names ? names[j] : j, above, amount * (weight[j] / total));
    }
  }

  // How far x is outside a box along each feature; with `odd`, also where there is no rate (score/spacing.hpp).
  struct Far {
    Excesses<T> outside;
    bool odd;
    const double* words;
    bool is_word(std::int64_t j) const { return words && words[j] == words[j]; }
    bool is_odd(std::int64_t j) const {
      return odd && outside.rate[j] == T(0) && (outside.x[j] < outside.lo[j] || outside.x[j] > outside.hi[j]);
    }
    double of(std::int64_t j) const { return is_word(j) ? words[j] : is_odd(j) ? kOddConstant : outside.of(j); }
    Wide wide_of(std::int64_t j) const {
      return is_word(j) ? wide(words[j]) : is_odd(j) ? wide(kOddConstant) : outside.wide_of(j);
    }
  };

  const Tree<T>& tree_;
  Score score_;
  double needed_ = 0.0;
  Sight<T> sight_;
  std::vector<double> node_, box_;  // V of sizes, and the log sizes of boxes where walks end
  DepthMeans<T> means_;
};

}  // namespace imondrian::NK_ISA

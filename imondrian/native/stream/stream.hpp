// Learning point by point: what every tree keeps, and the rows of the shared store.
//
// Unbounded trees keep every point. A sliding window keeps the last `window` points that entered, in
// a ring; with decay > 0 each point enters a full tree with probability 1 - exp(-decay), so that
// trees hold different points and reach further back.
// A reservoir keeps `window` points a tree drawn with weight exp(decay * arrival) (decay 0:
// uniformly), by the largest Gumbel keys (Efraimidis and Spirakis 2006, in logarithms): a heap with
// the smallest key on top. The arrival of the next point that beats it is drawn ahead from the
// exact law, so a tree that keeps its sample pays nothing for a point.
//
// Windows by age (clock.hpp) have a ring of which all places are held from the start, the oldest of them blank; and
// where it matters when a point comes, that is its time instead of its number.
//
// A forgotten point leaves its tree, but keeps its place among the members (kNobody) until it would have
// left: who else is kept never depends on it, and the others stay what they are, the last points or
// a sample. Filling its place at once would favour the newcomer.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "nativekit/atomic.hpp"
#include "score/depth_score.hpp"
#include "score/means.hpp"
#include "stream/clock.hpp"
#include "stream/remove.hpp"
#include "tree/extend.hpp"
#include "tree/levels.hpp"

namespace imondrian::NK_ISA {

// Whether tree t keeps the next point, which comes `now`.
inline bool keeps_next(const ForestView& forest, std::int64_t t, double now) {
  if (forest.clock) return keeps_timed(forest, t, now);
  const std::int64_t* const state = forest.stream + kStreamSize * t;
  return static_cast<Memory>(forest.memory) == Memory::kUnbounded || state[kHeld] < forest.window ||
         state[kSeen] >= state[kNext];
}
// Let it pass if it does not.
inline void skip_next(const ForestView& forest, std::int64_t t, double now) {
  ++forest.stream[kStreamSize * t + kSeen];
  if (forest.clock && static_cast<Memory>(forest.memory) == Memory::kReservoir)
    forest.pace[kPaceSize * t + kBudget] -= hazard(forest, t, now);
}

// One tree's members. Nothing here looks at coordinates, so what is kept cannot depend on them.
template <class T>
class TreeStream {
 public:
  TreeStream(const ForestView& forest, std::int64_t t)
      : forest_(forest), t_(t), tree_(forest, t), memory_(static_cast<Memory>(forest.memory)), decay_(forest.decay),
        window_(forest.window), leaf_(forest.member_leaf ? forest.member_leaf + t * window_ : nullptr),
        key_(forest.member_key ? forest.member_key + t * window_ : nullptr),
        seen_(forest.stream[kStreamSize * t + kSeen]), held_(forest.stream[kStreamSize * t + kHeld]),
        next_(forest.stream[kStreamSize * t + kNext]), oldest_(forest.stream[kStreamSize * t + kOldest]),
        refs_(forest.refs), pace_(forest.pace ? forest.pace + kPaceSize * t : nullptr),
        time_(forest.member_time ? forest.member_time + t * window_ : nullptr) {}

  Tree<T>& tree() { return tree_; }

  // Learn the stored point `row`, whose path ends in `leaf` (~slot) unless the tree is empty.
  NK_INLINE void learn(std::int32_t row, std::int32_t leaf, Amount amount, double now) {
    const double key = memory_ == Memory::kReservoir ? draw_key(now) : now;
    const Inserted inserted = insert(tree_, row, leaf, amount);
    if (tree_.levels) note_levels(row, inserted, amount.mass);
    forget_means(tree_, inserted.leaf);
    if (inserted.let_go != row) nativekit::atomic_add(refs_ + row, 1);
    if (inserted.let_go != row && inserted.let_go != kNobody) nativekit::atomic_add(refs_ + inserted.let_go, -1);
    if (memory_ != Memory::kUnbounded) {
      // The newcomer is inserted before the old point goes: its score still saw the full window.
      evict(enter(key, inserted.leaf | (amount.clean < amount.mass ? kFlaggedMember : 0)));
      if (held_ == window_ && (memory_ == Memory::kReservoir || decay_ > 0.0)) pace_ ? draw_pace() : draw_next();
    }
    ++seen_;
  }

  // Forget one point of the leaf. Of equal points the oldest leaves a ring, and any of them a heap: the
  // keys of the others must keep their law.
  NK_INLINE void forget(std::int32_t leaf) {
    if (memory_ == Memory::kSliding) {
      std::int64_t place = oldest_;
      while (leaf_of(leaf_[place]) != leaf) place = place + 1 < held_ ? place + 1 : 0;
      evict(leaf_[place]);
      leaf_[place] = kNobody;
    } else if (memory_ == Memory::kReservoir) {
      std::int64_t copy = 0, place = 0;
      const double copies = tree_.leaf_mass[leaf];
      if (copies > 1.0) copy = static_cast<std::int64_t>(Rng(tree_.rng).below(static_cast<std::uint64_t>(copies)));
      while (leaf_of(leaf_[place]) != leaf || copy-- > 0) ++place;
      evict(leaf_[place]);
      leaf_[place] = kNobody;
    } else {
      // Nobody knows which of several copies were flagged: each is taken to be as clean as all.
      take(leaf, 1.0, tree_.clean ? tree_.leaf_clean[leaf] / tree_.leaf_mass[leaf] : 0.0);
    }
  }

  // Let points go that are older than the horizon, but for the last.
  NK_INLINE void expire(double now) {
    const double kept = std::min(kWarmUp, static_cast<double>(window_));
    while (has_outlived(forest_, t_, now) && tree_.total_mass() > kept) {
      std::int32_t& member = leaf_[(oldest_ + static_cast<std::int64_t>(pace_[kBlank])) % window_];
      evict(member);
      member = kNobody;
      pace_[kBlank] += 1.0;
    }
  }

 private:
  // A point that takes a leaf over gives its levels to what the leaf held, too.
  void note_levels(std::int32_t row, const Inserted& inserted, double mass) {
    const bool took_over = inserted.let_go != kNobody && inserted.let_go != row;
    const double held = tree_.leaf_mass[inserted.leaf];
    if (took_over) {
      add_levels(tree_, tree_.points + std::int64_t{inserted.let_go} * tree_.width, held - mass, -1);
    }
    add_levels(tree_, tree_.lower_of(~inserted.leaf), took_over ? held : mass, 1);
  }
  NK_INLINE void take(std::int32_t leaf, double mass, double clean) {
    const std::int32_t row = tree_.leaf_point[leaf];
    forget_means(tree_, leaf);
    if (tree_.levels) add_levels(tree_, tree_.lower_of(~leaf), std::min(mass, tree_.leaf_mass[leaf]), -1);
    if (remove(tree_, leaf, mass, clean, memory_ != Memory::kUnbounded)) nativekit::atomic_add(refs_ + row, -1);
  }
  NK_INLINE void evict(std::int32_t member) {
    if (member != kNobody) take(leaf_of(member), 1.0, is_flagged(member) ? 0.0 : 1.0);
  }

  // Make `member` one; returns the one that leaves in its favour, or nobody.
  NK_INLINE std::int32_t enter(double key, std::int32_t member) {
    if (time_) return enter_ring(key, member);
    std::int32_t leaving = kNobody;
    if (held_ < window_) {
      if (memory_ == Memory::kReservoir) {
        sift_up(held_++, key, member);
      } else {
        leaf_[held_++] = member;
        oldest_ = 0;
      }
    } else if (memory_ == Memory::kReservoir) {
      leaving = leaf_[0];
      sift_down(std::max(key, key_[0]), member);
    } else {
      leaving = leaf_[oldest_];
      leaf_[oldest_] = member;
      oldest_ = oldest_ + 1 == window_ ? 0 : oldest_ + 1;
    }
    return leaving;
  }

  // The same in a ring by age. In a full one that is thinned, a span's point takes the place of the one before.
  NK_INLINE std::int32_t enter_ring(double now, std::int32_t member) {
    const double span = decay_ > 0.0 ? span_of(forest_, t_, now) : 0.0;
    const bool full = pace_[kBlank] == 0.0, again = full && decay_ > 0.0 && span == pace_[kSpan];
    if (!again) {
      pace_[kSpan] = span;
      pace_[kSpanFrom] = static_cast<double>(seen_);
      if (!full) pace_[kBlank] -= 1.0;
    }
    const std::int64_t place = again ? (oldest_ + window_ - 1) % window_ : oldest_;
    const std::int32_t leaving = leaf_[place];
    leaf_[place] = member;
    time_[place] = now;
    if (!again) oldest_ = oldest_ + 1 == window_ ? 0 : oldest_ + 1;
    return leaving;
  }

  // The key in a reservoir of the point that enters next.
  double draw_key(double now) {
    const double arrival = pace_ ? now / forest_.clock[kHorizon] : decay_ * static_cast<double>(seen_);
    if (held_ < window_) return arrival - std::log(Rng(tree_.rng).exponential());
    // -log of a Gumbel's distribution function, given that the key beats the smallest one held.
    const double most = std::exp(arrival - key_[0]);
    const double u = Rng(tree_.rng).uniform();
    return arrival - std::log(-std::log1p(u * std::expm1(-most)) + 1e-300);
  }

  // The next arrival that enters. Sliding: geometric. Reservoir: the first n > seen with the sum over k in
  // (seen, n] of exp(decay k - smallest key) above a unit exponential: an arrival beats the key with that
  // hazard.
  void draw_next() {
    double steps = Rng(tree_.rng).exponential();
    if (memory_ == Memory::kSliding) {
      steps /= decay_;
    } else {
      const double start = decay_ * static_cast<double>(seen_ + 1);
      steps *= std::exp(key_[0] - start);
      if (decay_ > 0.0) steps = std::log1p(steps * std::expm1(decay_)) / decay_;
    }
    next_ = seen_ + std::max<std::int64_t>(1, static_cast<std::int64_t>(std::ceil(std::min(steps, kFar))));
  }

  // The same by time. Of a span's k-th point, which is kept, the next one that is kept is drawn: it is beyond the j-th
  // with probability k / j. Beyond now, a reservoir's point enters once the hazard of all since adds up to an
  // exponential.
  void draw_pace() {
    if (memory_ == Memory::kReservoir) {
      pace_[kBudget] = Rng(tree_.rng).exponential();
    } else if (pace_[kBlank] == 0.0) {
      const double k = static_cast<double>(seen_) - pace_[kSpanFrom] + 1.0;
      next_ = static_cast<std::int64_t>(pace_[kSpanFrom] + std::min(std::floor(k / Rng(tree_.rng).uniform()), kFar));
    }
  }

  void sift_up(std::int64_t i, double key, std::int32_t member) {
    for (; i > 0 && key_[(i - 1) / 2] > key; i = (i - 1) / 2) {
      key_[i] = key_[(i - 1) / 2];
      leaf_[i] = leaf_[(i - 1) / 2];
    }
    key_[i] = key;
    leaf_[i] = member;
  }

  void sift_down(double key, std::int32_t member) {
    std::int64_t i = 0;
    for (std::int64_t c; (c = 2 * i + 1) < held_; i = c) {
      if (c + 1 < held_ && key_[c + 1] < key_[c]) ++c;
      if (!(key_[c] < key)) break;
      key_[i] = key_[c];
      leaf_[i] = leaf_[c];
    }
    key_[i] = key;
    leaf_[i] = member;
  }

  static constexpr double kFar = 4e18;

  const ForestView& forest_;
  std::int64_t t_;
  Tree<T> tree_;
  Memory memory_;
  double decay_;
  std::int64_t window_;
  std::int32_t* leaf_;
  double* key_;
  std::int64_t& seen_;
  std::int64_t& held_;
  std::int64_t& next_;
  std::int64_t& oldest_;
  std::int32_t* refs_;
  double* pace_;
  double* time_;
};

// Rows no leaf points at, from the lowest: cheap, because it runs once for many points.
inline void sweep_rows(const ForestView& forest) {
  std::int64_t n = 0;
  for (std::int64_t row = forest.n_rows - 1; row >= 0; --row) {
    if (forest.refs[row] == 0) forest.free_rows[n++] = static_cast<std::int32_t>(row);
  }
  *forest.n_free_rows = n;
}

}  // namespace imondrian::NK_ISA

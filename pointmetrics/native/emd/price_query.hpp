// The question that a PriceTree answers. Included once per instruction set (isa/level.hpp).

namespace pointmetrics::emd::NK_ISA {

using pointmetrics::NK_ISA::add_square;
using pointmetrics::NK_ISA::gap_between;
using pointmetrics::NK_ISA::sq_distance;

using Rough = nativekit::NK_ISA::Pack<float, kFan>;
using Exact = nativekit::NK_ISA::Pack<double, kMostHits>;

// The k best hits so far, at first those that came with the question. A full set always: places that no column has yet
// hold the bound asked for.
class Best {
 public:
  NK_INLINE Best(std::int32_t k, double below, Hits& out) : below_(below), k_(k), out_(out) {
    alignas(64) double value[kMostHits], column[kMostHits];
    for (std::int32_t l = out.count; l < k; ++l) out.hit[l] = {below, 0.0, -1};
    for (std::int32_t l = 0; l < kMostHits; ++l) {
      value[l] = l < k ? out.hit[l].value : -kInfinity;
      column[l] = l < k ? out.hit[l].column : -1;
    }
    values_ = Exact::load(value);
    given_ = Exact::load(column);
    n_given_ = out.count;
    below_ = values_.largest();
  }

  NK_INLINE double below() const { return below_; }
  NK_INLINE bool given(std::int32_t column) const {
    const Exact all = Exact::of(column);
    return n_given_ > 0 && (le_mask(all, given_) & le_mask(given_, all)) != 0;
  }

  // value < below(): it takes the place of the worst.
  NK_INLINE void take(double value, double cost, std::int32_t column) {
    if (k_ == 1) {
      out_.hit[0] = {value, cost, column};
      below_ = value;
      return;
    }
    const int at = nativekit::lowest_bit(le_mask(Exact::of(below_), values_));
    out_.hit[at] = {value, cost, column};
    values_ = values_.with(at, value);
    below_ = values_.largest();
  }

  NK_INLINE void finish() {
    std::int32_t count = 0;
    for (std::int32_t l = 0; l < k_; ++l) {
      if (out_.hit[l].column >= 0) out_.hit[count++] = out_.hit[l];
    }
    out_.count = count;
    out_.rest = below_;
  }

 private:
  Exact values_, given_;  // the columns given: found again, they are no news
  double below_;
  std::int32_t k_, n_given_;
  Hits& out_;
};

NK_INLINE bool more_than_three(unsigned mask) {
  for (int k = 0; k < 3; ++k) mask &= mask - 1;
  return mask != 0;
}

template <int D, bool kSquared>
class Query {
 public:
  NK_INLINE Query(const PriceTree& tree, const double* point, float* ends)
      : tree_(tree), point_(point), ends_(ends), d_(D > 0 ? D : tree.dimension()) {
    for (int a = 0; a < d_; ++a) {
      const double p = (point[a] - tree.centre()[a]) * tree.scale();
      ends_[2 * a] = rounded_up(p);
      ends_[2 * a + 1] = rounded_down(p);
      const float size = ends_[2 * a] > -ends_[2 * a + 1] ? ends_[2 * a] : -ends_[2 * a + 1];
      if (reach_ < size) reach_ = size;
    }
    keep_ = 1.0f - static_cast<float>(d_ + 8) * 0x1p-23f;  // what rounding of d squares may take
  }

  // Bounds of 16 boxes or points, not above their values in units of the tree.
  NK_INLINE Rough bounds(const float* block) const {
    Rough sum = Rough::zero();
    for (int a = 0; a < d_; ++a) {
      const Rough under = Rough::load(block + 2 * a * kFan) - Rough::of(ends_[2 * a]);
      const Rough over = Rough::of(ends_[2 * a + 1]) - Rough::load(block + (2 * a + 1) * kFan);
      const Rough gap = larger(larger(under, over), Rough::zero());
      sum = sum + gap * gap;
    }
    sum = smaller(sum, Rough::of(std::numeric_limits<float>::max() / 4));
    return (kSquared ? sum : root(sum)) * Rough::of(keep_) + Rough::load(block + 2 * d_ * kFan);
  }

  // No bound of something below `below` is above this. Squares that underflow are off by less than the addend.
  NK_INLINE float limit(double below) const {
    const float up = rounded_up(below * tree_.value_scale() + 0x1p-60);
    return up < std::numeric_limits<float>::max() ? up : std::numeric_limits<float>::max();
  }
  // Whether float32 can not tell a bound from the limit.
  NK_INLINE bool close(float bound, float limit) const {
    return bound > limit - 0x1p-17f * (reach_ + (limit < 0 ? -limit : limit));
  }

  NK_INLINE const float* block(const BoxLevel& level, std::int32_t group) const {
    return &level.rough[static_cast<std::size_t>(group) * static_cast<std::size_t>(2 * d_ + 1) * kFan];
  }

  NK_INLINE double point_cost(const double* points) const {
    const double sum = sq_distance<double>(points, kFan, point_, 1, d_);
    return kSquared ? sum : std::sqrt(sum);
  }

  // The costs of 16 points, with the same bits.
  NK_INLINE Exact point_costs(const double* points) const {
    Exact sum = Exact::zero();
    for (int a = 0; a < d_; ++a) {
      sum = add_square(sum, Exact::load(points + a * kFan) - Exact::of(point_[a]));
    }
    return kSquared ? sum : root(sum);
  }

  // The costs of getting to 16 boxes. Rounding is monotone, so no computed value of a point inside is below them.
  NK_INLINE Exact box_costs(const double* lower, const double* upper) const {
    Exact sum = Exact::zero();
    for (int a = 0; a < d_; ++a) {
      const Exact at = Exact::of(point_[a]);
      const Exact low = Exact::load(lower + a * kFan), high = Exact::load(upper + a * kFan);
      sum = add_square(sum, gap_between(low, high, at, at, Exact::zero()));
    }
    return kSquared ? sum : root(sum);
  }

  // The same of one.
  NK_INLINE double box_value(const BoxLevel& level, std::int32_t node) const {
    const std::size_t first = static_cast<std::size_t>(node / kFan) * static_cast<std::size_t>(d_) * kFan;
    double sum = 0.0;
    for (int a = 0; a < d_; ++a) {
      const std::size_t at = first + static_cast<std::size_t>(a * kFan + node % kFan);
      const double under = level.lower[at] - point_[a], over = point_[a] - level.upper[at];
      const double outside = under > over ? under : over;
      if (outside > 0.0) sum += outside * outside;
    }
    return (kSquared ? sum : std::sqrt(sum)) + level.price[static_cast<std::size_t>(node)];
  }

 private:
  const PriceTree& tree_;
  const double* point_;
  float* ends_;  // of each axis: the point rounded up, then down
  int d_;
  float keep_, reach_ = 0.0f;
};

constexpr int kMostPending = 10 * kFan;  // 16^10 points are more than an int32 counts

// What is looked at later, by its bound in float32 or float64.
template <class Bound>
struct Pending {
  Bound bound;
  std::int32_t level, group;
};

// Push the lanes of a group that `mask` names, the one with the least bound last.
template <class Bound>
NK_INLINE void push_lanes(unsigned mask, const Bound* bound, std::int32_t level, std::int32_t first,
                          Pending<Bound>* stack, int& depth) {
  const int bottom = depth;
  for (; mask != 0; mask &= mask - 1) {
    const int lane = nativekit::lowest_bit(mask);
    int at = depth++;
    for (; at > bottom && stack[at - 1].bound < bound[lane]; --at) stack[at] = stack[at - 1];
    stack[at] = {bound[lane], level, first + lane};
  }
}

// Take what the points of a group that `mask` names have to offer.
template <class Query>
NK_INLINE void take_points(const Query& query, unsigned mask, const double* points, const double* price,
                           std::int32_t first, Best& best) {
  for (; mask != 0; mask &= mask - 1) {
    const int lane = nativekit::lowest_bit(mask);
    const double cost = query.point_cost(points + lane);
    const double exact = cost + price[lane];
    if (exact < best.below() && !best.given(first + lane)) best.take(exact, cost, first + lane);
  }
}

template <int D, bool kSquared>
NK_INLINE void search(const PriceTree& tree, const double* point, float* ends, std::int32_t k, double below,
                      Hits& hits) {
  const BoxLevel* levels = tree.levels().data();
  const Query<D, kSquared> query(tree, point, ends);
  const std::size_t d = static_cast<std::size_t>(tree.dimension());
  Best best(k, below, hits);
  float limit = query.limit(best.below());
  Pending<float> stack[kMostPending];
  int depth = 0;
  const std::int32_t top = static_cast<std::int32_t>(tree.levels().size()) - 1;
  stack[depth++] = {-std::numeric_limits<float>::infinity(), top, 0};
  alignas(64) float value[kFan];
  while (depth > 0) {
    const Pending<float> here = stack[--depth];
    if (!(here.bound <= limit)) continue;
    if (query.close(here.bound, limit) && !(query.box_value(levels[here.level + 1], here.group) < best.below()))
      continue;
    const BoxLevel& level = levels[here.level];
    const Rough bounds = query.bounds(query.block(level, here.group));
    unsigned mask = le_mask(bounds, Rough::of(limit));
    const std::int32_t first = here.group * kFan;
    if (here.level == 0) {
      const double* points = &level.lower[static_cast<std::size_t>(first) * d];
      const double* price = &level.price[static_cast<std::size_t>(first)];
      // Many at once: most of them may be ties, which only their exact values tell from better ones.
      if (more_than_three(mask)) {
        const Exact costs = query.point_costs(points), values = costs + Exact::load(price);
        mask &= ~le_mask(Exact::of(best.below()), values);
      }
      take_points(query, mask, points, price, first, best);
      limit = query.limit(best.below());
      continue;
    }
    bounds.store(value);
    push_lanes(mask, value, here.level - 1, first, stack, depth);
  }
  best.finish();
}

// The same in float64 alone.
template <int D, bool kSquared>
NK_INLINE void search_exactly(const PriceTree& tree, const double* point, float* ends, std::int32_t k, double below,
                              Hits& hits) {
  constexpr unsigned kAll = (1u << kFan) - 1;
  const BoxLevel* levels = tree.levels().data();
  const Query<D, kSquared> query(tree, point, ends);
  const std::size_t d = static_cast<std::size_t>(tree.dimension());
  Best best(k, below, hits);
  Pending<double> stack[kMostPending];
  int depth = 0;
  stack[depth++] = {-kInfinity, static_cast<std::int32_t>(tree.levels().size()) - 1, 0};
  alignas(64) double value[kFan];
  while (depth > 0) {
    const Pending<double> here = stack[--depth];
    if (!(here.bound < best.below())) continue;
    const BoxLevel& level = levels[here.level];
    const std::int32_t first = here.group * kFan;
    const double* lower = &level.lower[static_cast<std::size_t>(first) * d];
    const double* price = &level.price[static_cast<std::size_t>(first)];
    if (here.level == 0) {
      const Exact values = query.point_costs(lower) + Exact::load(price);
      take_points(query, kAll & ~le_mask(Exact::of(best.below()), values), lower, price, first, best);
      continue;
    }
    const double* upper = &level.upper[static_cast<std::size_t>(first) * d];
    const Exact bounds = query.box_costs(lower, upper) + Exact::load(price);
    bounds.store(value);
    push_lanes(kAll & ~le_mask(Exact::of(best.below()), bounds), value, here.level - 1, first, stack, depth);
  }
  best.finish();
}

template <int D, bool kSquared, bool kExactly>
NK_INLINE void search_either(const PriceTree& tree, const double* point, float* ends, std::int32_t k, double below,
                             Hits& hits) {
  if constexpr (kExactly) {
    search_exactly<D, kSquared>(tree, point, ends, k, below, hits);
  } else {
    search<D, kSquared>(tree, point, ends, k, below, hits);
  }
}

template <int D, bool kSquared, bool kExactly>
void query(const PriceTree& tree, const double* point, std::int32_t k, double below, Hits& hits) {
  if constexpr (D > 0) {
    float ends[2 * D];
    search_either<D, kSquared, kExactly>(tree, point, ends, k, below, hits);
  } else {
    std::vector<float> ends(2 * static_cast<std::size_t>(tree.dimension()));
    search_either<D, kSquared, kExactly>(tree, point, ends.data(), k, below, hits);
  }
}

constexpr Queries kQueries = {{{{query<2, false, false>, query<3, false, false>, query<0, false, false>},
                                {query<2, true, false>, query<3, true, false>, query<0, true, false>}},
                               {{query<2, false, true>, query<3, false, true>, query<0, false, true>},
                                {query<2, true, true>, query<3, true, true>, query<0, true, true>}}}};

}  // namespace pointmetrics::emd::NK_ISA

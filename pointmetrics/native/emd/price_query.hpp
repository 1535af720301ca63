// The question that a PriceTree answers. Included once per instruction set (isa/level.hpp).

namespace pointmetrics::emd::NK_ISA {

template <bool kPoints>
NK_INLINE double gap(double lower, double upper, double p) {
  if (kPoints) return lower - p;
  // Rounding is monotone, so no computed cost of a point inside is below that of its box.
  const double under = lower - p, over = p - upper;
  const double outside = under > over ? under : over;
  return outside > 0.0 ? outside : 0.0;
}

// Costs and values of 16 boxes, or of 16 points (then upper is not read). One loop over the lanes
// for each fixed dimension: that is the form compilers turn into vector instructions.
template <int D, bool kSquared, bool kPoints>
NK_INLINE void values_of_16(const double* NK_RESTRICT lower, const double* NK_RESTRICT upper,
                            const double* NK_RESTRICT price, const double* NK_RESTRICT point, int d,
                            double* NK_RESTRICT cost, double* NK_RESTRICT value) {
  if (D == 2 || D == 3) {
    const double p0 = point[0], p1 = point[1], p2 = D == 3 ? point[2] : 0.0;
    for (int l = 0; l < kFan; ++l) {
      const double g0 = gap<kPoints>(lower[l], upper[l], p0);
      const double g1 = gap<kPoints>(lower[kFan + l], upper[kFan + l], p1);
      double sum = g0 * g0 + g1 * g1;
      if (D == 3) {
        const double g2 = gap<kPoints>(lower[2 * kFan + l], upper[2 * kFan + l], p2);
        sum += g2 * g2;
      }
      const double c = kSquared ? sum : std::sqrt(sum);
      cost[l] = c;
      value[l] = c + price[l];
    }
    return;
  }
  for (int l = 0; l < kFan; ++l) cost[l] = 0.0;
  for (int a = 0; a < d; ++a) {
    const double p = point[a];
    for (int l = 0; l < kFan; ++l) {
      const double g = gap<kPoints>(lower[a * kFan + l], upper[a * kFan + l], p);
      cost[l] += g * g;
    }
  }
  for (int l = 0; l < kFan; ++l) {
    const double c = kSquared ? cost[l] : std::sqrt(cost[l]);
    cost[l] = c;
    value[l] = c + price[l];
  }
}

NK_INLINE double lowest_of_16(const double* value) {
  double low[kFan / 2];
  for (int l = 0; l < 8; ++l) low[l] = value[l] < value[l + 8] ? value[l] : value[l + 8];
  for (int l = 0; l < 4; ++l) low[l] = low[l] < low[l + 4] ? low[l] : low[l + 4];
  low[0] = low[0] < low[2] ? low[0] : low[2];
  low[1] = low[1] < low[3] ? low[1] : low[3];
  return low[0] < low[1] ? low[0] : low[1];
}

// Move the k smallest of hits[0, count) to the front and return the largest value among them.
// Equal values at the border: first come, first kept (the order of visits is determined).
double keep_smallest(Hit* hits, double* values, std::int32_t count, std::int32_t k) {
  for (std::int32_t h = 0; h < count; ++h) values[h] = hits[h].value;
  std::nth_element(values, values + (k - 1), values + count);
  const double border = values[k - 1];
  std::int32_t n_below = 0;
  for (std::int32_t h = 0; h < k; ++h) n_below += values[h] < border;
  std::int32_t n_ties = k - n_below, kept = 0;
  for (std::int32_t h = 0; h < count; ++h) {
    const Hit hit = hits[h];
    const bool tie = hit.value == border && n_ties > 0;
    n_ties -= tie;
    hits[kept] = hit;
    kept += tie || hit.value < border;
  }
  return border;
}

struct Pending {
  double bound;
  std::int32_t level, group;
};

template <int D, bool kSquared>
NK_INLINE std::int32_t search(const PriceTree& tree, const double* point, std::int32_t k, double below,
                              Hit* hits, double* values, double* rest) {
  const std::vector<BoxLevel>& levels = tree.levels();
  const int d = tree.dimension();
  const std::int32_t capacity = 2 * k + 2 * kFan;
  std::int32_t count = 0;
  Pending stack[10 * kFan];  // 16^10 points are more than an int32 counts
  int depth = 0;
  stack[depth++] = {-kInfinity, static_cast<std::int32_t>(levels.size()) - 1, 0};
  alignas(64) double cost[kFan];
  alignas(64) double value[kFan];
  while (depth > 0) {
    const Pending here = stack[--depth];
    if (!(here.bound < below)) continue;
    const BoxLevel& level = levels[static_cast<std::size_t>(here.level)];
    const std::size_t base = static_cast<std::size_t>(here.group) * kFan;
    const double* lower = &level.lower[base * static_cast<std::size_t>(d)];
    const double* price = &level.price[base];
    if (here.level == 0) {
      values_of_16<D, kSquared, true>(lower, lower, price, point, d, cost, value);
      if (!(lowest_of_16(value) < below)) continue;
      for (int lane = 0; lane < kFan; ++lane) {  // written always, kept if below: no branch to guess
        hits[count] = {value[lane], cost[lane], static_cast<std::int32_t>(base) + lane};
        count += value[lane] < below;
      }
      if (count > capacity - kFan) {
        below = keep_smallest(hits, values, count, k);
        count = k;
      }
      continue;
    }
    values_of_16<D, kSquared, false>(lower, &level.upper[base * static_cast<std::size_t>(d)], price, point, d,
                                     cost, value);
    if (!(lowest_of_16(value) < below)) continue;
    const int bottom = depth;
    for (int lane = 0; lane < kFan; ++lane) {
      if (!(value[lane] < below)) continue;
      int at = depth++;
      for (; at > bottom && stack[at - 1].bound < value[lane]; --at) stack[at] = stack[at - 1];
      stack[at] = {value[lane], here.level - 1, static_cast<std::int32_t>(base) + lane};
    }
  }
  if (count > k) {
    below = keep_smallest(hits, values, count, k);
    count = k;
  }
  *rest = below;
  return count;
}

constexpr Queries kQueries = {{{search<2, false>, search<3, false>, search<0, false>},
                               {search<2, true>, search<3, true>, search<0, true>}}};

}  // namespace pointmetrics::emd::NK_ISA

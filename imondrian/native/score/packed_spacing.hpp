// A tree as many rows see it once they have reached its clean boxes, for the spacing score.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <vector>

#include "score/packed_levels.hpp"
#include "score/spacing.hpp"
#include "score/tree_batch.hpp"
#include "score/ways.hpp"

namespace imondrian::NK_ISA {

// Walks end where the clean box is known: in the child whose mass falls short, or where both would.
template <class T>
class CleanBoxEnds {
 public:
  explicit CleanBoxEnds(const Tree<T>& tree)
      : tree_(tree), needed_(clean_needed(tree)),
        place_(static_cast<std::size_t>(tree.header[kNodeMark]) + tree.header[kLeafMark], kNobody) {}

  bool goes_on(std::int32_t v) const {
    return v >= 0 && (enough(tree_.child[2 * std::int64_t{v}]) || enough(tree_.child[2 * std::int64_t{v} + 1]));
  }
  std::int32_t end(std::int32_t parent, std::int32_t v, double) { return place(parent, v); }
  std::int32_t place(std::int32_t parent, std::int32_t v) {
    const std::int32_t box = parent == kNobody || enough(v) ? v : parent;
    std::int32_t& place = place_[box < 0 ? tree_.header[kNodeMark] + ~box : box];
    if (place == kNobody) {
      place = static_cast<std::int32_t>(boxes_.size());
      boxes_.push_back(box);
    }
    return place;
  }
  // The place of a box where walks end, or kNobody.
  std::int32_t place_of(std::int32_t box) const { return place_[box < 0 ? tree_.header[kNodeMark] + ~box : box]; }
  std::vector<double> take_values() const { return {}; }
  const std::vector<std::int32_t>& boxes() const { return boxes_; }

 private:
  bool enough(std::int32_t v) const { return tree_.clean_of(v) >= needed_; }
  const Tree<T>& tree_;
  double needed_;
  std::vector<std::int32_t> place_, boxes_;
};

#if NK_LEVEL == 2
constexpr int kAbreastBytes = 64;
#else
constexpr int kAbreastBytes = 32;
#endif

// A tree as many rows see it once they have reached its clean boxes: every such box as the tree sees it.
template <class T>
struct PackedSpacing {
  PackedWays<T> ways;  // where some rows lack values
  std::int64_t width = 0;
  bool few = false, constant = false;
  std::vector<std::int32_t> bag;
  std::vector<T> rate, boxes;  // (width), (ends, 2, width)
  PackedLevels<T> levels;      // boxes have nothing of nominal features
  // Of wide forests: the clean points, from left to right, and which of them each end has.
  std::optional<Sight<T>> sight;
  bool holed = false;           // whether any of these points lacks a value
  std::vector<T> clean;         // (points, width)
  std::vector<const T*> whole;  // (points): as they are stored; null where one has copies
  std::vector<T> by_feature;    // the same turned over: (seen, stride)
  std::int64_t n_features = 0;
  std::int64_t stride = 0;          // the points, and room for a pack more
  std::vector<std::int32_t> first;  // (ends, 2): the first of them, and the one behind the last
  std::vector<double> apart;        // (ends): see Sight::apart()

  // kFloor + the distance from a row, x as the tree sees it, to the nearest other clean point of an end, or kFar.
  NK_INLINE double nearest(const T* x, const T* row, std::int32_t end, bool plain) const {
    double least = kFar;
    for (std::int32_t k = first[2 * end]; k < first[2 * end + 1]; ++k) {
      const T* const point = clean.data() + k * width;
      const double away =
          plain ? stretched_extent(x, point, point, rate.data(), width, constant) : sight->distance(x, point);
      if (away < least && !is_itself(k, row, away)) least = away;
    }
    return least;
  }
  // The same where no value is missing and no feature constant: points side by side, each of them summed in the order
  // of stretched_extent().
  NK_INLINE double nearest_abreast(const T* x, const T* row, std::int32_t end) const {
    using Q = nativekit::NK_ISA::Pack<T, kAbreastBytes / static_cast<int>(sizeof(T))>;
    constexpr int kSums = Pack<T>::kLanes;
    const std::int32_t last = first[2 * end + 1];
    const std::int64_t n = sight->n_seen();
    double least = kFar;
    for (std::int32_t k = first[2 * end]; k < last; k += Q::kLanes) {
      Q sum[kSums];
      for (Q& part : sum) part = Q::zero();
      const T* from = by_feature.data() + k;
      const auto add = [&](Q& part, std::int64_t j) {
        const Q away = Q::of(x[j]) - Q::load(from + j * stride);
        part = part + larger(away, Q::zero() - away) * Q::of(rate[j]);
      };
      std::int64_t j = 0;
      for (; j + kSums <= n; j += kSums) {
        for (int c = 0; c < kSums; ++c) add(sum[c], j + c);
      }
      for (int c = 0; j < n; ++c, ++j) add(sum[c], j);
      for (int half = kSums / 2; half > 0; half /= 2) {
        for (int c = 0; c < half; ++c) sum[c] = sum[c] + sum[c + half];
      }
      T lane[Q::kLanes];
      sum[0].store(lane);
      for (std::int32_t i = 0; i < std::min(last - k, Q::kLanes); ++i) {
        const double away = static_cast<double>(lane[i]);
        if (!(away <= Plain<T>::kMost)) return nearest(x, row, end, true);
        if (kFloor + away < least && !is_itself(k + i, row, kFloor + away)) least = kFloor + away;
      }
    }
    return least;
  }
  bool is_itself(std::int32_t k, const T* row, double away) const {
    return away == kFloor && whole[k] && same_row(whole[k], row, n_features);
  }
};

// Gather the clean points of a tree, and which each end has.
template <class T>
void write_clean(const Tree<T>& tree, const CleanBoxEnds<T>& ends, bool missing, PackedSpacing<T>& packed) {
  std::vector<std::int32_t> place(static_cast<std::size_t>(tree.header[kLeafMark]), 0);
  const Sight<T>& sight = *packed.sight;
  for_each_leaf(tree, tree.root(), [&](std::int32_t leaf) {
    place[leaf] = static_cast<std::int32_t>(packed.clean.size()) / static_cast<std::int32_t>(packed.width);
    if (!(tree.leaf_clean[leaf] > 0.0)) return;
    T own[kMostSeen];
    const T* const point = sight.row(tree.lower_of(~leaf), own);
    packed.clean.insert(packed.clean.end(), point, point + packed.width);
    packed.whole.push_back(tree.leaf_clean[leaf] <= 1.0 ? tree.lower_of(~leaf) : nullptr);
    packed.holed |= count_shared(point, point, sight.n_seen()) < sight.n_seen();
  });
  const std::int64_t n = static_cast<std::int64_t>(packed.clean.size()) / packed.width;
  packed.stride = n + kAbreastBytes / static_cast<std::int64_t>(sizeof(T));
  packed.by_feature.assign(static_cast<std::size_t>(sight.n_seen() * packed.stride), T(0));
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = 0; j < sight.n_seen(); ++j) {
      packed.by_feature[j * packed.stride + i] = packed.clean[i * packed.width + j];
    }
  }
  BoxScratch<T> scratch;
  for (const std::int32_t box : ends.boxes()) {
    std::int32_t v = box;
    while (v >= 0) v = tree.child[2 * std::int64_t{v}];
    std::int32_t held = 0;
    for_each_leaf(tree, box, [&](std::int32_t leaf) { held += tree.leaf_clean[leaf] > 0.0; });
    packed.first.push_back(place[~v]);
    packed.first.push_back(place[~v] + held);
    if (missing) packed.apart.push_back(sight.apart(tree, box, scratch));
  }
}

template <class T>
void write_boxes(const Tree<T>& tree, const Sight<T>& sight, const CleanBoxEnds<T>& ends, T* out) {
  const std::int64_t width = sight.width();
  const auto visit = [&](std::int32_t v, const T* lo, const T* hi) {
    const std::int64_t place = ends.place_of(v);
    if (place < 0) return;
    copy_row(out + 2 * width * place, lo, width);
    copy_row(out + 2 * width * place + width, hi, width);
  };
  for (std::size_t k = 0; k < ends.boxes().size(); ++k) {
    T* to = out + 2 * width * static_cast<std::int64_t>(k);
    if (tree.lower || ends.boxes()[k] < 0) sight.box(tree, ends.boxes()[k], to, to + width);
  }
  if (tree.lower) return;
  BoxSweep<T>(tree, sight).run(visit);
}

// The width in packs, if it is not 0, lets compilers unroll what they do a row.
template <int kPacks, class T>
NK_INLINE void add_extents_of(const PackedSpacing<T>& tree, const T* x, const std::int32_t* end, std::int64_t n,
                              LogSum* sums) {
  const std::int64_t width = kPacks > 0 ? kPacks * Pack<T>::kLanes : tree.width;
  const T* const boxes = tree.boxes.data();
  const T* const rate = tree.rate.data();
  const bool constant = tree.constant;
  for (std::int64_t i = 0; i < n; ++i) {
    const T* lo = boxes + end[i] * 2 * width;
    sums[i].add_log_of(stretched_extent(x + i * width, lo, lo + width, rate, width, constant));
  }
}

// kFloor + the extents of the boxes of ends, stretched to rows: x (n, tree.width) as the tree sees them, whole ones
// (n, row_width) with their codes, which are empty where no feature is nominal.
template <class T>
void find_extents(const PackedSpacing<T>& tree, const T* x, const T* rows, std::int64_t row_width,
                  const std::vector<std::int32_t>& codes, const std::int32_t* end, std::int64_t n, double* extents) {
  const std::int64_t n_codes = static_cast<std::int64_t>(codes.size()) / n, width = tree.width;
  const std::int64_t n_many = static_cast<std::int64_t>(tree.levels.n_many());
  std::vector<double> many(static_cast<std::size_t>(n * n_many));
  tree.levels.find_many(rows, n, row_width, end, many.data());
  for (std::int64_t i = 0; i < n; ++i) {
    const T* lo = tree.boxes.data() + end[i] * 2 * width;
    double extent = stretched_extent(x + i * width, lo, lo + width, tree.rate.data(), width, tree.constant);
    if (n_codes > 0) {
      extent = tree.levels.added_to(extent, codes.data() + i * n_codes, end[i], many.data() + i * n_many);
      extent = std::min(extent, kMost);
    }
    extents[i] = extent;
  }
}

template <class T>
void add_extents(const PackedSpacing<T>& tree, const T* x, const std::int32_t* end, std::int64_t n, LogSum* sums) {
  switch (tree.width / Pack<T>::kLanes) {
    case 1:
      return add_extents_of<1>(tree, x, end, n, sums);
    case 2:
      return add_extents_of<2>(tree, x, end, n, sums);
    case 3:
      return add_extents_of<3>(tree, x, end, n, sums);
    case 4:
      return add_extents_of<4>(tree, x, end, n, sums);
    default:
      return add_extents_of<0>(tree, x, end, n, sums);
  }
}

// Of wide forests: distances, too.
template <class T>
void add_near(const PackedSpacing<T>& tree, const T* x, const T* rows, std::int64_t row_width, const std::int32_t* end,
              std::int64_t n, LogSum* sums, LogSum* near_sums) {
  const std::int64_t width = tree.width;
  const bool plain = !tree.holed && !tree.constant;
  for (std::int64_t i = 0; i < n; ++i) {
    const T* lo = tree.boxes.data() + end[i] * 2 * width;
    const double extent = stretched_extent(x + i * width, lo, lo + width, tree.rate.data(), width, tree.constant);
    sums[i].add_log_of(extent);
    const T* const row = rows + i * row_width;
    const double away = plain ? tree.nearest_abreast(x + i * width, row, end[i])
                              : tree.nearest(x + i * width, row, end[i], !tree.holed);
    near_sums[i].add_log_of(away == kFar ? extent : away);
  }
}

template <class T>
void add_log_extents(const PackedSpacing<T>& tree, const T* x, const T* rows, std::int64_t row_width,
                     const std::vector<std::int32_t>& codes, const std::int32_t* end, const double* gain,
                     const std::vector<std::int64_t>& which, double* sums) {
  const std::int64_t width = tree.width, n = static_cast<std::int64_t>(which.size());
  std::vector<double> extents(which.size());
  find_extents(tree, x, rows, row_width, codes, end, n, extents.data());
  for (std::int64_t i = 0; i < n; ++i) {
    const double extent = extents[i];
    double value = std::log(extent);
    if (tree.sight) {
      const double away = tree.nearest(x + i * width, rows + i * row_width, end[i], false);
      value = away == kFar ? value + tree.apart[end[i]] : tree.sight->mixed(extent, away);
    }
    sums[which[i]] += value - gain[i];
  }
}

template <class T>
PackedSpacing<T> pack_spacing(const Tree<T>& tree, bool missing, const LevelCodes<T>& codes, WalkTree<T>& walk) {
  PackedSpacing<T> packed;
  if (tree.empty()) return packed;
  CleanBoxEnds<T> ends(tree);
  walk = pack_walk(tree, ends);
  Sight<T> sight;
  sight.look_at(tree);
  if (missing) {
    BoxScratch<T> scratch;
    prepare_tree_means(tree, sight, scratch);
    packed.ways = pack_ways(tree, ends, spacing_means(tree, sight, scratch));
  }
  packed.few = sees_few(tree);
  packed.constant = sight.has_constants();
  if (packed.few) packed.bag.assign(tree.bag, tree.bag + sight.n_seen());
  packed.width = sight.width();
  packed.rate.assign(sight.rate(), sight.rate() + packed.width);
  packed.boxes.resize(ends.boxes().size() * static_cast<std::size_t>(2 * packed.width));
  write_boxes(tree, sight, ends, packed.boxes.data());
  if (sight.nominal().n > 0) {
    packed.levels.pack(tree, sight.nominal(), codes, ends.boxes());
    for (std::size_t at = 0; at < packed.boxes.size(); at += static_cast<std::size_t>(packed.width)) {
      for (std::int32_t k = 0; k < sight.nominal().n; ++k) {
        packed.boxes[at + sight.nominal().place[k]] = std::numeric_limits<T>::quiet_NaN();
      }
    }
  }
  if (tree.near > 0.0) {
    packed.sight.emplace().look_at(tree);
    packed.n_features = tree.n_features;
    write_clean(tree, ends, missing, packed);
  }
  return packed;
}

// Scratch of one thread for a chunk of rows.
template <class T>
struct Chunk {
  std::vector<T> whole, holed, few;   // padded rows without and with missing values
  std::vector<std::int64_t> lacking;  // which of all are the latter
  std::int64_t n_whole = 0;
  std::vector<std::int32_t> end;
  std::vector<double> gain, extents;
  std::vector<std::int32_t> whole_codes, holed_codes;  // of nominal features, in either

  // Copy rows of x (n, d).
  void load(const T* x, std::int64_t n, std::int64_t d, std::int64_t width) {
    whole.resize(static_cast<std::size_t>(n * width));
    n_whole = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      T* const row = whole.data() + n_whole * width;
      copy_padded(row, x + i * d, d, width);
      if (has_missing(row, d)) {
        lacking.push_back(i);
        holed.insert(holed.end(), row, row + width);
      } else {
        ++n_whole;
      }
    }
    gain.resize(lacking.size());
  }

  // Of n padded rows, what a tree with a bag sees; all others see them as they are.
  const T* seen(const PackedSpacing<T>& tree, const T* rows, std::int64_t n, std::int64_t width) {
    if (!tree.few) return rows;
    const std::size_t size = tree.bag.size(), room = static_cast<std::size_t>(tree.width);
    few.resize(std::max(few.size(), static_cast<std::size_t>(n) * room));
    T* to = few.data();
    for (std::int64_t i = 0; i < n; ++i, to += room) {
      for (std::size_t k = 0; k < size; ++k) to[k] = rows[i * width + tree.bag[k]];
      for (std::size_t k = size; k < room; ++k) to[k] = std::numeric_limits<T>::quiet_NaN();
    }
    return few.data();
  }
};

template <class T>
void add_packed(const PackedSpacing<T>& tree, const std::int32_t* end, std::int64_t width, Chunk<T>& chunk,
                LogSum* sums, LogSum* near_sums, double* log_sums) {
  const std::int64_t n = chunk.n_whole, m = static_cast<std::int64_t>(chunk.lacking.size());
  if (n > 0) {
    const T* const whole = chunk.whole.data();
    const T* const seen = chunk.seen(tree, whole, n, width);
    if (!chunk.whole_codes.empty()) {
      chunk.extents.resize(static_cast<std::size_t>(n));
      find_extents(tree, seen, whole, width, chunk.whole_codes, end, n, chunk.extents.data());
      for (std::int64_t i = 0; i < n; ++i) sums[i].add_log_of(chunk.extents[i]);
    } else {
      near_sums ? add_near(tree, seen, whole, width, end, n, sums, near_sums) : add_extents(tree, seen, end, n, sums);
    }
  }
  if (m == 0) return;
  chunk.end.resize(static_cast<std::size_t>(m));
  walk_packed_ways(tree.ways, chunk.holed.data(), m, width, chunk.end.data(), chunk.gain.data());
  const T* rows = chunk.seen(tree, chunk.holed.data(), m, width);
  add_log_extents(tree, rows, chunk.holed.data(), width, chunk.holed_codes, chunk.end.data(), chunk.gain.data(),
                  chunk.lacking, log_sums);
}

}  // namespace imondrian::NK_ISA

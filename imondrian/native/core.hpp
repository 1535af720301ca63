// What the binding calls. Every function returns a Status; nothing throws, prints or aborts, and
// nothing that outlives a call is allocated here.
#pragma once

#include <cstdint>

#include "base/view.hpp"

namespace imondrian {

// kInterrupted: the caller's watch (nativekit/interrupt.hpp) said stop. What the call was to write is half written.
enum class Status : int { kOk = 0, kNoMemory = 1, kNoRoom = 2, kInterrupted = 3 };

enum class Score : int { kDepth = 0, kInsertion = 1, kSpacing = 2 };

// Which invariant (1-13) fails, in which tree, at which slot (nodes >= 0, leaves ~slot).
struct Fault {
  int invariant = 0;
  std::int64_t tree = -1;
  std::int64_t slot = 0;
};

// c(n), the expected depth a leaf of mass n hides.
double hidden_depth_of(double mass);

// Whether all n values of x are finite or missing.
bool no_infinity(bool is64, const void* x, std::int64_t n, int n_threads);

// Whether any of n values of x is missing.
bool any_missing(bool is64, const void* x, std::int64_t n);

// Build every tree from `x` (n, d): `n_sample` rows a tree without replacement (all when
// n_sample >= n), in proportion to `weight` where given. own_rows: points hold each tree's sample,
// n_sample rows a tree; else points hold all of x. A forest with clean masses gets its flags, too.
// already_drawn: x holds the rows that draw_rows() drew, by rising number, and forest.drawn says which of them
// each tree gets: every bit comes out as if x held all rows, and the trees drew from those.
Status fit(const ForestView& forest, bool is64, const void* x, std::int64_t n, const double* weight,
           std::int64_t n_sample, bool own_rows, bool already_drawn, int n_threads);

// Write the numbers of the rows, n_sample of n, that each tree's generator draws, as fit() would, to forest.drawn.
Status draw_rows(const ForestView& forest, std::int64_t n, const double* weight, std::int64_t n_sample, int n_threads);

// Draw the bags of every other tree; again when features beyond the first `known` have come. `order`: the places of
// all features, the known ones first.
Status draw_bags(const ForestView& forest, bool is64, std::int64_t known, const std::int32_t* order);

// Fill lower and upper of a forest that kept none.
Status fill_boxes(const ForestView& forest, bool is64, int n_threads);

// Learn the rows of x (n, d) in order. weight may be null (each row weighs 1); `stamp` is when they came, in seconds,
// of a window by age, else null. With `depth` and `norm` (n each), also score every row just before it is learnt: mean
// depth and mean c(mass). kNoRoom: the store is full after `learnt` rows; the rest can follow once it has grown.
Status learn(const ForestView& forest, bool is64, const void* x, std::int64_t n, const double* weight,
             const double* stamp, Score score, double* depth, double* norm, std::int64_t* learnt, int n_threads);

// How many trees hold each row of x (n, d), repeats counted: holders (n,). With `remove`, also take each
// row out of them once.
Status forget(const ForestView& forest, bool is64, const void* x, std::int64_t n, bool remove, std::int64_t* holders,
              int n_threads);

// Mean depth of each row over the trees, and the mean c(mass) of the trees. For kSpacing: how far the mean
// log spacing is above the usual (score/score_window.hpp), and 1.
Status score(const ForestView& forest, bool is64, const void* x, std::int64_t n, Score score, double* depth,
             double* norm, int n_threads);

// Where rows without a value go on from each live node, (t, k), and what that gains on average (means.hpp).
Status drawn_ways(const ForestView& forest, bool is64, Score score, std::int32_t* child, double* gain);

// How far mean log spacings are above the usual, in units of the usual spread (score/score_window.hpp).
void spacing_excess(const ForestView& forest, const double* spacing, std::int64_t n, double* out);

// Why each row's mean score over the trees is what it is, before it is normalised: contributions of every
// feature from below and above, out (n, n_features, 2), whose sum is value (n,) less *expected, the mean
// over the stored points.
Status explain(const ForestView& forest, bool is64, const void* x, std::int64_t n, Score score, double* out,
               double* value, double* expected, int n_threads);

// Count the levels of nominal features in every tree, into forest.levels (tree/levels.hpp).
void count_levels(const ForestView& forest, bool is64, int n_threads);

Status audit(const ForestView& forest, bool is64, Fault* fault, int n_threads);

// All of these, as compiled for one instruction set.
struct Core {
  decltype(&imondrian::hidden_depth_of) hidden_depth_of;
  decltype(&imondrian::no_infinity) no_infinity;
  decltype(&imondrian::any_missing) any_missing;
  decltype(&imondrian::fit) fit;
  decltype(&imondrian::draw_rows) draw_rows;
  decltype(&imondrian::draw_bags) draw_bags;
  decltype(&imondrian::fill_boxes) fill_boxes;
  decltype(&imondrian::learn) learn;
  decltype(&imondrian::forget) forget;
  decltype(&imondrian::score) score;
  decltype(&imondrian::drawn_ways) drawn_ways;
  decltype(&imondrian::spacing_excess) spacing_excess;
  decltype(&imondrian::explain) explain;
  decltype(&imondrian::audit) audit;
  decltype(&imondrian::count_levels) count_levels;
};

}  // namespace imondrian

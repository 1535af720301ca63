// What a forest is made of: every column is told here, once. The views (base/view.hpp), the binding, Python, the files,
// the bounds on bytes and the kernels read this table. CONTRIBUTING.md says what a new column needs beside its row.
//
// The kernels include this file, too: it includes nothing.
#pragma once

namespace imondrian {

// What a column holds a place for. A tree's places lie side by side.
enum class Of {
  node,    // a slot of a node
  leaf,    // a slot of a leaf
  tree,    //
  member,  // a point in the window of a tree
  row,     // a stored point, which trees share
  group,   // kTreesAbreast trees; the first place is the whole forest's
  forest,
};

// Which forests have the column. Columns of a kind come together.
enum class When {
  always,
  boxes,      // from the first score or point that needs boxes
  spaced,     // grown for the spacing score
  mixed,      // with nominal features (base/words.hpp)
  bounded,    // keeping a window
  reservoir,  // keeping a decayed sample
  timed,      // keeping a window by age
  aged,       // of these, a sliding one
  learning,   // from the first point learnt or forgotten one by one
};

// Who keeps the column.
enum class Kept {
  file,    // everything that a model is written to
  pickle,  // pickles alone: it follows from what is in the file
  never,   // no state: it follows from the rest
};

// What the values mean, where somebody must know.
enum class Holds {
  number,
  feature,     // a number of a feature, which changes when features come and go; no feature is negative
  count,       // a whole number, nearly always, whatever the type
  coordinate,  // a value of a feature; NaN is missing, and the padding of rows
};

// Whether kernels read it.
enum class Where { device, host };

enum Header : int { kRoot, kLeaves, kFreeNode, kFreeLeaf, kNodeMark, kLeafMark, kHeaderSize };

// Points seen, members held, the next to enter, the place of the oldest in the ring, and when to look at the scale
// again (stream/rescale.hpp).
enum StreamState : int { kSeen, kHeld, kNext, kOldest, kLook, kStreamSize };

// Of a window by age (stream/clock.hpp), in seconds: the horizon, the latest stamp, how far the clock has run; then how
// many records in a row were more than a horizon late, and whether there was any.
enum Clock : int { kHorizon, kLatest, kNow, kLate, kStarted };
inline constexpr int kClockSize = 5;
// What else a tree knows of its members by age (stream/stream.hpp): how much more hazard a reservoir bears before a
// point enters; the span in which one entered last, the number of the point from which that span counts, and how many
// of the ring's oldest places are blank.
enum Pace : int { kBudget, kSpan, kSpanFrom, kBlank };
inline constexpr int kPaceSize = 4;

inline constexpr int kWidth = -1;  // values in a place: as many as there are features, padded to whole packs
inline constexpr int kGeneratorSize = 4;
inline constexpr int kBag = -2;          // values in a place: as many features as trees of the forest see at most
inline constexpr int kBagSize = 5;       // features that a tree with a bag sees (tree/feature_subset.hpp)
inline constexpr int kMostSeen = 64;     // features that a tree of a wide forest sees at most
inline constexpr int kWideFrom = 64;     // features beyond which a forest is wide
inline constexpr int kEdition = 1;       // 0: units of near-constant features are deviations, wide data is as any other
inline constexpr int kTreesAbreast = 8;  // trees that rows walk side by side, and that judge arrivals together
inline constexpr int kRecentSize = 1026;  // what usual points score, of a tree's group (score/score_window.hpp)

// The words: i32, i64, u64, f64; real is the forest's float32 or float64. `empty` is what a column is made of, and what
// states from before it are given; `since` is the version of states that it came with. Pickles and files keep this
// order.
//
// clang-format off
//  name         type  of      each            when       kept    holds       empty  where   since
#define IMONDRIAN_COLUMNS(X)                                                                                           \
  X(feature,     i32,  node,   1,              always,    file,   feature,    0,     device, 3)                        \
  X(threshold,   real, node,   1,              always,    file,   number,     0,     device, 3) /* <= goes left */     \
  X(child,       i32,  node,   2,              always,    file,   number,     0,     device, 3)                        \
  X(parent,      i32,  node,   1,              always,    file,   number,     0,     host,   3)                        \
  X(time,        f64,  node,   1,              always,    file,   number,     0,     device, 3)                        \
  X(mass,        f64,  node,   1,              always,    file,   count,      0,     device, 3)                        \
  X(leaf_parent, i32,  leaf,   1,              always,    file,   number,     0,     host,   3) /* or the next free */ \
  X(leaf_mass,   f64,  leaf,   1,              always,    file,   count,      0,     device, 3)                        \
  X(leaf_point,  i32,  leaf,   1,              always,    file,   number,     0,     device, 3) /* row of `points` */  \
  X(header,      i32,  tree,   kHeaderSize,    always,    file,   number,     0,     device, 3)                        \
  X(rng,         u64,  tree,   kGeneratorSize, always,    file,   number,     0,     host,   3)                        \
  X(rate,        real, tree,   kWidth,         always,    file,   number,     0,     device, 3) /* cuts per length */  \
  X(points,      real, row,    kWidth,         always,    file,   coordinate, 0,     device, 3)                        \
  X(stream,      i64,  tree,   kStreamSize,    always,    file,   number,     0,     host,   3)                        \
  /* A ring, or a heap beside member_key; + kFlaggedMember. */                                                         \
  X(member_leaf, i32,  member, 1,              bounded,   file,   number,     0,     host,   3)                        \
  X(member_key,  f64,  member, 1,              reservoir, file,   number,     0,     host,   3)                        \
  /* When members came, and the places of a ring. */                                                                    \
  X(member_time, f64,  member, 1,              aged,      file,   number,     0,     host,   5)                        \
  X(pace,        f64,  tree,   kPaceSize,      timed,     file,   number,     0,     host,   5)                        \
  X(clock,       f64,  forest, kClockSize,     timed,     file,   number,     0,     host,   5)                        \
  X(lower,       real, node,   kWidth,         boxes,     pickle, coordinate, 0,     device, 3)                        \
  X(upper,       real, node,   kWidth,         boxes,     pickle, coordinate, 0,     device, 3)                        \
  /* All -1: the tree sees every feature. */                                                                           \
  X(bag,         i32,  tree,   kBag,           spaced,    file,   feature,    -1,    device, 3)                        \
  /* The mass that is not flagged (fit/clean_mass.hpp). */                                                             \
  X(clean,       f64,  node,   1,              spaced,    file,   count,      0,     device, 3)                        \
  X(leaf_clean,  f64,  leaf,   1,              spaced,    file,   count,      0,     device, 3)                        \
  /* What usual points score (score/score_window.hpp). */                                                              \
  X(recent,      f64,  group,  kRecentSize,    spaced,    file,   number,     0,     host,   3)                        \
  /* The weight of a nominal feature; 0: it is a number. */                                                            \
  X(nominal,     f64,  forest, kWidth,         mixed,     file,   number,     0,     host,   5)                        \
  X(bit_rate,    real, tree,   kWidth,         mixed,     file,   number,     0,     host,   5) /* cuts per bit */     \
  /* Of the shares of levels, when the tree last looked: the root of the sum of their squares; their entropy. */       \
  X(level_root,  f64,  tree,   kWidth,         mixed,     file,   number,     0,     host,   5)                        \
  X(entropy,     f64,  tree,   kWidth,         mixed,     file,   number,     0,     host,   5)                        \
  /* Leaves that point at the row; a stack of unused rows; how many. */                                                \
  X(refs,        i32,  row,    1,              learning,  never,  number,     0,     host,   3)                        \
  X(free_rows,   i32,  row,    1,              learning,  never,  number,     0,     host,   3)                        \
  X(n_free_rows, i64,  forest, 1,              learning,  never,  number,     0,     host,   3)
// clang-format on

}  // namespace imondrian

// The forest as the core sees it: columns owned by numpy, and one tree's slices of them.
//
// Every tree has the same room: `capacity` node slots and `capacity` leaf slots. A child is a node
// slot (>= 0) or a leaf, written ~slot (< 0). Row j of a box or point is padded to `width` values,
// a whole number of SIMD packs; the padding of points and boxes is NaN, "missing", that of `rate` is 0.
//
// Invariants (audit.hpp checks them; comments elsewhere cite them by number):
//   I1 live nodes = live leaves - 1, and each is reached exactly once from the root.
//   I2 both children are live; parent[child] names the node that holds it; the root's parent is -1.
//   I3 mass[node] = mass(left) + mass(right); leaves weigh more than zero.
//   I4 a node's box is the union of its children's boxes; a leaf's box is its point.
//   I5 time[parent] < time[child], all finite and positive (both may saturate at the largest double).
//   I6 upper[left][f] <= threshold < lower[right][f]: cuts are half open. Of a nominal feature the threshold is the
//      number of a useful bit, which upper[left] lacks and lower[right] has.
//   I7 live + free slots = the high-water mark, for nodes and for leaves; free lists hold free slots.
//   I8 leaf_point names a stored row; a stream's members name live leaves, as many as each weighs, or
//      nobody, in the places of forgotten points; keys are a heap, the smallest first.
//   I9 thresholds and masses are finite; coordinates are finite or missing, words where the feature is nominal.
//   I10 rates are finite and not negative; no box has a side where the rate is 0.
//   I11 a bag names distinct features, then -1.
//   I12 clean[node] = clean(left) + clean(right); 0 <= clean <= mass.
//   I13 recent scores are finite, and their sorted copy agrees.
//   I14 weights of nominal features are finite and not negative, with no padding; these features have bit rates,
//       finite and not negative, and rate 0; other features have no bit rate.
//   I15 a clock's numbers are finite and in range; a ring's members by age came in order, not after now; the blank
//      places are its oldest, and empty.
//
// A missing coordinate (NaN) separates nothing, extends no box, and follows the heavier child in learning (in
// scoring: means.hpp).
// A box that has seen no value of a feature holds NaN there. What boxes hold of nominal features: base/words.hpp.
#pragma once

#include <cstdint>

#include "base/words.hpp"
#include "columns.hpp"

namespace imondrian {

constexpr std::int32_t kFree = -2;    // feature of a free node slot, point of a free leaf slot
constexpr std::int32_t kNobody = -1;  // parent of the root, end of a free list
constexpr int kPackBytes = 32;        // rows are padded to this many bytes

constexpr std::int32_t kFlaggedMember = 1 << 30;  // added to the leaf of a member without clean mass

// The leaf of a member, or kNobody.
inline std::int32_t leaf_of(std::int32_t member) { return member < 0 ? member : member & ~kFlaggedMember; }
inline bool is_flagged(std::int32_t member) { return member >= 0 && (member & kFlaggedMember) != 0; }

// What keeps a stream bounded: everything, the last points, or a decayed sample per tree.
enum class Memory : int { kUnbounded = 0, kSliding = 1, kReservoir = 2 };

// What the types of columns.hpp are: those that follow the forest's precision are void in a view of any forest.
template <class T>
struct Elements {
  using i32 = std::int32_t;
  using i64 = std::int64_t;
  using u64 = std::uint64_t;
  using f64 = double;
  using real = T;
};

// Pointers to the columns, null where the forest lacks them; shapes are those of columns.hpp.
struct ForestView {
  std::int64_t n_trees, capacity, n_features, width, n_rows;
#define IMONDRIAN_MEMBER(name, type, of, each, when, kept, holds, empty, where, since) Elements<void>::type* name;
  IMONDRIAN_COLUMNS(IMONDRIAN_MEMBER)
#undef IMONDRIAN_MEMBER
  int scaled;   // whether rates follow the data's own scale (tree/scale.hpp), or are all 1
  int edition;  // which rules it was grown by: kEdition, or an older one of a file
  // Derived, for rows with missing values (means.hpp); null until the first of them comes.
  double* mean_depth;    // (t, k)
  double* mean_spacing;  // (t, k); of a forest with clean masses
  // Derived, of forests with nominal features: see Kinds.
  const void* nominal_mask;
  const std::int32_t* nominal_features;
  std::int64_t n_nominal;
  std::int64_t* levels;  // (t, n_nominal, level_words(k)), of a forest with clean masses: tree/levels.hpp; may be null
  // Streams only (zero otherwise).
  int memory;
  double decay;         // how fast a reservoir forgets, or a sliding window is thinned
  std::int64_t window;  // members a tree keeps
  std::int64_t* drawn;  // (t, n_sample): the rows that fit drew, if they are asked for, or is to take
};

// The columns of which every tree has places of its own, but for members, which only the stream reads.
#define IMONDRIAN_OF_TREE_node(...) __VA_ARGS__
#define IMONDRIAN_OF_TREE_leaf(...) __VA_ARGS__
#define IMONDRIAN_OF_TREE_tree(...) __VA_ARGS__
#define IMONDRIAN_OF_TREE_member(...)
#define IMONDRIAN_OF_TREE_row(...)
#define IMONDRIAN_OF_TREE_group(...)
#define IMONDRIAN_OF_TREE_forest(...)

inline bool is_wide(const ForestView& f) { return f.edition > 0 && f.n_features > kWideFrom; }
inline int bag_size_of(const ForestView& f) { return is_wide(f) ? kMostSeen : kBagSize; }
// What distances to the nearest clean points count for, beside extents (score/spacing.hpp).
inline double near_weight(const ForestView& f) {
  return is_wide(f) ? 1.0 - static_cast<double>(kWideFrom) / static_cast<double>(f.n_features) : 0.0;
}

// Room for the levels of a nominal feature in a tree of so many leaves, in words of 64 bits: heads, masses, tags.
constexpr int kLevelHead = 2;
inline std::int64_t level_slots(std::int64_t capacity) { return capacity + capacity / 4 + 4; }
inline std::int64_t level_words(std::int64_t capacity) {
  return kLevelHead + level_slots(capacity) + (level_slots(capacity) + 1) / 2;
}

template <class T>
struct Tree {
  std::int64_t capacity, n_features, width;
  int edition, bag_size;
  double near;  // near_weight()
#define IMONDRIAN_MEMBER(name, type, of, each, when, kept, holds, empty, where, since) \
  IMONDRIAN_OF_TREE_##of(typename Elements<T>::type* name;)
  IMONDRIAN_COLUMNS(IMONDRIAN_MEMBER)
#undef IMONDRIAN_MEMBER
  double* mean_depth;
  double* mean_spacing;
  const T* points;
  Kinds<T> kinds;
  std::int64_t* levels = nullptr;

  Tree(const ForestView& f, std::int64_t t)
      : capacity(f.capacity), n_features(f.n_features), width(f.width), edition(f.edition), bag_size(bag_size_of(f)),
        near(near_weight(f)), mean_depth(f.mean_depth ? f.mean_depth + t * capacity : nullptr),
        mean_spacing(f.mean_spacing ? f.mean_spacing + t * capacity : nullptr),
        points(static_cast<const T*>(f.points)) {
#define IMONDRIAN_SLICE(name, type, of, each, when, kept, holds, empty, where, since) \
  IMONDRIAN_OF_TREE_##of(                                                             \
      name = slice<When::when>(static_cast<typename Elements<T>::type*>(f.name), t * values<Of::of>(each));)
    IMONDRIAN_COLUMNS(IMONDRIAN_SLICE)
#undef IMONDRIAN_SLICE
    if (f.n_nominal > 0) {
      kinds = {static_cast<const T*>(f.nominal_mask), f.nominal_features, f.n_nominal, bit_rate, f.nominal};
      if (f.levels) levels = f.levels + t * f.n_nominal * level_words(f.capacity);
    }
  }

  // Values that a tree has of a column.
  template <Of of>
  std::int64_t values(int each) const {
    return (of == Of::tree ? 1 : capacity) * (each == kWidth ? width : each == kBag ? bag_size : each);
  }
  template <When when, class E>
  static E* slice(E* column, std::int64_t first) {
    return when == When::always || column ? column + first : nullptr;
  }

  static bool is_leaf(std::int32_t v) { return v < 0; }
  bool empty() const { return header[kLeaves] == 0; }
  std::int32_t root() const { return header[kRoot]; }
  double mass_of(std::int32_t v) const { return v < 0 ? leaf_mass[~v] : mass[v]; }
  double clean_of(std::int32_t v) const { return v < 0 ? leaf_clean[~v] : clean[v]; }
  double total_mass() const { return empty() ? 0.0 : mass_of(root()); }
  std::int32_t& parent_of(std::int32_t v) { return v < 0 ? leaf_parent[~v] : parent[v]; }
  // The box of a leaf is its point (I4): no leaf stores one. Chosen without a branch, which would be missed often.
  const T* lower_of(std::int32_t v) const { return box_side(v, lower); }
  const T* upper_of(std::int32_t v) const { return box_side(v, upper); }
  const T* box_side(std::int32_t v, const T* boxes) const {
    const std::int32_t point = leaf_point[v ^ (v >> 31)];  // of slot ~v; nothing in particular unless v is a leaf
    return (v < 0 ? points : boxes) + std::int64_t{v < 0 ? point : v} * width;
  }
  std::int32_t next(std::int32_t v, const T* x) const {
    const T value = x[feature[v]];
    if (value != value) return heavier_child(v);
    return child[2 * std::int64_t{v} + is_right(v, value)];
  }
  // Whether a value of the feature that v cuts, which is there, goes right.
  NK_INLINE bool is_right(std::int32_t v, T value) const {
    return kinds.any() ? kinds.is_right(feature[v], value, threshold[v]) : value > threshold[v];
  }
  std::int32_t heavier_child(std::int32_t v) const {
    const std::int32_t left = child[2 * std::int64_t{v}], right = child[2 * std::int64_t{v} + 1];
    return mass_of(right) > mass_of(left) ? right : left;
  }
  // Point whatever held `old` (the parent `p`, or the root when p is -1) at `fresh`.
  void replace_child(std::int32_t p, std::int32_t old, std::int32_t fresh) {
    if (p == kNobody) {
      header[kRoot] = fresh;
    } else {
      child[2 * std::int64_t{p} + (child[2 * std::int64_t{p}] == old ? 0 : 1)] = fresh;
    }
    parent_of(fresh) = p;
  }
};

}  // namespace imondrian

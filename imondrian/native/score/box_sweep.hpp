// Boxes that no tree stores, each made once for all that ask for it.
#pragma once

#include <algorithm>
#include <limits>
#include <vector>

#include "nativekit/interrupt.hpp"
#include "score/sight.hpp"

namespace imondrian::NK_ISA {

// Boxes of the nodes of a tree that stores none, each made once, from below: a walk over the leaves for each would
// take the square of their number where trees are deep. Throws what stops a call, or for want of memory.
template <class T>
class BoxSweep {
 public:
  BoxSweep(const Tree<T>& tree, const Sight<T>& sight) : tree_(tree), sight_(sight) {}

  // Call visit(v, lower, upper) for every node, children before parents.
  template <class Visit>
  NK_INLINE void run(const Visit& visit) {
    if (tree_.empty() || tree_.root() < 0) return;
    order_nodes();
    room_of_.resize(static_cast<std::size_t>(tree_.header[kNodeMark]));
    nativekit::Paced pace(1 << 20);
    for (std::size_t i = order_.size(); i-- > 0;) {
      const std::int32_t v = order_[i];
      const std::int32_t left = tree_.child[2 * std::int64_t{v}], right = tree_.child[2 * std::int64_t{v} + 1];
      const std::int32_t inner = left >= 0 ? left : right, other = left >= 0 ? right : left;
      const std::int32_t room = inner >= 0 ? room_of_[inner] : take_room();
      if (inner < 0) add_leaf(inner, room);
      if (other >= 0) {
        unite(room, room_of_[other]);
      } else {
        add_leaf(other, room);
      }
      room_of_[v] = room;
      pace.did(2 * sight_.width());
      visit(v, lower(room), upper(room));
    }
  }

 private:
  // Parents before children, and the heavier child last: read backwards, few boxes wait at a time.
  void order_nodes() {
    std::vector<std::int32_t> stack{tree_.root()};
    while (!stack.empty()) {
      const std::int32_t v = stack.back();
      stack.pop_back();
      order_.push_back(v);
      const std::int32_t heavy = tree_.heavier_child(v), left = tree_.child[2 * std::int64_t{v}];
      const std::int32_t light = heavy == left ? tree_.child[2 * std::int64_t{v} + 1] : left;
      if (heavy >= 0) stack.push_back(heavy);
      if (light >= 0) stack.push_back(light);
    }
  }
  T* lower(std::int32_t room) { return boxes_[room].data(); }
  T* upper(std::int32_t room) { return boxes_[room].data() + sight_.width(); }
  std::int32_t take_room() {
    if (free_.empty()) {
      boxes_.emplace_back(static_cast<std::size_t>(2 * sight_.width()));
      free_.push_back(static_cast<std::int32_t>(boxes_.size()) - 1);
    }
    const std::int32_t room = free_.back();
    free_.pop_back();
    std::fill(boxes_[room].begin(), boxes_[room].end(), std::numeric_limits<T>::quiet_NaN());
    return room;
  }
  NK_INLINE void add_leaf(std::int32_t v, std::int32_t room) {
    T own[kMostSeen];
    grow_box(lower(room), upper(room), sight_.row(tree_.lower_of(v), own), sight_.width());
  }
  NK_INLINE void unite(std::int32_t room, std::int32_t other) {
    unite_boxes(lower(room), upper(room), lower(room), upper(room), lower(other), upper(other), sight_.width());
    free_.push_back(other);
  }

  const Tree<T>& tree_;
  const Sight<T>& sight_;
  std::vector<std::int32_t> order_, room_of_, free_;
  std::vector<std::vector<T>> boxes_;
};

// Where a row gets in a tree, and how much the choices for want of a value have gained (means.hpp).
struct Ending {
  std::int32_t box;
  double gain;
};

// Tell every look, `.x` at the box `.end.box`, the extent that it sees; reorders them. Each box is made once: one by
// one from the leaves below, or in a sweep where that has fewer to see.
template <class T, class Look>
void measure_looks(const Tree<T>& tree, const Sight<T>& sight, std::vector<Look>& looks, BoxScratch<T>& scratch) {
  nativekit::Paced pace(1 << 18);
  std::sort(looks.begin(), looks.end(), [&](const Look& a, const Look& b) {
    pace.did(1);
    return a.end.box < b.end.box;
  });
  double below = 0.0;  // points, of all boxes
  auto at = looks.begin();
  for (std::int32_t box = kNobody; at != looks.end(); ++at) {
    if (tree.lower || at->end.box < 0) {
      pace.did(sight.width());
      at->write(tree, sight, sight.extent(tree, at->end.box, at->x, scratch, at->held()), scratch);
    } else if (at->end.box != box) {
      below += tree.mass_of(box = at->end.box);
    }
  }
  if (tree.lower || below == 0.0) return;
  at = std::find_if(looks.begin(), looks.end(), [](const Look& look) { return look.end.box >= 0; });
  const auto tell = [&](const T* lo, const T* hi) {
    for (const std::int32_t box = at->end.box; at != looks.end() && at->end.box == box; ++at) {
      at->write(tree, sight, sight.extent_in(tree, box, lo, hi, at->x, at->held()), scratch);
    }
  };
  if (below > tree.total_mass()) {
    const auto first = at;
    BoxSweep<T>(tree, sight).run([&](std::int32_t v, const T* lo, const T* hi) {
      at = std::lower_bound(first, looks.end(), v,
                            [](const Look& look, std::int32_t box) { return look.end.box < box; });
      if (at != looks.end() && at->end.box == v) tell(lo, hi);
    });
    return;
  }
  std::vector<T> sides(static_cast<std::size_t>(2 * sight.width()));
  while (at != looks.end()) {
    pace.did(sight.width());
    sight.box(tree, at->end.box, sides.data(), sides.data() + sight.width());
    tell(sides.data(), sides.data() + sight.width());
  }
}

}  // namespace imondrian::NK_ISA

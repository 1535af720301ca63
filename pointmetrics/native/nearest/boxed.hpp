// A tree of boxes over all of a cloud, whatever its size: for questions that scan no cloud from end to end.
#pragma once

#include <algorithm>
#include <memory>
#include <new>
#include <vector>

#include "isa/kernels.hpp"
#include "nativekit/interrupt.hpp"
#include "nearest/tree.hpp"

namespace pointmetrics {

template <class T>
class Boxed {
 public:
  Boxed(const T* points, std::int64_t n, int d) {
    std::size_t bytes = 0;
    lay_out<T>(nullptr, n, d, false, &bytes);
    memory_.reset(static_cast<char*>(::operator new(bytes, std::align_val_t{64})));
    tree_ = lay_out<T>(memory_.get(), n, d, false, nullptr);
    std::vector<std::int32_t> order(static_cast<std::size_t>(n));
    std::vector<std::uint64_t> scratch(2 * static_cast<std::size_t>(n));
    const Kernels<T>& k = kernels<T>();
    k.curve_order(points, n, d, order.data(), scratch.data());
    constexpr std::int64_t kLeavesPerQuestion = 1 << 14;
    for (std::int64_t leaf = 0; leaf < tree_.level_size[0]; leaf += kLeavesPerQuestion) {
      nativekit::stop_if_asked();
      k.fill_leaves(points, order.data(), leaf, std::min(tree_.level_size[0], leaf + kLeavesPerQuestion), &tree_);
    }
    k.fill_levels(&tree_);
  }

  const Tree<T>& tree() const { return tree_; }

 private:
  struct Free {
    void operator()(char* memory) const { ::operator delete(memory, std::align_val_t{64}); }
  };
  std::unique_ptr<char, Free> memory_;
  Tree<T> tree_{};
};

}  // namespace pointmetrics

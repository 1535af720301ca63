#include "nearest/distortion.hpp"

#include <algorithm>
#include <atomic>
#include <memory>
#include <new>
#include <vector>

#include "core.hpp"
#include "isa/kernels.hpp"
#include "nativekit/parallel.hpp"
#include "status.hpp"

namespace pointmetrics {
namespace {

struct FreeAligned {
  void operator()(void* memory) const { ::operator delete(memory, std::align_val_t{64}); }
};

// Left as it comes: std::vector would write zeros first.
template <class V>
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(std::int64_t n)
      : memory_(static_cast<V*>(::operator new(static_cast<std::size_t>(std::max<std::int64_t>(n, 1)) * sizeof(V),
                                               std::align_val_t{64}))) {}
  V* get() const { return memory_.get(); }

 private:
  std::unique_ptr<V, FreeAligned> memory_;
};

// Let every run of equal keys begin with one of each of its distinct points, the first, and call take(point, its equals
// [begin, end), rising, itself included). `items` are what curve_order left in its scratch memory.
template <class T, class Take>
void for_distinct(const T* points, int d, std::uint64_t* items, std::int64_t n, const Take& take) {
  const auto id = [](std::uint64_t item) { return static_cast<std::int32_t>(static_cast<std::uint32_t>(item)); };
  const auto at = [&](std::uint64_t item) { return points + static_cast<std::int64_t>(id(item)) * d; };
  const auto before = [&](std::uint64_t a, std::uint64_t b) {
    const T* p = at(a);
    const T* q = at(b);
    for (int k = 0; k < d; ++k) {
      if (p[k] != q[k]) return p[k] < q[k];
    }
    return id(a) < id(b);
  };
  for (std::int64_t begin = 0; begin < n;) {
    if (begin % 4096 == 0) nativekit::stop_if_asked();
    std::int64_t end = begin + 1;
    while (end < n && (items[end] >> 32) == (items[begin] >> 32)) ++end;
    if (end - begin > 1) std::sort(items + begin, items + end, before);
    for (std::int64_t first = begin; first < end;) {
      std::int64_t last = first + 1;
      while (last < end && std::equal(at(items[first]), at(items[first]) + d, at(items[last]))) ++last;
      take(id(items[first]), items + first, items + last);
      first = last;
    }
    begin = end;
  }
}

template <class T>
class Cloud {
 public:
  Cloud(const T* points, std::int64_t n, const double* normals, int d, bool drop) {
    const Kernels<T>& k = kernels<T>();
    Buffer<std::int32_t> order(n);
    std::int64_t n_distinct = 0;
    {
      Buffer<std::uint64_t> scratch(2 * n);
      k.curve_order(points, n, d, order.get(), scratch.get());
      if (!drop) {
        twins_ = Buffer<std::int32_t>(n);
        counts_ = Buffer<std::int32_t>(n);
      }
      const auto id = [](std::uint64_t item) { return static_cast<std::int32_t>(static_cast<std::uint32_t>(item)); };
      for_distinct(points, d, scratch.get(), n, [&](std::int32_t point, std::uint64_t* begin, std::uint64_t* end) {
        order.get()[n_distinct++] = point;
        if (drop) return;
        counts_.get()[point] = static_cast<std::int32_t>(end - begin);
        for (; begin != end; ++begin) twins_.get()[id(*begin)] = begin + 1 == end ? kNoPoint : id(begin[1]);
      });
    }
    fill(points, order.get(), n_distinct, d);
    const bool any_twins = n_distinct < n && !drop;
    weighted_.twins = any_twins ? twins_.get() : nullptr;
    weighted_.counts = any_twins ? counts_.get() : nullptr;
    weighted_.normals = normals;
    weighted_.leaf_normals = nullptr;
    if (normals != nullptr) fill_normals(normals);
  }

  const Weighted<T>& weighted() const { return weighted_; }

 private:
  template <class V>
  void fill_leaves(const V* points, const std::int32_t* order, const Tree<V>& tree) {
    constexpr std::int64_t kLeavesPerQuestion = 1 << 14;
    for (std::int64_t leaf = 0; leaf < tree.level_size[0]; leaf += kLeavesPerQuestion) {
      nativekit::stop_if_asked();
      kernels<V>().fill_leaves(points, order, leaf, std::min(tree.level_size[0], leaf + kLeavesPerQuestion), &tree);
    }
  }

  void fill(const T* points, const std::int32_t* order, std::int64_t n, int d) {
    std::size_t bytes = 0;
    lay_out<T>(nullptr, n, d, false, &bytes);
    memory_ = Buffer<char>(static_cast<std::int64_t>(bytes));
    weighted_.tree = lay_out<T>(memory_.get(), n, d, false, nullptr);
    fill_leaves(points, order, weighted_.tree);
    kernels<T>().fill_levels(&weighted_.tree);
  }

  // A flat tree whose points are the normals, with the ids that are there already.
  void fill_normals(const double* normals) {
    Tree<double> as_points{};
    as_points.n = weighted_.tree.n;
    as_points.d = 3;
    as_points.level_size[0] = weighted_.tree.level_size[0];
    leaf_normals_ = Buffer<double>(as_points.level_size[0] * 3 * kLanes);
    as_points.points = leaf_normals_.get();
    as_points.ids = weighted_.tree.ids;
    fill_leaves(normals, weighted_.tree.ids, as_points);
    weighted_.leaf_normals = leaf_normals_.get();
  }

  Weighted<T> weighted_{};
  Buffer<char> memory_;
  Buffer<double> leaf_normals_;
  Buffer<std::int32_t> twins_;
  Buffer<std::int32_t> counts_;
};

constexpr std::int64_t kLeavesPerTask = 64;

void add(const std::vector<Distortion>& parts, Distortion* out) {
  *out = {};
  for (const Distortion& part : parts) {
    out->sum_sq += part.sum_sq;
    out->max_sq = std::max(out->max_sq, part.max_sq);
    out->sum_plane += part.sum_plane;
    out->max_plane = std::max(out->max_plane, part.max_plane);
  }
}

template <class T>
int run(const DistortionJob<T>& job) {
  std::unique_ptr<Cloud<T>> clouds[2];
  std::atomic<bool> failed{false};
  nativekit::parallel_for(2, job.n_threads, [&](std::int64_t side) {
    try {
      clouds[side] = side == 0 ? std::make_unique<Cloud<T>>(job.x, job.n_x, job.x_normals, job.d, job.drop)
                               : std::make_unique<Cloud<T>>(job.y, job.n_y, job.y_normals, job.d, job.drop);
    } catch (const std::bad_alloc&) {
      failed = true;
    }
  });
  if (failed) return kOutOfMemory;
  std::vector<Distortion> parts[2];
  std::int64_t n_tasks[2];
  for (int side = 0; side < 2; ++side) {
    const Weighted<T>& from = clouds[side]->weighted();
    n_tasks[side] = (from.tree.level_size[0] + kLeavesPerTask - 1) / kLeavesPerTask;
    parts[side].resize(static_cast<std::size_t>(n_tasks[side]));
    job.counts[side] = from.counts != nullptr ? (side == 0 ? job.n_x : job.n_y) : from.tree.n;
  }
  nativekit::parallel_for(n_tasks[0] + n_tasks[1], job.n_threads, [&](std::int64_t task) {
    const int side = task < n_tasks[0] ? 0 : 1;
    const std::int64_t at = task - (side == 0 ? 0 : n_tasks[0]);
    const Weighted<T>& from = clouds[side]->weighted();
    const std::int64_t end = std::min(from.tree.level_size[0], (at + 1) * kLeavesPerTask);
    kernels<T>().search_tied(&from, &clouds[1 - side]->weighted(), at * kLeavesPerTask, end,
                             &parts[side][static_cast<std::size_t>(at)]);
  });
  add(parts[0], job.forth);
  add(parts[1], job.back);
  return kOk;
}

}  // namespace

template <class T>
int distortion(const DistortionJob<T>& job) {
  return guarded([&] { return run(job); });
}

template <class T>
int distinct(const T* points, std::int64_t n, int d, std::int64_t* rows, std::int64_t* n_rows) {
  return guarded([&] {
    Buffer<std::int32_t> order(n);
    Buffer<std::uint64_t> scratch(2 * n);
    kernels<T>().curve_order(points, n, d, order.get(), scratch.get());
    *n_rows = 0;
    for_distinct(points, d, scratch.get(), n,
                 [&](std::int32_t point, std::uint64_t*, std::uint64_t*) { rows[(*n_rows)++] = point; });
    std::sort(rows, rows + *n_rows);
    return kOk;
  });
}

template int distortion(const DistortionJob<float>&);
template int distortion(const DistortionJob<double>&);
template int distinct(const float*, std::int64_t, int, std::int64_t*, std::int64_t*);
template int distinct(const double*, std::int64_t, int, std::int64_t*, std::int64_t*);

}  // namespace pointmetrics

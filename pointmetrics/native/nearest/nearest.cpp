#include "nearest/nearest.hpp"

#include <atomic>
#include <cmath>
#include <memory>
#include <new>
#include <thread>
#include <vector>

#include "core.hpp"
#include "isa/kernels.hpp"
#include "nativekit/interrupt.hpp"
#include "nativekit/parallel.hpp"
#include "shared/distance.hpp"
#include "status.hpp"

namespace pointmetrics {

namespace {

constexpr std::int64_t kQueriesPerTask = 1024;

// Measured: below this many points in the target, one pass over all of them is faster than a tree.
inline bool scan_is_faster(std::int64_t n, int d) {
  if (d <= 3) return n <= 384;
  return d > kMaxDim || n <= (std::int64_t{64} << d);
}

struct FreeAligned {
  void operator()(char* memory) const { ::operator delete(memory, std::align_val_t{64}); }
};
using Memory = std::unique_ptr<char, FreeAligned>;

Memory allocate(std::size_t size) {
  return Memory(static_cast<char*>(::operator new(size, std::align_val_t{64}, std::nothrow)));
}

// One cloud's part in the job. `tree` is filled where the cloud is searched in; `order` is how to walk
// through it when it asks (nullptr: as it comes).
template <class T>
struct Side {
  const T* points = nullptr;
  std::int64_t n = 0;
  bool is_target = false;
  bool asks_tree = false;
  Tree<T> tree{};
  const std::int32_t* order = nullptr;
  Memory memory;
  Memory order_memory;
};

template <class T>
Tree<T> lay_out_for(char* memory, std::int64_t n, int d, std::size_t* bytes) {
  return lay_out<T>(memory, n, d, scan_is_faster(n, d), bytes);
}

template <class T>
bool fill_tree(const T* points, Tree<T>* tree) {
  const Kernels<T>& k = kernels<T>();
  const std::int32_t* order = nullptr;
  if (tree->n_levels > 0) {
    const Memory scratch = allocate(2 * sizeof(std::uint64_t) * static_cast<std::size_t>(tree->n));
    if (!scratch) return false;
    k.curve_order(points, tree->n, tree->d, tree->ids, reinterpret_cast<std::uint64_t*>(scratch.get()));
    order = tree->ids;
  }
  constexpr std::int64_t kLeavesPerQuestion = 1 << 14;
  for (std::int64_t leaf = 0; leaf < tree->level_size[0]; leaf += kLeavesPerQuestion) {
    nativekit::stop_if_asked();
    k.fill_leaves(points, order, leaf, std::min(tree->level_size[0], leaf + kLeavesPerQuestion), tree);
  }
  k.fill_levels(tree);
  return true;
}

// Index a cloud that is searched in; put one that only asks into spatial order.
template <class T>
bool index_side(Side<T>* side, int d) {
  if (side->is_target) {
    std::size_t bytes = 0;
    lay_out_for<T>(nullptr, side->n, d, &bytes);
    side->memory = allocate(bytes);
    if (!side->memory) return false;
    side->tree = lay_out_for<T>(side->memory.get(), side->n, d, nullptr);
    if (!fill_tree(side->points, &side->tree)) return false;
    if (side->tree.n_levels > 0) side->order = side->tree.ids;
  }
  if (!side->asks_tree || side->order != nullptr) return true;
  const auto n = static_cast<std::size_t>(side->n);
  side->order_memory = allocate(n * (sizeof(std::int32_t) + 2 * sizeof(std::uint64_t)));
  if (!side->order_memory) return false;
  auto* scratch = reinterpret_cast<std::uint64_t*>(side->order_memory.get());
  auto* order = reinterpret_cast<std::int32_t*>(scratch + 2 * n);
  kernels<T>().curve_order(side->points, side->n, d, order, scratch);
  side->order = order;
  return true;
}

// Search for queries [begin, end) of `from`, and ask between runs of them whether to stop.
template <class T>
void search_some(const Side<T>& from, const Side<T>& to, std::int64_t begin, std::int64_t end, T* sq_dist,
                 std::int32_t* ids) {
  constexpr std::int64_t kRun = 1024;                       // of queries to a tree: mostly a fraction of a millisecond
  constexpr std::int64_t kScanned = std::int64_t{1} << 24;  // differences, where all points are scanned: milliseconds
  const std::int64_t scanned = std::max<std::int64_t>(1, to.n * to.tree.d);
  const std::int64_t step =
      to.tree.n_levels > 0 ? kRun : std::clamp<std::int64_t>(kScanned / scanned / 16 * 16, 16, 4096);
  for (std::int64_t at = begin; at < end; at += step) {
    nativekit::stop_if_asked();
    kernels<T>().search(&to.tree, from.points, from.order, at, std::min(end, at + step), sq_dist, ids);
  }
}

struct Task {
  std::int64_t pair;
  bool from_x;
  std::int64_t begin;
  std::int64_t end;
};

template <class T>
std::vector<Side<T>> make_sides(const NearestJob<T>& job) {
  std::vector<Side<T>> sides(static_cast<std::size_t>(2 * job.n_pairs));
  for (std::int64_t i = 0; i < job.n_pairs; ++i) {
    const std::int64_t j = job.index == nullptr ? i : 0;
    Side<T>& x = sides[static_cast<std::size_t>(2 * i)];
    Side<T>& y = sides[static_cast<std::size_t>(2 * i + 1)];
    x.points = job.x + job.x_offsets[i] * job.d;
    x.n = job.x_offsets[i + 1] - job.x_offsets[i];
    y.points = job.y + job.y_offsets[j] * job.d;
    y.n = job.y_offsets[j + 1] - job.y_offsets[j];
    x.is_target = job.sq_y != nullptr;
    y.is_target = true;
    x.asks_tree = !scan_is_faster(y.n, job.d);
    y.asks_tree = x.is_target && !scan_is_faster(x.n, job.d);
    if (job.index != nullptr) {
      // Written by prepare() and only read here.
      y.tree = lay_out_for<T>(const_cast<char*>(job.index), y.n, job.d, nullptr);
      if (y.tree.n_levels > 0) y.order = y.tree.ids;
    }
  }
  return sides;
}

template <class T>
std::vector<Task> make_tasks(const NearestJob<T>& job, const std::vector<Side<T>>& sides) {
  std::vector<Task> tasks;
  for (std::int64_t i = 0; i < job.n_pairs; ++i) {
    for (const bool from_x : {true, false}) {
      if (!from_x && job.sq_y == nullptr) continue;
      const std::int64_t n = sides[static_cast<std::size_t>(2 * i + (from_x ? 0 : 1))].n;
      for (std::int64_t begin = 0; begin < n; begin += kQueriesPerTask) {
        tasks.push_back({i, from_x, begin, std::min(n, begin + kQueriesPerTask)});
      }
    }
  }
  return tasks;
}

// Rough seconds of work, to leave a small job to the calling thread.
template <class T>
double estimate_work(const NearestJob<T>& job, const std::vector<Side<T>>& sides) {
  double work = 0;
  for (std::size_t i = 0; i < sides.size(); i += 2) {
    const double x = static_cast<double>(sides[i].n);
    const double y = static_cast<double>(sides[i + 1].n);
    work += sides[i].asks_tree ? x * 90e-9 : x * y * job.d * 0.15e-9;
    if (job.sq_y != nullptr) work += sides[i + 1].asks_tree ? y * 90e-9 : x * y * job.d * 0.15e-9;
  }
  return work;
}

template <class T>
void run_task(const NearestJob<T>& job, const std::vector<Side<T>>& sides, const Task& task) {
  const Side<T>& x = sides[static_cast<std::size_t>(2 * task.pair)];
  const Side<T>& y = sides[static_cast<std::size_t>(2 * task.pair + 1)];
  const Side<T>& from = task.from_x ? x : y;
  const Side<T>& to = task.from_x ? y : x;
  const std::int64_t start = task.from_x            ? job.x_offsets[task.pair]
                             : job.index == nullptr ? job.y_offsets[task.pair]
                                                    : task.pair * y.n;
  T* sq_dist = (task.from_x ? job.sq_x : job.sq_y) + start;
  std::int32_t* id = (task.from_x ? job.id_x : job.id_y) + start;
  search_some(from, to, task.begin, task.end, sq_dist, id);
}

template <class T>
int run(const NearestJob<T>& job) {
  std::vector<Side<T>> sides = make_sides(job);
  const std::vector<Task> tasks = make_tasks(job, sides);
  constexpr double kWorthAThread = 100e-6;
  const int n_threads = estimate_work(job, sides) < kWorthAThread ? 1 : job.n_threads;
  // With a prepared y only the x sides, which are the even ones, are left to index.
  const std::int64_t step = job.index == nullptr ? 1 : 2;
  const std::int64_t n_indices = 2 * job.n_pairs / step;
  const auto n_tasks = static_cast<std::int64_t>(tasks.size());
  std::atomic<bool> failed{false};
  std::atomic<std::int64_t> next_index{0};
  std::atomic<std::int64_t> n_indexed{0};
  std::atomic<std::int64_t> next_task{0};
  // Both stages in one go: starting threads a second time would cost as much as a small job. A worker
  // waits only for indices that another one is already building.
  nativekit::parallel_for(std::min<std::int64_t>(n_threads, std::max(n_indices, n_tasks)), n_threads,
                          [&](std::int64_t) {
                            for (std::int64_t i; (i = next_index.fetch_add(1)) < n_indices;) {
                              if (!index_side(&sides[static_cast<std::size_t>(i * step)], job.d)) failed = true;
                              n_indexed.fetch_add(1, std::memory_order_release);
                            }
                            while (n_indexed.load(std::memory_order_acquire) < n_indices) {
                              nativekit::stop_if_asked();  // who was building an index may have stopped
                              std::this_thread::yield();
                            }
                            if (failed) return;
                            for (std::int64_t t; (t = next_task.fetch_add(1)) < n_tasks;) {
                              run_task(job, sides, tasks[static_cast<std::size_t>(t)]);
                            }
                          });
  if (failed) return kOutOfMemory;
  return kOk;
}

template <class T>
void reduce_pair(const PairwiseJob<T>& job, const Side<T>& from, const Side<T>& to, T* sq_dist, std::int32_t* ids,
                 double* out) {
  search_some(from, to, 0, from.n, sq_dist, ids);
  double sum = 0;
  for (std::int64_t i = 0; i < from.n; ++i) {
    sum += powered(sq_dist[i], job.power);
  }
  *out = sum;
}

template <class T>
int run_pairwise(const PairwiseJob<T>& job) {
  std::vector<Side<T>> sides(static_cast<std::size_t>(job.n_x + job.n_y));
  std::int64_t most = 0;
  for (std::int64_t i = 0; i < job.n_x + job.n_y; ++i) {
    Side<T>& side = sides[static_cast<std::size_t>(i)];
    const std::int64_t* offsets = i < job.n_x ? job.x_offsets + i : job.y_offsets + (i - job.n_x);
    side.points = (i < job.n_x ? job.x : job.y) + offsets[0] * job.d;
    side.n = offsets[1] - offsets[0];
    side.is_target = true;
    // Whether it meets a cloud that has a tree is not worth finding out; an order costs little.
    side.asks_tree = true;
    most = std::max(most, side.n);
  }
  std::atomic<bool> failed{false};
  nativekit::parallel_for(static_cast<std::int64_t>(sides.size()), job.n_threads, [&](std::int64_t i) {
    if (!index_side(&sides[static_cast<std::size_t>(i)], job.d)) failed = true;
  });
  if (failed) return kOutOfMemory;
  std::atomic<std::int64_t> next{0};
  nativekit::parallel_for(job.n_threads, job.n_threads, [&](std::int64_t) {
    const std::size_t bytes = static_cast<std::size_t>(most) * (sizeof(T) + sizeof(std::int32_t));
    const Memory scratch = allocate(bytes);
    if (!scratch) {
      failed = true;
      return;
    }
    T* sq_dist = reinterpret_cast<T*>(scratch.get());
    auto* ids = reinterpret_cast<std::int32_t*>(sq_dist + most);
    for (std::int64_t p; (p = next.fetch_add(1)) < job.n_pairs;) {
      const Side<T>& x = sides[static_cast<std::size_t>(job.pairs[2 * p])];
      const Side<T>& y = sides[static_cast<std::size_t>(job.n_x + job.pairs[2 * p + 1])];
      reduce_pair(job, x, y, sq_dist, ids, job.forth + p);
      reduce_pair(job, y, x, sq_dist, ids, job.back + p);
    }
  });
  return failed ? kOutOfMemory : kOk;
}

}  // namespace

template <class T>
int pairwise(const PairwiseJob<T>& job) {
  return guarded([&] { return run_pairwise(job); });
}

template <class T>
int nearest(const NearestJob<T>& job) {
  return guarded([&] { return run(job); });
}

template <class T>
std::int64_t prepared_size(std::int64_t n, int d) {
  std::size_t bytes = 0;
  lay_out_for<T>(nullptr, n, d, &bytes);
  return static_cast<std::int64_t>(bytes);
}

template <class T>
int prepare(const T* points, std::int64_t n, int d, char* memory) {
  Tree<T> tree = lay_out_for<T>(memory, n, d, nullptr);
  return guarded([&] { return fill_tree(points, &tree) ? kOk : kOutOfMemory; });
}

template int pairwise(const PairwiseJob<float>&);
template int pairwise(const PairwiseJob<double>&);
template int nearest(const NearestJob<float>&);
template int nearest(const NearestJob<double>&);
template std::int64_t prepared_size<float>(std::int64_t, int);
template std::int64_t prepared_size<double>(std::int64_t, int);
template int prepare(const float*, std::int64_t, int, char*);
template int prepare(const double*, std::int64_t, int, char*);

}  // namespace pointmetrics

// Threads for both cores: disjoint pieces of work, no shared state, no OpenMP runtime.
#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "nativekit/interrupt.hpp"

namespace nativekit {

// The threads of one parallel_for, beside the caller's.
class Crew {
 public:
  explicit Crew(int n) { threads_.reserve(static_cast<std::size_t>(n)); }

  // Where the system refuses a thread, the ones that exist do the work.
  template <class Work>
  void start(int n, const Work& work) {
    try {
      for (int k = 0; k < n; ++k) {
        threads_.emplace_back([this, &work] {
          work();
          const std::lock_guard<std::mutex> hold(mutex_);
          ++n_done_;
          done_.notify_one();
        });
      }
    } catch (const std::system_error&) {
    }
  }

  // Wait for all; meanwhile the caller, whose watch it is, goes on asking.
  void join(Watch* watch) {
    if (watch && watch->is_own_thread()) {
      std::unique_lock<std::mutex> hold(mutex_);
      while (!done_.wait_for(hold, Watch::kPeriod, [&] { return n_done_ == threads_.size(); })) watch->stops();
    }
    for (auto& thread : threads_) thread.join();
  }

 private:
  std::vector<std::thread> threads_;
  std::mutex mutex_;
  std::condition_variable done_;
  std::size_t n_done_ = 0;
};

// Call body(i) once for every i in [0, n_items), on up to n_threads threads (the caller is one).
// Items are handed out in order from one counter, so body must write only what belongs to item i:
// then results cannot depend on the number of threads. body must not throw, but for Interrupted
// (interrupt.hpp): then, and where the call's watch says stop, the items left are not begun, and
// Interrupted is thrown once all threads are done.
template <class Body>
void parallel_for(std::int64_t n_items, int n_threads, const Body& body) {
  Watch* const watch = Watch::current();
  const int wanted = static_cast<int>(std::min<std::int64_t>(n_threads, n_items));
  if (wanted <= 1) {
    for (std::int64_t i = 0; i < n_items; ++i) {
      if (watch && watch->stops()) throw Interrupted();
      body(i);
    }
    return;
  }
  std::atomic<std::int64_t> next{0};
  const auto drain = [&] {
    Watch::current() = watch;
    try {
      for (std::int64_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < n_items;) {
        if (watch && watch->stops()) return;
        body(i);
      }
    } catch (const Interrupted&) {  // the watch remembers
    }
  };
  Crew crew(wanted - 1);
  crew.start(wanted - 1, drain);
  drain();
  crew.join(watch);
  if (watch && watch->stopped()) throw Interrupted();
}

}  // namespace nativekit

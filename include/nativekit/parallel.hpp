// Threads for both cores: disjoint pieces of work, no shared state, no OpenMP runtime.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <system_error>
#include <thread>
#include <vector>

namespace nativekit {

// Call body(i) once for every i in [0, n_items), on up to n_threads threads (the caller is one).
// Items are handed out in order from one counter, so body must write only what belongs to item i:
// then results cannot depend on the number of threads. body must not throw. Where the system
// refuses a thread, the ones that exist do the work.
template <class Body>
void parallel_for(std::int64_t n_items, int n_threads, const Body& body) {
  const int wanted = static_cast<int>(std::min<std::int64_t>(n_threads, n_items));
  if (wanted <= 1) {
    for (std::int64_t i = 0; i < n_items; ++i) body(i);
    return;
  }
  std::atomic<std::int64_t> next{0};
  const auto drain = [&] {
    for (std::int64_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < n_items;) body(i);
  };
  std::vector<std::thread> threads;
  threads.reserve(static_cast<std::size_t>(wanted - 1));
  try {
    for (int k = 1; k < wanted; ++k) threads.emplace_back(drain);
  } catch (const std::system_error&) {
    // Fewer threads than asked for: the work below still gets done.
  }
  drain();
  for (auto& thread : threads) thread.join();
}

}  // namespace nativekit

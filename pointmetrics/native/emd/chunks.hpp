// Rows shared out among threads, with memory failures brought back to the caller's thread.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <new>

#include "nativekit/parallel.hpp"

namespace pointmetrics::emd {

// body(item) for items [0, n), on up to n_threads threads; throws bad_alloc where any body did.
template <class Body>
void share_out(std::int64_t n, int n_threads, const Body& body) {
  std::atomic<bool> failed{false};
  nativekit::parallel_for(n, n_threads, [&](std::int64_t item) {
    try {
      body(item);
    } catch (const std::bad_alloc&) {
      failed = true;
    }
  });
  if (failed) throw std::bad_alloc();
}

// body(first, last) for runs of rows that cover [0, n).
template <class Body>
void share_rows(std::int32_t n, int n_threads, const Body& body) {
  constexpr std::int32_t kRun = 256;
  share_out((static_cast<std::int64_t>(n) + kRun - 1) / kRun, n_threads, [&](std::int64_t run) {
    const std::int64_t first = run * kRun;
    body(static_cast<std::int32_t>(first), static_cast<std::int32_t>(std::min<std::int64_t>(n, first + kRun)));
  });
}

}  // namespace pointmetrics::emd

// Ctrl-C in native calls: the host is asked now and then whether to stop, and every thread hears the answer.
//
// A binding opens a Watch around a call that may be stopped at any item, on the thread that made it. parallel_for asks
// between items; an item that takes long calls stop_if_asked() every few milliseconds of its work. Both throw
// Interrupted, which the call's entry turns into a status; the host's error is set by then, so it must be reported.
// Without a Watch nothing is asked and nothing throws: a call that changes an object in place opens none, unless
// whoever calls it can put the object back.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <thread>

namespace nativekit {

// No std::exception: nobody may take it for a failure of his own.
struct Interrupted {};

class Watch {
 public:
  using Ask = bool (*)();  // whether to stop; called on the watch's own thread

  static constexpr std::chrono::milliseconds kPeriod{50};  // between two questions

  // Without `ask`, nothing ever stops.
  explicit Watch(Ask ask = nullptr) : owner_(std::this_thread::get_id()), outer_(current()) { open(ask); }
  ~Watch() { current() = outer_; }
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  // Begin to ask, or end.
  void open(Ask ask) {
    ask_ = ask;
    next_ = Clock::now() + kPeriod;
    current() = ask ? this : nullptr;
  }

  // This thread's watch, or null.
  static Watch*& current() {
    thread_local Watch* watch = nullptr;
    return watch;
  }

  bool is_own_thread() const { return std::this_thread::get_id() == owner_; }
  bool stopped() const { return stopped_.load(std::memory_order_relaxed); }

  // Whether to stop, asking if it is time to.
  bool stops() {
    if (stopped() || !is_own_thread() || Clock::now() < next_) return stopped();
    if (ask_()) stopped_.store(true, std::memory_order_relaxed);  // never asked again: the host's error is set
    next_ = Clock::now() + kPeriod;
    return stopped();
  }

 private:
  using Clock = std::chrono::steady_clock;

  Ask ask_ = nullptr;
  const std::thread::id owner_;
  Clock::time_point next_;
  Watch* const outer_;
  std::atomic<bool> stopped_{false};
};

// Throw Interrupted if this thread's call, where it is watched, is to stop.
inline void stop_if_asked() {
  if (Watch* const watch = Watch::current(); watch && watch->stops()) throw Interrupted();
}

// For loops whose rounds are short: a question every `every` units of work.
class Paced {
 public:
  explicit Paced(std::int64_t every) : every_(every) {}
  void did(std::int64_t work) {
    if ((done_ += work) < every_) return;
    done_ = 0;
    stop_if_asked();
  }

 private:
  const std::int64_t every_;
  std::int64_t done_ = 0;
};

// Call body(begin, end) for runs of items that cover [0, n), with a question before each: for loops whose items take
// nanoseconds, but may be a thousand million.
template <class Body>
void in_runs(std::int64_t n, const Body& body) {
  constexpr std::int64_t kRun = 1 << 18;
  for (std::int64_t begin = 0; begin < n; begin += kRun) {
    stop_if_asked();
    body(begin, std::min(n, begin + kRun));
  }
}

// Make a vector hold `size` times `value`: the first touch of gigabytes takes seconds.
template <class Vector>
void fill_in_runs(Vector& vector, std::size_t size, const typename Vector::value_type& value) {
  vector.clear();
  vector.reserve(size);
  in_runs(static_cast<std::int64_t>(size),
          [&](std::int64_t, std::int64_t end) { vector.resize(static_cast<std::size_t>(end), value); });
}

}  // namespace nativekit

// Ctrl-C in native calls: the host is asked now and then whether to stop, and every thread hears the answer.
//
// A binding opens a Watch around a call that may be stopped at any item, on the thread that made it. parallel_for asks
// between items; an item that takes long calls stop_if_asked() every few milliseconds of its work. Both throw
// Interrupted, which the call's entry turns into a status; the host's error is set by then, so it must be reported.
// Without a Watch nothing is asked and nothing throws: a call that changes an object in place opens none, unless
// whoever calls it can put the object back.
#pragma once

#include <atomic>
#include <chrono>
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

}  // namespace nativekit

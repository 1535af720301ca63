// Who may touch a model: any number of readers, or one writer.
//
// Fair in phases: readers that come while a writer waits queue behind it, and all that wait when it
// leaves go before the next one. So neither a stream of points nor a stream of queries starves the other.
//
// A thread that would wait for itself is told so. A forked child has none of the other threads: what
// they held is let go of, and a model that one of them was changing is never entered again.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <new>
#include <thread>
#include <vector>

#include "nativekit/interrupt.hpp"

namespace imondrian {

enum class Entry : int { kIn, kBusy, kSelf, kTorn, kInterrupted };

class Gate {
 public:
  using Ask = nativekit::Watch::Ask;

  // Enter if nobody has to be waited for.
  Entry try_read() {
    const std::lock_guard<std::mutex> hold(mutex_);
    if (torn_) return Entry::kTorn;
    if (writing_ || writers_waiting_ > 0) return Entry::kBusy;
    ++reading_;
    readers_.push_back(me());
    return Entry::kIn;
  }
  Entry try_write() {
    const std::lock_guard<std::mutex> hold(mutex_);
    if (torn_) return Entry::kTorn;
    if (writing_ || reading_ > 0) return Entry::kBusy;
    writing_ = true;
    writer_ = me();
    return Entry::kIn;
  }

  // Enter, after a wait if need be; `ask`, where there is one, says now and then whether to give up.
  Entry read(Ask ask) {
    std::unique_lock<std::mutex> hold(mutex_);
    if (is_inside()) return Entry::kSelf;
    if (!writing_ && writers_waiting_ == 0) {
      ++reading_;
    } else {
      ++readers_waiting_;
      const std::uint64_t phase = phase_;
      // The writer that leaves has counted this reader.
      if (!wait(hold, ask, [&] { return phase_ != phase; })) {
        --(phase_ != phase ? reading_ : readers_waiting_);
        wake();
        return Entry::kInterrupted;
      }
    }
    readers_.push_back(me());
    return Entry::kIn;
  }
  Entry write(Ask ask) {
    std::unique_lock<std::mutex> hold(mutex_);
    if (is_inside()) return Entry::kSelf;
    ++writers_waiting_;
    const bool free = wait(hold, ask, [&] { return !writing_ && reading_ == 0; });
    --writers_waiting_;
    if (!free) {
      if (!writing_ && writers_waiting_ == 0) admit();
      return Entry::kInterrupted;
    }
    writing_ = true;
    writer_ = me();
    return Entry::kIn;
  }

  void end_read() {
    const std::lock_guard<std::mutex> hold(mutex_);
    const auto entry = std::find(readers_.begin(), readers_.end(), me());
    if (entry == readers_.end()) return;  // let go of at a fork
    *entry = readers_.back();
    readers_.pop_back();
    --reading_;
    wake();
  }
  void end_write() {
    const std::lock_guard<std::mutex> hold(mutex_);
    writing_ = false;
    if (!admit()) wake();
  }

  // Forks behind the process when it last used this gate; kept by those who use it.
  std::uint64_t forks = 0;

  // In a forked child, before anybody else comes here: this thread is the only one left.
  void forget_others() {
    new (&mutex_) std::mutex;  // whoever held it is gone
    new (&changed_) std::condition_variable;
    torn_ = writing_ && writer_ != me();
    const auto mine = std::count(readers_.begin(), readers_.end(), me());
    readers_.assign(static_cast<std::size_t>(mine), me());
    reading_ = mine;
    readers_waiting_ = writers_waiting_ = 0;
  }

 private:
  static std::thread::id me() { return std::this_thread::get_id(); }

  bool is_inside() const {
    return (writing_ && writer_ == me()) || std::find(readers_.begin(), readers_.end(), me()) != readers_.end();
  }

  template <class Ready>
  bool wait(std::unique_lock<std::mutex>& hold, Ask ask, const Ready& ready) {
    if (!ask) {
      changed_.wait(hold, ready);
      return true;
    }
    while (!changed_.wait_for(hold, nativekit::Watch::kPeriod, ready)) {
      hold.unlock();  // signal handlers run
      const bool stop = ask();
      hold.lock();
      if (stop) return false;
    }
    return true;
  }

  // Let in the readers that wait.
  bool admit() {
    if (readers_waiting_ == 0) return false;
    reading_ += readers_waiting_;
    readers_waiting_ = 0;
    ++phase_;
    changed_.notify_all();
    return true;
  }
  void wake() {
    if (reading_ == 0 && writers_waiting_ > 0) changed_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::int64_t reading_ = 0, readers_waiting_ = 0, writers_waiting_ = 0;
  std::uint64_t phase_ = 0;
  std::vector<std::thread::id> readers_;  // that are inside; those just let in come when they wake
  std::thread::id writer_;
  bool writing_ = false, torn_ = false;
};

}  // namespace imondrian

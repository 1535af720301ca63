// Who may touch a model: any number of readers, or one writer.
//
// Fair in phases: readers that come while a writer waits queue behind it, and all that wait when it
// leaves go before the next one. So neither a stream of points nor a stream of queries starves the other.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace imondrian {

class Gate {
 public:
  // Enter if nobody has to be waited for.
  bool try_read() {
    const std::lock_guard<std::mutex> hold(mutex_);
    if (writing_ || writers_waiting_ > 0) return false;
    ++reading_;
    return true;
  }
  bool try_write() {
    const std::lock_guard<std::mutex> hold(mutex_);
    if (writing_ || reading_ > 0) return false;
    writing_ = true;
    return true;
  }

  void read() {
    std::unique_lock<std::mutex> hold(mutex_);
    if (!writing_ && writers_waiting_ == 0) {
      ++reading_;
      return;
    }
    ++readers_waiting_;
    const std::uint64_t phase = phase_;
    changed_.wait(hold, [&] { return phase_ != phase; });  // the writer that leaves has counted this reader
  }
  void write() {
    std::unique_lock<std::mutex> hold(mutex_);
    ++writers_waiting_;
    changed_.wait(hold, [&] { return !writing_ && reading_ == 0; });
    --writers_waiting_;
    writing_ = true;
  }

  void end_read() {
    const std::lock_guard<std::mutex> hold(mutex_);
    if (--reading_ == 0 && writers_waiting_ > 0) changed_.notify_all();
  }
  void end_write() {
    const std::lock_guard<std::mutex> hold(mutex_);
    writing_ = false;
    if (readers_waiting_ > 0) {
      reading_ += readers_waiting_;
      readers_waiting_ = 0;
      ++phase_;
      changed_.notify_all();
    } else if (writers_waiting_ > 0) {
      changed_.notify_all();
    }
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::int64_t reading_ = 0, readers_waiting_ = 0, writers_waiting_ = 0;
  std::uint64_t phase_ = 0;
  bool writing_ = false;
};

}  // namespace imondrian

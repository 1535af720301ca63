// What asks during long loops whether to stop: nativekit/interrupt.hpp, without an interpreter.
#include <chrono>
#include <cstdio>
#include <thread>
#include <vector>

#include "nativekit/interrupt.hpp"

namespace {

int asked = 0, stop_at = 0;

bool ask() { return ++asked == stop_at; }

// As long as no question is due, and a little longer.
void wait() { std::this_thread::sleep_for(nativekit::Watch::kPeriod + std::chrono::milliseconds(5)); }

#define EXPECT(condition)                                        \
  if (!(condition)) {                                            \
    std::fprintf(stderr, "line %d: %s\n", __LINE__, #condition); \
    return 1;                                                    \
  }

// A vector whose values take long to make.
struct Slow {
  using value_type = int;
  std::vector<int> values;
  void clear() { values.clear(); }
  void reserve(std::size_t n) { values.reserve(n); }
  void resize(std::size_t n, int value) { values.resize(n, value), wait(); }
};

}  // namespace

int main() {
  constexpr std::int64_t kItems = (std::int64_t{5} << 18) + 3;
  nativekit::Watch watch(&ask);
  std::int64_t done = 0;
  nativekit::in_runs(kItems, [&](std::int64_t begin, std::int64_t end) {
    if (begin == done) done = end;
    wait();
  });
  EXPECT(done == kItems);
  EXPECT(asked == 5);  // before each run but the first, which came before a question was due

  nativekit::in_runs(0, [&](std::int64_t, std::int64_t) { done = 0; });
  EXPECT(done == kItems);

  std::vector<int> seven(3, 1);
  nativekit::fill_in_runs(seven, kItems, 7);
  EXPECT(seven == std::vector<int>(kItems, 7));

  asked = 0, stop_at = 2;
  Slow slow;
  bool stopped = false;
  try {
    wait();
    nativekit::fill_in_runs(slow, kItems, 1);
  } catch (const nativekit::Interrupted&) {
    stopped = true;
  }
  EXPECT(stopped && asked == 2);
  EXPECT(slow.values.size() == std::size_t{1} << 18);
  std::puts("interrupt_driver: ok");
  return 0;
}

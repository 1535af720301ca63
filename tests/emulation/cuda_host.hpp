// Runs CUDA C++ kernels on the host, one block after another, so that their sources can be tested,
// sanitized and debugged without a device. Include it before the kernels' own source.
//
// Threads of a block are fibers that switch only at barriers and warp collectives, in a fixed order:
// what a missing barrier breaks, breaks in every run. With CUDA_HOST_THREADS they are threads of the
// operating system instead, for ThreadSanitizer. Both are stricter than a device: every thread must
// reach every barrier, at the same line; masks must be full; there is no atomic on floating point.
//
// Not emulated: the relaxed memory model, speed, and the approximations of fast intrinsics.

#pragma once

#include <math.h>  // sqrt(float) and its like in the global namespace, as in CUDA

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#ifdef CUDA_HOST_THREADS
#include <pthread.h>

#include <thread>
#else
#include <ucontext.h>
#endif

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

#define CUDA_HOST_EMULATION 1
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __noinline__
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))  // may stand behind `static`, as alignas may not
#define __shared__ static
#define __constant__ static const
#define __grid_constant__
#define __ldg(pointer) (*(pointer))
#define __syncthreads() ::cuda_host::block_barrier(__LINE__)
#define __syncwarp() ::cuda_host::warp_barrier(__LINE__)
#define DYNAMIC_SHARED(name) unsigned char* name = ::cuda_host::dynamic_shared()

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
};

// Vector types -----------------------------------------------------------------------------------

#define CUDA_HOST_VECTORS(T, name)                                              \
  struct alignas(2 * sizeof(T)) name##2 { T x, y; };                            \
  struct name##3 { T x, y, z; };                                                \
  struct alignas(sizeof(T) > 4 ? 16 : 4 * sizeof(T)) name##4 { T x, y, z, w; }; \
  inline name##2 make_##name##2(T x, T y) { return {x, y}; }                    \
  inline name##3 make_##name##3(T x, T y, T z) { return {x, y, z}; }            \
  inline name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }
CUDA_HOST_VECTORS(float, float)
CUDA_HOST_VECTORS(double, double)
CUDA_HOST_VECTORS(int, int)
CUDA_HOST_VECTORS(unsigned, uint)
CUDA_HOST_VECTORS(long long, longlong)
CUDA_HOST_VECTORS(unsigned long long, ulonglong)
#undef CUDA_HOST_VECTORS

namespace cuda_host {

constexpr int kWarp = 32;
constexpr std::size_t kStack = 128 * 1024;

struct Shape {
  dim3 grid, block;
  unsigned shared_bytes;
  unsigned reverse;  // run the threads of a block from the last to the first
};

// One value of up to 8 bytes a lane, twice: a lane may write its next one while others read.
struct Warp {
  std::uint64_t slot[2][kWarp];
  int arrived = 0;
  int line = 0;
#ifdef CUDA_HOST_THREADS
  pthread_barrier_t barrier;
#endif
};

struct Thread {
  dim3 thread;
  int lane, parity = 0;
  Warp* warp;
  enum State { kRunnable, kBlock, kWarpWait, kDone } state = kRunnable;
  int line = 0;
#ifndef CUDA_HOST_THREADS
  ucontext_t context;
  std::unique_ptr<char[]> stack;
#if defined(__SANITIZE_ADDRESS__)
  void* fake_stack = nullptr;
#endif
#endif
};

struct Grid {
  Shape shape;
  dim3 block;
  unsigned char* shared = nullptr;
  std::vector<std::unique_ptr<Thread>> threads;
  std::vector<std::unique_ptr<Warp>> warps;
  int arrived = 0, line = 0;
  std::string error;
#ifdef CUDA_HOST_THREADS
  pthread_barrier_t barrier;
#else
  ucontext_t scheduler;
  void (*body)(void*) = nullptr;
  void* argument = nullptr;
#if defined(__SANITIZE_ADDRESS__)
  void* fake_stack = nullptr;
  const void* stack_bottom = nullptr;
  std::size_t stack_size = 0;
#endif
#endif
};

inline Grid*& grid() {
  static Grid* current = nullptr;
  return current;
}

inline Thread*& self() {
  static thread_local Thread* current = nullptr;
  return current;
}

inline unsigned char* dynamic_shared() { return grid()->shared; }

#ifdef CUDA_HOST_THREADS

[[noreturn]] inline void fail(const std::string& message) {
  std::fprintf(stderr, "%s\n", message.c_str());
  std::abort();
}

inline void block_barrier(int) { pthread_barrier_wait(&grid()->barrier); }
inline void warp_barrier(int) { pthread_barrier_wait(&self()->warp->barrier); }

#else

// Fibers: leave() goes to the scheduler, enter() to a thread.

inline void leave() {
  Grid& g = *grid();
  Thread& t = *self();
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(t.state == Thread::kDone ? nullptr : &t.fake_stack, g.stack_bottom, g.stack_size);
#endif
  swapcontext(&t.context, &g.scheduler);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(t.fake_stack, nullptr, nullptr);
#endif
}

inline void enter(Thread& t) {
  Grid& g = *grid();
  self() = &t;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&g.fake_stack, t.stack.get(), kStack);
#endif
  swapcontext(&g.scheduler, &t.context);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(g.fake_stack, nullptr, nullptr);
#endif
}

// Ends the launch. The other threads never run again.
[[noreturn]] inline void fail(const std::string& message) {
  grid()->error = message;
  self()->state = Thread::kDone;
  leave();
  std::abort();
}

inline void meet(int* arrived, int* first_line, int wanted, int line, Thread::State state) {
  if (*arrived == 0) *first_line = line;
  if (*first_line != line) {
    fail("threads of one block wait at different barriers, at lines " + std::to_string(*first_line) + " and " +
         std::to_string(line));
  }
  Thread& t = *self();
  t.line = line;
  if (++*arrived < wanted) {
    t.state = state;
    leave();
    return;
  }
  *arrived = 0;
  for (auto& other : grid()->threads) {
    if (other->state == state && (state == Thread::kBlock || other->warp == t.warp)) {
      other->state = Thread::kRunnable;
    }
  }
}

inline void block_barrier(int line) {
  Grid& g = *grid();
  meet(&g.arrived, &g.line, static_cast<int>(g.threads.size()), line, Thread::kBlock);
}

inline void warp_barrier(int line) {
  Warp& w = *self()->warp;
  meet(&w.arrived, &w.line, kWarp, line, Thread::kWarpWait);
}

#endif

inline void check_mask(unsigned mask, int line) {
  const Shape& s = grid()->shape;
  if (mask != 0xffffffffu || s.block.x * s.block.y * s.block.z % kWarp != 0) {
    fail("a warp collective at line " + std::to_string(line) + " needs a full mask and full warps");
  }
}

// Every lane shows its value; `read` is what this lane makes of all of them.
template <class T, class F>
auto collect(unsigned mask, T value, int line, F read) {
  static_assert(sizeof(T) <= 8 && std::is_trivially_copyable<T>::value, "up to 8 plain bytes a lane");
  check_mask(mask, line);
  Thread& t = *self();
  std::uint64_t* slots = t.warp->slot[t.parity];
  t.parity ^= 1;
  std::memcpy(&slots[t.lane], &value, sizeof(T));
  warp_barrier(line);
  return read([slots](int lane) {
    T seen;
    std::memcpy(&seen, &slots[lane], sizeof(T));
    return seen;
  });
}

template <class T>
T shuffle(unsigned mask, T value, int line, int source) {
  return collect(mask, value, line, [&](auto at) { return at(source); });
}

inline unsigned ballot(unsigned mask, int predicate, int line) {
  return collect(mask, predicate, line, [](auto at) {
    unsigned bits = 0;
    for (int i = 0; i < kWarp; ++i) bits |= (at(i) != 0 ? 1u : 0u) << i;
    return bits;
  });
}

template <class T, class F>
T reduce(unsigned mask, T value, int line, F join) {
  return collect(mask, value, line, [&](auto at) {
    T all = at(0);
    for (int i = 1; i < kWarp; ++i) all = join(all, at(i));
    return all;
  });
}

// Launching --------------------------------------------------------------------------------------

#ifdef CUDA_HOST_THREADS

inline void run_block(void (*body)(void*), void* argument) {
  Grid& g = *grid();
  pthread_barrier_init(&g.barrier, nullptr, static_cast<unsigned>(g.threads.size()));
  for (auto& w : g.warps) pthread_barrier_init(&w->barrier, nullptr, kWarp);
  std::vector<std::thread> workers;
  for (auto& t : g.threads) {
    workers.emplace_back([&t, body, argument] {
      self() = t.get();
      body(argument);
    });
  }
  for (auto& worker : workers) worker.join();
  pthread_barrier_destroy(&g.barrier);
  for (auto& w : g.warps) pthread_barrier_destroy(&w->barrier);
}

#else

inline void fiber_main() {
  Grid& g = *grid();
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &g.stack_bottom, &g.stack_size);
#endif
  g.body(g.argument);
  self()->state = Thread::kDone;
  leave();
}

inline void run_block(void (*body)(void*), void* argument) {
  Grid& g = *grid();
  g.body = body;
  g.argument = argument;
  for (auto& t : g.threads) {
    if (!t->stack) t->stack.reset(new char[kStack]);
    getcontext(&t->context);
    t->context.uc_stack.ss_sp = t->stack.get();
    t->context.uc_stack.ss_size = kStack;
    t->context.uc_link = nullptr;
    makecontext(&t->context, fiber_main, 0);
  }
  const std::size_t n = g.threads.size();
  for (bool moved = true; moved && g.error.empty();) {
    moved = false;
    for (std::size_t i = 0; i < n && g.error.empty(); ++i) {
      Thread& t = *g.threads[g.shape.reverse ? n - 1 - i : i];
      if (t.state != Thread::kRunnable) continue;
      moved = true;
      enter(t);
    }
  }
  if (!g.error.empty()) return;
  for (auto& t : g.threads) {
    if (t->state != Thread::kDone) {
      g.error = "some threads of a block never reach the barrier at line " + std::to_string(t->line);
      return;
    }
  }
}

#endif

inline void prepare_block(Grid& g) {
  const dim3 size = g.shape.block;
  const std::size_t n = static_cast<std::size_t>(size.x) * size.y * size.z;
  g.threads.resize(n);
  g.warps.resize((n + kWarp - 1) / kWarp);
  g.arrived = 0;
  for (auto& w : g.warps) {
    if (!w) w.reset(new Warp);
    w->arrived = 0;
  }
  for (std::size_t i = 0; i < n; ++i) {
    if (!g.threads[i]) g.threads[i].reset(new Thread);
    Thread& t = *g.threads[i];
    t.thread.x = static_cast<unsigned>(i % size.x);
    t.thread.y = static_cast<unsigned>(i / size.x % size.y);
    t.thread.z = static_cast<unsigned>(i / size.x / size.y);
    t.lane = static_cast<int>(i % kWarp);
    t.parity = 0;
    t.warp = g.warps[i / kWarp].get();
    t.state = Thread::kRunnable;
  }
}

inline std::string run_grid(const Shape& shape, void (*body)(void*), void* argument) {
  Grid g;
  g.shape = shape;
  if (shape.block.x * shape.block.y * shape.block.z > 1024) return "a block has at most 1024 threads";
  if (shape.shared_bytes > 227 * 1024) return "a block has at most 227 KiB of shared memory";
  if (shape.grid.y > 65535 || shape.grid.z > 65535) return "grid.y and grid.z are at most 65535";
  // Exactly as large as asked for, so that a sanitizer sees every overrun.
  std::unique_ptr<unsigned char, decltype(&std::free)> shared(nullptr, &std::free);
  if (shape.shared_bytes > 0) {
    const std::size_t rounded = (shape.shared_bytes + 15u) & ~std::size_t{15};
    shared.reset(static_cast<unsigned char*>(std::aligned_alloc(16, rounded)));
    g.shared = shared.get();
  }
  grid() = &g;
  for (unsigned z = 0; z < shape.grid.z && g.error.empty(); ++z) {
    for (unsigned y = 0; y < shape.grid.y && g.error.empty(); ++y) {
      for (unsigned x = 0; x < shape.grid.x && g.error.empty(); ++x) {
        g.block = {x, y, z};
        if (g.shared != nullptr) std::memset(g.shared, 0xa5, shape.shared_bytes);
        prepare_block(g);
        run_block(body, argument);
      }
    }
  }
  grid() = nullptr;
  return g.error;
}

template <class... A>
struct Call {
  void (*kernel)(A...);
  void** arguments;

  template <std::size_t... I>
  void apply(std::index_sequence<I...>) {
    kernel(*static_cast<std::remove_const_t<A>*>(arguments[I])...);
  }
  static void run(void* call) { static_cast<Call*>(call)->apply(std::index_sequence_for<A...>{}); }
};

template <class... A>
std::string launch(void (*kernel)(A...), const Shape& shape, void** arguments) {
  Call<A...> call{kernel, arguments};
  return run_grid(shape, Call<A...>::run, &call);
}

// "*f4" is float*, "&f4" const float*, "i8" a 64-bit signed integer by value.
template <class T>
std::string type_name() {
  if constexpr (std::is_pointer_v<T>) {
    using Item = std::remove_pointer_t<T>;
    return (std::is_const_v<Item> ? "&" : "*") + type_name<std::remove_const_t<Item>>();
  } else {
    static_assert(std::is_arithmetic_v<T>, "kernel parameters are numbers and pointers to numbers");
    const char* kind = std::is_floating_point_v<T> ? "f" : std::is_signed_v<T> ? "i" : "u";
    return kind + std::to_string(sizeof(T));
  }
}

template <class... A>
std::string signature(void (*)(A...)) {
  std::string text;
  ((text += type_name<std::remove_const_t<A>>() + " "), ...);
  return text;
}

}  // namespace cuda_host

#define threadIdx (::cuda_host::self()->thread)
#define blockIdx (::cuda_host::grid()->block)
#define blockDim (::cuda_host::grid()->shape.block)
#define gridDim (::cuda_host::grid()->shape.grid)
constexpr int warpSize = cuda_host::kWarp;

#include "cuda_intrinsics.hpp"

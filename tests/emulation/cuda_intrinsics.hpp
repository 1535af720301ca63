// What kernels call: warp collectives, atomics, casts and mathematics. Included by cuda_host.hpp, at its end.
#pragma once

// Warp collectives -------------------------------------------------------------------------------

#define __shfl_sync(mask, value, source) \
  ::cuda_host::shuffle(mask, value, __LINE__, (source) & (::cuda_host::kWarp - 1))
#define __shfl_xor_sync(mask, value, bits) \
  ::cuda_host::shuffle(mask, value, __LINE__, ::cuda_host::self()->lane ^ (bits))
#define __shfl_down_sync(mask, value, by)                                                    \
  ::cuda_host::shuffle(mask, value, __LINE__,                                                \
                       ::cuda_host::self()->lane + static_cast<int>(by) < ::cuda_host::kWarp \
                           ? ::cuda_host::self()->lane + static_cast<int>(by)                \
                           : ::cuda_host::self()->lane)
#define __shfl_up_sync(mask, value, by)                                       \
  ::cuda_host::shuffle(mask, value, __LINE__,                                 \
                       ::cuda_host::self()->lane - static_cast<int>(by) >= 0  \
                           ? ::cuda_host::self()->lane - static_cast<int>(by) \
                           : ::cuda_host::self()->lane)
#define __ballot_sync(mask, predicate) ::cuda_host::ballot(mask, (predicate) != 0, __LINE__)
#define __any_sync(mask, predicate) (::cuda_host::ballot(mask, (predicate) != 0, __LINE__) != 0)
#define __all_sync(mask, predicate) (::cuda_host::ballot(mask, (predicate) != 0, __LINE__) == 0xffffffffu)
// The reductions of compute capability 8.0: kernels that must run on 7.5 shuffle instead.
#define __reduce_add_sync(mask, value) ::cuda_host::reduce(mask, value, __LINE__, [](auto a, auto b) { return a + b; })
#define __reduce_min_sync(mask, value) \
  ::cuda_host::reduce(mask, value, __LINE__, [](auto a, auto b) { return b < a ? b : a; })
#define __reduce_max_sync(mask, value) \
  ::cuda_host::reduce(mask, value, __LINE__, [](auto a, auto b) { return a < b ? b : a; })

inline void __threadfence() {}
inline void __threadfence_block() {}
inline void __trap() { cuda_host::fail("a kernel trapped"); }

// Atomics, on integers only: sums of floating point would depend on the order -----------------------

namespace cuda_host {

template <class T>
constexpr bool is_atomic = std::is_same_v<T, int> || std::is_same_v<T, unsigned> ||
                           std::is_same_v<T, unsigned long long> || std::is_same_v<T, long long>;

template <class T, class F>
T update(T* at, F next) {
  static_assert(is_atomic<T>, "atomics are for 32- and 64-bit integers");
  T old = __atomic_load_n(at, __ATOMIC_RELAXED);
  while (!__atomic_compare_exchange_n(at, &old, next(old), true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
  }
  return old;
}

}  // namespace cuda_host

template <class T>
T atomicAdd(T* at, std::common_type_t<T> value) {
  static_assert(!std::is_same_v<T, long long>, "CUDA has no signed 64-bit atomicAdd");
  return cuda_host::update(at, [=](T old) {
    return static_cast<T>(static_cast<std::make_unsigned_t<T>>(old) + static_cast<std::make_unsigned_t<T>>(value));
  });
}
template <class T>
T atomicMin(T* at, std::common_type_t<T> value) {
  return cuda_host::update(at, [=](T old) { return value < old ? value : old; });
}
template <class T>
T atomicMax(T* at, std::common_type_t<T> value) {
  return cuda_host::update(at, [=](T old) { return old < value ? value : old; });
}
template <class T>
T atomicExch(T* at, std::common_type_t<T> value) {
  static_assert(!std::is_same_v<T, long long>, "CUDA has no signed 64-bit atomicExch");
  return cuda_host::update(at, [=](T) { return value; });
}
template <class T>
T atomicOr(T* at, std::common_type_t<T> value) {
  return cuda_host::update(at, [=](T old) { return old | value; });
}
template <class T>
T atomicAnd(T* at, std::common_type_t<T> value) {
  return cuda_host::update(at, [=](T old) { return old & value; });
}
template <class T>
T atomicCAS(T* at, std::common_type_t<T> expected, std::common_type_t<T> value) {
  static_assert(cuda_host::is_atomic<T> && !std::is_same_v<T, long long>, "no such atomicCAS");
  T old = expected;
  __atomic_compare_exchange_n(at, &old, static_cast<T>(value), false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
  return old;
}

// Arithmetic -------------------------------------------------------------------------------------

template <class T>
T min(T a, T b) {
  return b < a ? b : a;
}
template <class T>
T max(T a, T b) {
  return a < b ? b : a;
}
inline float min(float a, float b) { return std::fmin(a, b); }
inline float max(float a, float b) { return std::fmax(a, b); }
inline double min(double a, double b) { return std::fmin(a, b); }
inline double max(double a, double b) { return std::fmax(a, b); }

inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline float __fsqrt_rn(float a) { return std::sqrt(a); }
inline float __frcp_rn(float a) { return 1.0f / a; }
inline float rsqrtf(float a) { return 1.0f / std::sqrt(a); }
inline double rsqrt(double a) { return 1.0 / std::sqrt(a); }
inline double __dadd_rn(double a, double b) { return a + b; }
inline double __dsub_rn(double a, double b) { return a - b; }
inline double __dmul_rn(double a, double b) { return a * b; }
inline double __ddiv_rn(double a, double b) { return a / b; }
inline double __dsqrt_rn(double a) { return std::sqrt(a); }
inline float __expf(float a) { return std::exp(a); }
inline float __logf(float a) { return std::log(a); }
inline float __log2f(float a) { return std::log2(a); }
inline float __fdividef(float a, float b) { return a / b; }

namespace cuda_host {
template <class To, class From>
To bits(From from) {
  static_assert(sizeof(To) == sizeof(From), "as many bits");
  To to;
  std::memcpy(&to, &from, sizeof(To));
  return to;
}
}  // namespace cuda_host
inline unsigned __float_as_uint(float a) { return cuda_host::bits<unsigned>(a); }
inline int __float_as_int(float a) { return cuda_host::bits<int>(a); }
inline float __uint_as_float(unsigned a) { return cuda_host::bits<float>(a); }
inline float __int_as_float(int a) { return cuda_host::bits<float>(a); }
inline long long __double_as_longlong(double a) { return cuda_host::bits<long long>(a); }
inline double __longlong_as_double(long long a) { return cuda_host::bits<double>(a); }

inline int __popc(unsigned a) { return __builtin_popcount(a); }
inline int __popcll(unsigned long long a) { return __builtin_popcountll(a); }
inline int __ffs(int a) { return __builtin_ffs(a); }
inline int __ffsll(long long a) { return __builtin_ffsll(a); }
inline int __clz(int a) { return a == 0 ? 32 : __builtin_clz(static_cast<unsigned>(a)); }
inline int __clzll(long long a) { return a == 0 ? 64 : __builtin_clzll(static_cast<unsigned long long>(a)); }
inline unsigned __umulhi(unsigned a, unsigned b) {
  return static_cast<unsigned>((static_cast<unsigned long long>(a) * b) >> 32);
}
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  return static_cast<unsigned long long>((static_cast<unsigned __int128>(a) * b) >> 64);
}

// What a library of kernels exports: for each a launcher and its parameters' types.
#define CUDA_HOST_ENTRY(kernel)                                                                                        \
  extern "C" int launch_##kernel(const ::cuda_host::Shape* shape, void** arguments, char* message, std::size_t room) { \
    const std::string error = ::cuda_host::launch(kernel, *shape, arguments);                                          \
    std::snprintf(message, room, "%s", error.c_str());                                                                 \
    return error.empty() ? 0 : 1;                                                                                      \
  }                                                                                                                    \
  extern "C" void signature_##kernel(char* text, std::size_t room) {                                                   \
    std::snprintf(text, room, "%s", ::cuda_host::signature(kernel).c_str());                                           \
  }

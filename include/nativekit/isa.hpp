// The instruction sets that hot loops are compiled for, and which of them this process uses.
//
// A core has one file for each (isa/baseline.cpp, avx2.cpp, avx512.cpp). It includes everything that lies outside
// first, then begin_isa.hpp, the loops, end_isa.hpp; the loops live in a namespace NK_ISA, named like the file. A
// template first seen between the two would be compiled for that instruction set, and the linker might keep that copy
// for machines that lack it: what is not in a namespace NK_ISA must come before.
//
// Results are the same bits on each: every lane takes the same IEEE operations in the same order.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>

#include "nativekit/simd.hpp"

#if defined(__x86_64__) || (defined(_M_X64) && !defined(_M_ARM64EC))
#define NK_X86 1
#else
#define NK_X86 0
#endif
#if defined(__aarch64__) || defined(_M_ARM64)
#define NK_NEON 1
#else
#define NK_NEON 0
#endif

// NK_BASELINE_ONLY leaves the other instruction sets out, for quick builds under sanitizers.
#if NK_X86 && !defined(NK_BASELINE_ONLY)
#define NK_HAS_LEVELS 1
#else
#define NK_HAS_LEVELS 0
#endif

#if NK_X86 && defined(_MSC_VER) && !defined(__clang__)
#include <intrin.h>
#elif NK_X86
#include <cpuid.h>
#include <immintrin.h>
#elif NK_NEON
#include <arm_neon.h>
#endif

namespace nativekit {

// As the x86-64-v2, -v3 and -v4 of the compilers; the baseline of an ARM has NEON.
enum class Level : int { kBaseline = 0, kAvx2 = 1, kAvx512 = 2 };

#if NK_X86
namespace cpu {

struct Words {
  std::uint32_t a, b, c, d;
};

inline Words id(std::uint32_t leaf) {
  Words w{};
#if defined(_MSC_VER) && !defined(__clang__)
  int out[4];
  __cpuid(out, static_cast<int>(leaf & 0x80000000u));
  if (static_cast<std::uint32_t>(out[0]) < leaf) return w;
  __cpuidex(out, static_cast<int>(leaf), 0);
  std::memcpy(&w, out, sizeof w);
#else
  __get_cpuid_count(leaf, 0, &w.a, &w.b, &w.c, &w.d);  // zeros where there is no such leaf
#endif
  return w;
}

// The registers that the operating system saves.
inline std::uint32_t saved_state() {
#if defined(_MSC_VER) && !defined(__clang__)
  return static_cast<std::uint32_t>(_xgetbv(0));
#else
  std::uint32_t low, high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
#endif
}

constexpr std::uint32_t bits() { return 0; }
template <class... Rest>
constexpr std::uint32_t bits(int bit, Rest... rest) {
  return (std::uint32_t{1} << bit) | bits(rest...);
}
inline bool has(std::uint32_t word, std::uint32_t wanted) { return (word & wanted) == wanted; }

}  // namespace cpu
#endif

// The best level of this machine. All that a compiler may use at a level counts, not just the vectors.
inline Level best_level() {
#if NK_HAS_LEVELS
  using namespace cpu;
  const Words first = id(1), seventh = id(7), extended = id(0x80000001u);
  // SSSE3, FMA, CMPXCHG16B, SSE4.1, SSE4.2, MOVBE, POPCNT, OSXSAVE, AVX, F16C
  if (!has(first.c, bits(9, 12, 13, 19, 20, 22, 23, 27, 28, 29)) || !has(saved_state(), bits(1, 2)))
    return Level::kBaseline;
  // BMI1, AVX2, BMI2; LAHF, LZCNT
  if (!has(seventh.b, bits(3, 5, 8)) || !has(extended.c, bits(0, 5))) return Level::kBaseline;
  // AVX-512 F, DQ, CD, BW, VL
  if (!has(seventh.b, bits(16, 17, 28, 30, 31)) || !has(saved_state(), bits(5, 6, 7))) return Level::kAvx2;
  return Level::kAvx512;
#else
  return Level::kBaseline;
#endif
}

namespace chosen {
inline std::atomic<int>& level() {
  static std::atomic<int> value{static_cast<int>(best_level())};
  return value;
}
}  // namespace chosen

inline Level level() { return static_cast<Level>(chosen::level().load(std::memory_order_relaxed)); }

// Use at most this level; returns what is used from now on. Calls under way end as they began.
inline Level limit_level(int most) {
  chosen::level() = std::clamp(most, 0, static_cast<int>(best_level()));
  return level();
}

// What the level in use is called, and what its vectors are.
inline const char* level_name() {
  static constexpr const char* kNames[] = {"baseline", "avx2", "avx512"};
  return kNames[static_cast<int>(level())];
}
inline const char* vector_name() {
  switch (level()) {
    case Level::kAvx512:
      return "AVX-512";
    case Level::kAvx2:
      return "AVX2";
    default:
      return NK_X86 ? "SSE2" : NK_NEON ? "NEON" : "none";
  }
}

// That of three tables which belongs to the level in use.
template <class Table>
const Table& of_level(const Table& baseline, [[maybe_unused]] const Table& avx2, [[maybe_unused]] const Table& avx512) {
#if NK_HAS_LEVELS
  switch (level()) {
    case Level::kAvx512:
      return avx512;
    case Level::kAvx2:
      return avx2;
    default:
      break;
  }
#endif
  return baseline;
}

}  // namespace nativekit

// Everything that the kernels use from elsewhere. A file that is compiled for one instruction set
// includes this before its target pragma: a library template first seen after it would be compiled
// for that instruction set, and the linker might keep that copy for machines that lack it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>
#include <utility>

#if (defined(__GNUC__) || defined(__clang__)) && defined(__x86_64__)
#define NK_X86_TARGETS 1
#include <immintrin.h>
#else
#define NK_X86_TARGETS 0
#endif
#if defined(_MSC_VER)
#include <intrin.h>
#endif

#include "nativekit/simd.hpp"
#include "tree.hpp"

// The kernels for AVX2.
#include "isa/dispatch.hpp"

#if NK_X86_TARGETS
#define NK_ARCH v3
#define NK_PACK_BITS 256
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("arch=x86-64-v3"))), apply_to = function)
#include "isa/arch.hpp"
#pragma clang attribute pop
#else
#pragma GCC push_options
#pragma GCC target("arch=x86-64-v3")
#include "isa/arch.hpp"
#pragma GCC pop_options
#endif
#endif

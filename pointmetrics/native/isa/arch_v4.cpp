// The kernels for AVX-512.
#include "isa/dispatch.hpp"

#if NK_X86_TARGETS
#define NK_ARCH v4
#define NK_PACK_BITS 512
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("arch=x86-64-v4"))), apply_to = function)
#include "isa/arch.hpp"
#pragma clang attribute pop
#else
// GCC 12 warns about its own AVX-512 header (bug 105593, fixed in GCC 13).
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC push_options
#pragma GCC target("arch=x86-64-v4")
#include "isa/arch.hpp"
#pragma GCC pop_options
#endif
#endif

// From here to end_isa.hpp, functions are compiled for the instruction set NK_LEVEL (a Level of isa.hpp, as a number),
// and NK_ISA is the namespace they live in. MSVC has no such switch: there Pack's intrinsics are all that differs.

#if NK_LEVEL == 2
#define NK_ISA avx512
#elif NK_LEVEL == 1
#define NK_ISA avx2
#else
#define NK_ISA baseline
#endif

#if NK_LEVEL > 0 && defined(__clang__)
#if NK_LEVEL == 2
#pragma clang attribute push(__attribute__((target("arch=x86-64-v4"))), apply_to = function)
#else
#pragma clang attribute push(__attribute__((target("arch=x86-64-v3"))), apply_to = function)
#endif
#elif NK_LEVEL > 0 && defined(__GNUC__)
#pragma GCC push_options
#if NK_LEVEL == 2
// GCC 12 warns about its own AVX-512 header (bug 105593, fixed in GCC 13).
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC target("arch=x86-64-v4")
#else
#pragma GCC target("arch=x86-64-v3")
#endif
#endif

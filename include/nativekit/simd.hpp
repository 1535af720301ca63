// Run-time choice of the instruction set, and the inlining it depends on.
#pragma once

// NK_CLONES before a function compiles it for AVX-512, AVX2 and the baseline, and lets the loader
// choose; what it calls must be NK_INLINE or it stays at the baseline. It needs ifunc (GCC with
// glibc); elsewhere the baseline is all there is.
#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && defined(__GLIBC__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define NK_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define NK_CLONES
#endif

#if defined(_MSC_VER)
#define NK_INLINE __forceinline
#define NK_RARE __declspec(noinline)
#define NK_RESTRICT __restrict
#define NK_PREFETCH(address) ((void)(address))
#else
#define NK_INLINE inline __attribute__((always_inline))
#define NK_RARE __attribute__((noinline, cold))
#define NK_RESTRICT __restrict__
#define NK_PREFETCH(address) __builtin_prefetch(address)
#endif

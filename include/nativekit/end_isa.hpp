// Ends what begin_isa.hpp began.

#if NK_LEVEL > 0 && defined(__clang__)
#pragma clang attribute pop
#elif NK_LEVEL > 0 && defined(__GNUC__)
#pragma GCC pop_options
#endif

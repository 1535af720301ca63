// The kernels for AVX-512.
#include "isa/shared.hpp"

#if NK_HAS_LEVELS
#define NK_LEVEL 2
#include "nativekit/begin_isa.hpp"
//
#include "isa/level.hpp"
//
#include "nativekit/end_isa.hpp"
#endif

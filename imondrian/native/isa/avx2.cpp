// The core for AVX2.
#include "isa/shared.hpp"

#if NK_HAS_LEVELS
#define NK_LEVEL 1
#include "nativekit/begin_isa.hpp"
//
#include "isa/level.hpp"
//
#include "nativekit/end_isa.hpp"
#endif

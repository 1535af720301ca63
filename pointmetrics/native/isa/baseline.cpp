// The kernels for any processor.
#include "isa/shared.hpp"

#define NK_LEVEL 0
#include "nativekit/begin_isa.hpp"
//
#include "isa/level.hpp"
//
#include "nativekit/end_isa.hpp"

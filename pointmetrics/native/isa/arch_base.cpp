// The kernels for whatever the compiler was told to build for.
#include "isa/dispatch.hpp"

#define NK_ARCH base
#define NK_PACK_BITS 0
#include "isa/arch.hpp"

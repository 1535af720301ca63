// The kernels for whatever the compiler was told to build for.
#include "dispatch.hpp"

#define NK_ARCH base
#define NK_PACK_BITS 0
#include "arch.hpp"

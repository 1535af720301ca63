#include "isa/kernels.hpp"

#include "nativekit/isa.hpp"

namespace pointmetrics {

namespace baseline {
extern const Core kCore;
}
#if NK_HAS_LEVELS
namespace avx2 {
extern const Core kCore;
}
namespace avx512 {
extern const Core kCore;
}
#else
namespace avx2 {
using baseline::kCore;
}
namespace avx512 {
using baseline::kCore;
}
#endif

const Core& core() { return nativekit::of_level(baseline::kCore, avx2::kCore, avx512::kCore); }

}  // namespace pointmetrics

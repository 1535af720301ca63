#include "isa/dispatch.hpp"

#include <atomic>

#include "nearest/nearest.hpp"

namespace pointmetrics {

namespace base {
template <class T>
extern const Kernels<T> kKernels;
extern const MeshSearch kMeshSearch;
}
#if NK_X86_TARGETS
namespace v3 {
template <class T>
extern const Kernels<T> kKernels;
extern const MeshSearch kMeshSearch;
}
namespace v4 {
template <class T>
extern const Kernels<T> kKernels;
extern const MeshSearch kMeshSearch;
}
#endif

namespace {

enum Level : int { kBase = 0, kAvx2 = 1, kAvx512 = 2 };

int best_level() {
#if NK_X86_TARGETS
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512cd")) {
    return kAvx512;
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2")) return kAvx2;
#endif
  return kBase;
}

std::atomic<int>& level() {
  static std::atomic<int> chosen{best_level()};
  return chosen;
}

}  // namespace

template <class T>
const Kernels<T>& kernels() {
#if NK_X86_TARGETS
  switch (level().load(std::memory_order_relaxed)) {
    case kAvx512: return v4::kKernels<T>;
    case kAvx2: return v3::kKernels<T>;
    default: break;
  }
#endif
  return base::kKernels<T>;
}

template const Kernels<float>& kernels<float>();
template const Kernels<double>& kernels<double>();

MeshSearch mesh_search() {
#if NK_X86_TARGETS
  switch (level().load(std::memory_order_relaxed)) {
    case kAvx512: return v4::kMeshSearch;
    case kAvx2: return v3::kMeshSearch;
    default: break;
  }
#endif
  return base::kMeshSearch;
}

int limit_instruction_set(int limit) {
  level() = std::min(limit, best_level());
  return level();
}

}  // namespace pointmetrics

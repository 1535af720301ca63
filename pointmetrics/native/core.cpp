#include "core.hpp"

#include "isa/kernels.hpp"

namespace pointmetrics {

template <class T>
double max_magnitude(const T* values, std::int64_t n) {
  return kernels<T>().max_magnitude(values, n);
}

template double max_magnitude(const float*, std::int64_t);
template double max_magnitude(const double*, std::int64_t);

}  // namespace pointmetrics

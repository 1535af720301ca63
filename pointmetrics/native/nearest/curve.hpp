// Put points in the order of a Hilbert curve. Included once per instruction set (isa/level.hpp).
//
// The curve only decides how fast a search is, never what it finds. Keys are 32 bits: coordinates are
// cut into cells of the cloud's bounding cube, and a run of points that share one cell and do not fit a
// leaf is ordered again within its own bounding cube. So outliers and dense spots cost another pass
// over their points, not their neighbours' resolution.

namespace pointmetrics::NK_ISA {

constexpr int kMaxCurveAxes = 8;
constexpr int kKeyBits = 32;
constexpr int kBlock = 256;
constexpr std::int64_t kPointsPerQuestion = 1 << 18;  // whether to stop: milliseconds

struct CurveBox {
  int n_axes = 0;
  int axes[kMaxCurveAxes];
  double lower[kMaxCurveAxes];
  double scale = 0;  // cells per unit; 0 where all points coincide
  int bits = 0;
};

// The bounding cube of points[order[0, n)] along its widest axes.
template <class T>
CurveBox curve_box(const T* points, int d, const std::uint64_t* items, std::int64_t n) {
  CurveBox box;
  double extent[kMaxCurveAxes];
  for (int a = 0; a < d; ++a) {
    T low = points[static_cast<std::int64_t>(static_cast<std::uint32_t>(items[0])) * d + a];
    T high = low;
    for (std::int64_t i = 1; i < n; ++i) {
      const T value = points[static_cast<std::int64_t>(static_cast<std::uint32_t>(items[i])) * d + a];
      low = std::min(low, value);
      high = std::max(high, value);
    }
    const double width = static_cast<double>(high) - static_cast<double>(low);
    int at = std::min(box.n_axes, kMaxCurveAxes - 1);
    if (box.n_axes == kMaxCurveAxes && width <= extent[at]) continue;
    // Insertion by falling width keeps the kMaxCurveAxes widest.
    for (; at > 0 && extent[at - 1] < width; --at) {
      extent[at] = extent[at - 1];
      box.axes[at] = box.axes[at - 1];
      box.lower[at] = box.lower[at - 1];
    }
    extent[at] = width;
    box.axes[at] = a;
    box.lower[at] = static_cast<double>(low);
    box.n_axes = std::min(box.n_axes + 1, kMaxCurveAxes);
  }
  box.bits = std::min(31, kKeyBits / box.n_axes);
  if (extent[0] > 0) box.scale = static_cast<double>((std::int64_t{1} << box.bits) - 1) / extent[0];
  if (!(box.scale <= std::numeric_limits<double>::max())) box.scale = 0;
  return box;
}

// Skilling's transform from cell coordinates to Hilbert order ("Programming the Hilbert curve", AIP
// Conf. Proc. 707, 2004), for a block of points at once: no branch depends on the data.
NK_INLINE void to_hilbert(std::uint32_t cells[kMaxCurveAxes][kBlock], int n_axes, int bits, std::uint32_t* key) {
  for (std::uint32_t q = std::uint32_t{1} << (bits - 1); q > 1; q >>= 1) {
    const std::uint32_t low = q - 1;
    for (int a = 0; a < n_axes; ++a) {
      for (int i = 0; i < kBlock; ++i) {
        const std::uint32_t invert = cells[a][i] & q ? ~std::uint32_t{0} : 0;
        const std::uint32_t swap = (cells[0][i] ^ cells[a][i]) & low & ~invert;
        cells[0][i] ^= swap ^ (low & invert);
        // Axis 0 with itself: the swap is zero, only the inversion acts.
        if (a > 0) cells[a][i] ^= swap;
      }
    }
  }
  for (int a = 1; a < n_axes; ++a) {
    for (int i = 0; i < kBlock; ++i) cells[a][i] ^= cells[a - 1][i];
  }
  for (int i = 0; i < kBlock; ++i) {
    std::uint32_t t = 0;
    for (int b = bits - 1; b > 0; --b) {
      const std::uint32_t q = std::uint32_t{1} << b;
      t ^= cells[n_axes - 1][i] & q ? q - 1 : 0;
    }
    key[i] = t;
  }
  for (int a = 0; a < n_axes; ++a) {
    for (int i = 0; i < kBlock; ++i) cells[a][i] ^= key[i];
  }
  for (int i = 0; i < kBlock; ++i) key[i] = 0;
  for (int b = bits - 1; b >= 0; --b) {
    for (int a = 0; a < n_axes; ++a) {
      for (int i = 0; i < kBlock; ++i) key[i] = (key[i] << 1) | ((cells[a][i] >> b) & 1);
    }
  }
}

// Put the curve key of every item's point into its upper half; the lower half is the point's index.
template <class T>
void fill_keys(const T* points, int d, const CurveBox& box, std::uint64_t* items, std::int64_t n) {
  alignas(64) std::uint32_t cells[kMaxCurveAxes][kBlock] = {};
  alignas(64) std::uint32_t key[kBlock];
  nativekit::Paced pace(kPointsPerQuestion);
  for (std::int64_t begin = 0; begin < n; begin += kBlock) {
    const int count = static_cast<int>(std::min<std::int64_t>(kBlock, n - begin));
    pace.did(count);
    for (int a = 0; a < box.n_axes; ++a) {
      for (int i = 0; i < count; ++i) {
        const auto point = static_cast<std::int64_t>(static_cast<std::uint32_t>(items[begin + i]));
        const double value = static_cast<double>(points[point * d + box.axes[a]]);
        cells[a][i] = static_cast<std::uint32_t>(static_cast<std::int64_t>((value - box.lower[a]) * box.scale));
      }
    }
    to_hilbert(cells, box.n_axes, box.bits, key);
    for (int i = 0; i < count; ++i) {
      items[begin + i] = (static_cast<std::uint64_t>(key[i]) << 32) | static_cast<std::uint32_t>(items[begin + i]);
    }
  }
}

// Sort by key, keeping the index order of equal keys. The result is in items.
inline void radix_sort(std::uint64_t* items, std::uint64_t* other, std::int64_t n) {
  if (n < 128) {
    std::sort(items, items + n);
    return;
  }
  constexpr int kDigit = 11;
  constexpr int kPasses = 3;
  constexpr std::uint64_t kMask = (1u << kDigit) - 1;
  std::uint32_t counts[kPasses][1 << kDigit] = {};
  for (std::int64_t i = 0; i < n; ++i) {
    for (int p = 0; p < kPasses; ++p) ++counts[p][(items[i] >> (32 + p * kDigit)) & kMask];
  }
  std::uint64_t* from = items;
  for (int p = 0; p < kPasses; ++p) {
    const int shift = 32 + p * kDigit;
    // All in one bin (few bits in use, or a tight cluster): the pass would change nothing.
    if (counts[p][(from[0] >> shift) & kMask] == static_cast<std::uint32_t>(n)) continue;
    std::uint32_t total = 0;
    for (std::uint32_t& count : counts[p]) {
      const std::uint32_t here = count;
      count = total;
      total += here;
    }
    for (std::int64_t begin = 0; begin < n; begin += kPointsPerQuestion) {
      if (n > kPointsPerQuestion) nativekit::stop_if_asked();
      const std::int64_t end = std::min(n, begin + kPointsPerQuestion);
      for (std::int64_t i = begin; i < end; ++i) other[counts[p][(from[i] >> shift) & kMask]++] = from[i];
    }
    std::swap(from, other);
  }
  if (from != items) std::memcpy(items, from, static_cast<std::size_t>(n) * sizeof *items);
}

// Each round either separates the two ends of the widest axis or finds all points equal, and gains
// `bits` binary digits: the depth is bounded by the exponent range, about 200 for float64.
template <class T>
void order_range(const T* points, int d, std::uint64_t* items, std::uint64_t* other, std::int64_t n) {
  const CurveBox box = curve_box(points, d, items, n);
  if (box.scale == 0) return;
  fill_keys(points, d, box, items, n);
  radix_sort(items, other, n);
  for (std::int64_t begin = 0; begin < n;) {
    std::int64_t end = begin + 1;
    while (end < n && (items[end] >> 32) == (items[begin] >> 32)) ++end;
    if (end - begin > 2 * kLanes && end - begin < n) {
      order_range(points, d, items + begin, other + begin, end - begin);
    }
    begin = end;
  }
}

template <class T>
void curve_order(const T* points, std::int64_t n, int d, std::int32_t* order, std::uint64_t* scratch) {
  if (n == 0) return;
  for (std::int64_t i = 0; i < n; ++i) scratch[i] = static_cast<std::uint64_t>(i);
  order_range(points, d, scratch, scratch + n, n);
  for (std::int64_t i = 0; i < n; ++i) order[i] = static_cast<std::int32_t>(static_cast<std::uint32_t>(scratch[i]));
}

}  // namespace pointmetrics::NK_ISA

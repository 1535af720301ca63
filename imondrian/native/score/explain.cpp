// Contributions of features to the scores of rows under the whole forest.
#include "score/explain.hpp"

#include <atomic>
#include <optional>

#include "dispatch.hpp"
#include "nativekit/parallel.hpp"

namespace imondrian::NK_ISA {
namespace {

constexpr std::int64_t kExplainChunk = 64;      // rows a thread explains before it asks for more
constexpr std::int64_t kTableBytes = 16 << 20;  // of explainers at a time, or one

template <class T>
class ForestExplainer {
 public:
  ForestExplainer(const ForestView& forest, Score score, int n_threads)
      : forest_(forest), score_(score), n_threads_(n_threads) {}

  void explain(const T* x, std::int64_t n, double* out, double* value, double* expected) {
    const std::int64_t size = forest_.n_features * kSides;
    const std::int64_t step = std::max<std::int64_t>(1, kTableBytes / (24 * forest_.capacity + 1));
    std::fill(out, out + n * size, 0.0);
    std::fill(value, value + n, 0.0);
    *expected = 0.0;
    double present = 0.0;
    for (std::int64_t first = 0; first < forest_.n_trees; first += step) {
      const std::int64_t end = std::min(first + step, forest_.n_trees);
      find_values(first, end);
      for (std::int64_t t = first; t < end; ++t) {
        present += trees_[t - first]->empty() ? 0.0 : 1.0;
        *expected += explainers_[t - first]->expected();
      }
      for_each((n + kExplainChunk - 1) / kExplainChunk, [&](std::int64_t c) {
        const std::int64_t begin = c * kExplainChunk, count = std::min(kExplainChunk, n - begin);
        explain_chunk(x + begin * forest_.n_features, count, out + begin * size, value + begin);
      });
    }
    // Trees without points add no depth; they have no spacing.
    const double trees = score_ == Score::kSpacing ? present : static_cast<double>(forest_.n_trees);
    if (trees == 0.0) {
      *expected = std::numeric_limits<double>::quiet_NaN();
      std::fill(value, value + n, *expected);
      return;
    }
    *expected /= trees;
    for (std::int64_t i = 0; i < n; ++i) value[i] /= trees;
    for (std::int64_t i = 0; i < n * size; ++i) out[i] /= trees;
  }

 private:
  template <class Body>
  void for_each(std::int64_t n, const Body& body) {
    std::atomic<bool> no_memory{false};
    nativekit::parallel_for(n, n_threads_, [&](std::int64_t i) {
      try {
        body(i);
      } catch (const std::bad_alloc&) {
        no_memory = true;
      }
    });
    if (no_memory) throw std::bad_alloc();
  }

  void find_values(std::int64_t first, std::int64_t end) {
    explainers_.clear(), trees_.clear();
    explainers_.resize(static_cast<std::size_t>(end - first));
    trees_.resize(explainers_.size());
    for_each(end - first, [&](std::int64_t k) {
      trees_[k].emplace(forest_, first + k);
      explainers_[k].emplace(*trees_[k], score_);
    });
  }

  void explain_chunk(const T* x, std::int64_t n, double* out, double* value) const {
    const std::int64_t d = forest_.n_features;
    std::vector<T> row(static_cast<std::size_t>(forest_.width));
    typename TreeExplainer<T>::Scratch scratch;
    for (std::int64_t i = 0; i < n; ++i) {
      nativekit::stop_if_asked();
      copy_padded(row.data(), x + i * d, d, forest_.width);
      for (const auto& explainer : explainers_)
        value[i] += explainer->explain(row.data(), out + i * d * kSides, scratch);
    }
  }

  const ForestView& forest_;
  Score score_;
  int n_threads_;
  std::vector<std::optional<Tree<T>>> trees_;
  std::vector<std::optional<TreeExplainer<T>>> explainers_;
};

}  // namespace

Status explain(const ForestView& forest, bool is64, const void* x, std::int64_t n, Score score, double* out,
               double* value, double* expected, int n_threads) {
  return dispatch(is64, x, [&](auto rows) {
    using T = std::remove_const_t<std::remove_pointer_t<decltype(rows)>>;
    WithMeans with_means(forest);
    if (score == Score::kSpacing) {
      with_means.with_levels<T>();
    } else {
      with_means.make_depth();
    }
    ForestExplainer<T>(with_means.forest(), score, n_threads).explain(rows, n, out, value, expected);
    return Status::kOk;
  });
}

}  // namespace imondrian::NK_ISA

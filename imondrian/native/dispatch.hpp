// Shared by the sources of the core: rows in, allocation failures out.
#pragma once

#include <cstdint>
#include <limits>
#include <new>
#include <vector>

#include "core.hpp"
#include "nativekit/interrupt.hpp"
#include "score/spacing.hpp"
#include "score/ways.hpp"
#include "tree/levels.hpp"

namespace imondrian::NK_ISA {

template <class T>
void copy_padded(T* to, const T* from, std::int64_t n_features, std::int64_t width) {
  for (std::int64_t j = 0; j < n_features; ++j) to[j] = from[j];
  for (std::int64_t j = n_features; j < width; ++j) to[j] = std::numeric_limits<T>::quiet_NaN();
}

// Run body, with allocation failures and interrupts turned into a status.
template <class Body>
Status guarded(const Body& body) {
  try {
    return body();
  } catch (const std::bad_alloc&) {
    return Status::kNoMemory;
  } catch (const nativekit::Interrupted&) {
    return Status::kInterrupted;
  }
}

// The same as guarded(), on x in the forest's precision.
template <class Body>
Status dispatch(bool is64, const void* x, const Body& body) {
  return guarded([&] { return is64 ? body(static_cast<const double*>(x)) : body(static_cast<const float*>(x)); });
}

// Add the insertion depth of each padded row of x (n, width) to out.
template <class T>
void insertion_depths(const Tree<T>& tree, const T* x, std::int64_t n, double* out);

// Leaf depth of a row with missing values (score/depth_score.hpp).
template <class T>
double depth_with_missing(const Tree<T>& tree, const T* x);

// The same in each of several trees, or 0 where one is empty.
template <class T>
void depths_with_missing(const Abreast<T>& trees, const T* x, Lack lack, double* depth);

// Where rows of x (n, stride) with missing values end, and what they gain on the way (ways.hpp).
template <class T>
void walk_packed_ways(const PackedWays<T>& tree, const T* x, std::int64_t n, std::int64_t stride, std::int32_t* end,
                      double* gain);

// Mean log spacing of each row of x (n, n_features) over the trees.
template <class T>
Status spacings_as(const ForestView& forest, const T* x, std::int64_t n, double* out, int n_threads);

// Flag points of a forest fresh from a build, fill in its clean masses and what usual points score.
struct Samples;
template <class T>
void trim(const ForestView& forest, const Samples& samples, int n_threads);

// What a padded row without missing values, whose leaves are known, sees in a group of trees (score/spacing.hpp).
template <class T>
void look_across(TreeGroup<T>& group, const T* x, double* extent, double* away);

// Log spacing of a padded row with missing values in the tree that `sight` looks at (score/spacing.hpp).
template <class T>
double spacing_with_missing(const Tree<T>& tree, const T* x, Lack lack, const Sight<T>& sight, BoxScratch<T>& scratch);

// The same, and the depth of its leaf.
template <class T>
double look_with_missing(const Tree<T>& tree, const T* x, Lack lack, const Sight<T>& sight, BoxScratch<T>& scratch,
                         double& depth);

// Find all mean spacings of a tree without boxes at once, if they are not known (score/spacing.hpp).
template <class T>
void prepare_tree_means(const Tree<T>& tree, const Sight<T>& sight, BoxScratch<T>& scratch);

// What rows with missing values need of a forest (means.hpp), its own or made for the while.
class WithMeans {
 public:
  explicit WithMeans(const ForestView& forest) : forest_(forest) {}
  WithMeans(const WithMeans&) = delete;

  const ForestView& forest() const { return forest_; }
  void make_depth() {
    if (!forest_.mean_depth) own(depth_, forest_.mean_depth);
  }
  void make_spacing() {
    if (!forest_.mean_spacing) own(spacing_, forest_.mean_spacing);
  }
  // The forest with what spacings ask of nominal features.
  template <class T>
  const ForestView& with_levels() {
    if (forest_.n_nominal == 0 || !forest_.clean || forest_.levels) return forest_;
    const std::int64_t n = forest_.n_trees * forest_.n_nominal * level_words(forest_.capacity);
    nativekit::fill_in_runs(levels_, static_cast<std::size_t>(n), std::int64_t{0});
    forest_.levels = levels_.data();
    for (std::int64_t t = 0; t < forest_.n_trees; ++t) {
      nativekit::stop_if_asked();
      count_all_levels(Tree<T>(forest_, t));
    }
    return forest_;
  }

 private:
  void own(std::vector<double>& means, double*& place) {
    nativekit::fill_in_runs(means, static_cast<std::size_t>(forest_.n_trees * forest_.capacity),
                            std::numeric_limits<double>::quiet_NaN());
    place = means.data();
  }
  ForestView forest_;
  std::vector<double> depth_, spacing_;
  std::vector<std::int64_t> levels_;
};

}  // namespace imondrian::NK_ISA

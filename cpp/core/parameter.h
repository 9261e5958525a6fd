#pragma once

#include <string>
#include <vector>

#include "core/index.h"

namespace tagix {

/// An element of a parameter array that is known from the start: its variance is 0, so that no
/// update moves it.
struct ConstantElement {
  Index index;
  float value;
};

/// One parameter array of a layer: independent Gaussians. Before training their variances are
/// prior_std^2, and their means are drawn from N(0, prior_std^2), or known.
struct ParameterSpec {
  std::string name;          ///< as "weight"; a container prefixes its own path, as "0.weight"
  std::vector<Index> shape;  ///< as a user sees it: {out, in} or {out}
  float prior_std;           ///< 0: zeros that stay, of which no user is told
  std::vector<float> prior_mean = {};  ///< one for each element; empty: drawn
  float least_var = 0;                 ///< that updates leave
  std::vector<ConstantElement> constants = {};
  /// The axes of `shape` as they lie in memory, outermost first; empty: in their order. An affine
  /// map reads the outermost as its outputs.
  std::vector<Index> memory_axes = {};

  Index size() const {
    Index size = 1;
    for (Index extent : shape) size *= extent;
    return size;
  }
  /// The axis that is number i in memory.
  Index axis_in_memory(std::size_t i) const {
    return memory_axes.empty() ? static_cast<Index>(i) : memory_axes[i];
  }
  /// The numbers that an affine map gives by this parameter.
  Index outputs() const { return shape[static_cast<std::size_t>(axis_in_memory(0))]; }
  bool is_fixed() const { return prior_std == 0; }
};

}  // namespace tagix

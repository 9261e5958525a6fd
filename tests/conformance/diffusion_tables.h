#pragma once

#include "conformance/arrays.h"
#include "conformance/random_inputs.h"

namespace tagix::conformance {

/// Conditions of a diffusion network with arbitrary entries: features of timesteps and of classes.
struct HostConditions {
  Index n_time_features, n_classes, n_class_features;
  std::vector<float> time_features, class_features;

  HostConditions(Index n_steps, Index n_time_features, Index n_classes, Index n_class_features,
                 RandomInputs& random)
      : n_time_features(n_time_features),
        n_classes(n_classes),
        n_class_features(n_class_features),
        time_features(random.uniforms(n_steps * n_time_features, -1, 1)),
        class_features(random.uniforms((n_classes + 1) * n_class_features, -1, 1)) {}

  Index cols() const { return n_time_features + n_class_features; }

  /// The features of a timestep and of a label; the last row of the classes is that of none.
  std::vector<float> at(Index t, Index label) const {
    const auto row = [](const std::vector<float>& table, Index i, Index cols) {
      const auto first = table.begin() + static_cast<std::ptrdiff_t>(i * cols);
      return std::vector<float>(first, first + static_cast<std::ptrdiff_t>(cols));
    };
    std::vector<float> features = row(time_features, t, n_time_features);
    const std::vector<float> of_class =
        row(class_features, label < 0 ? n_classes : label, n_class_features);
    features.insert(features.end(), of_class.begin(), of_class.end());
    return features;
  }

  Conditions upload(Arrays& arrays) const {
    return {arrays.input(time_features), arrays.input(class_features), n_time_features, n_classes,
            n_class_features};
  }
};

}  // namespace tagix::conformance

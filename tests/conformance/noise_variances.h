#pragma once

#include "conformance/arrays.h"
#include "conformance/random_inputs.h"

namespace tagix::conformance {

/// How noise variances repeat over the targets.
enum class NoiseShape { one, per_output, per_row, per_target };

inline constexpr NoiseShape noise_shapes[] = {NoiseShape::one, NoiseShape::per_output,
                                              NoiseShape::per_row, NoiseShape::per_target};

inline const char* noise_name(NoiseShape shape) {
  switch (shape) {
    case NoiseShape::one:
      return "one noise";
    case NoiseShape::per_output:
      return "noise per output";
    case NoiseShape::per_row:
      return "noise per row";
    case NoiseShape::per_target:
      return "noise per target";
  }
  return "";
}

/// Noise variances for rows x cols targets.
struct NoiseVariances {
  NoiseShape shape;
  Index row_stride;
  Index col_stride;
  std::vector<float> values;

  NoiseVariances(NoiseShape shape, Index rows, Index cols, RandomInputs& random) : shape(shape) {
    const bool by_row = shape == NoiseShape::per_row || shape == NoiseShape::per_target;
    const bool by_col = shape == NoiseShape::per_output || shape == NoiseShape::per_target;
    col_stride = by_col ? 1 : 0;
    row_stride = by_row ? (by_col ? cols : 1) : 0;
    values = random.log_uniforms((by_row ? rows : 1) * (by_col ? cols : 1), 1e-4, 1);
  }

  double at(Index row, Index col) const {
    return values[static_cast<std::size_t>(row * row_stride + col * col_stride)];
  }
  BroadcastView view(Arrays& arrays) const {
    return {arrays.input(values), row_stride, col_stride};
  }
};

}  // namespace tagix::conformance

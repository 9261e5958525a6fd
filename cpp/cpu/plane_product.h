#pragma once

#include "cpu/kernels.h"

namespace tagix::cpu {

/// A weight as one plane of a product reads it; the bias may be null.
struct WeightPlane {
  WeightTerm term;
  Format format;
  WeightView weight;
  const float* bias = nullptr;
};

/// Packs a plane (depth x columns) as a product reads it: a wide one on several threads.
void pack_plane(const Kernels& kernels, const WeightPlane& plane, Index depth, Index columns,
                float* packed);

/// Products of planes of one shape: output (rows x columns) = values (rows x depth) * weight.
struct PlaneProduct {
  const Kernels& kernels;
  Index rows;
  Index depth;
  Index columns;

  void multiply(const WeightPlane& weight, const float* values, float* output) const;
};

}  // namespace tagix::cpu

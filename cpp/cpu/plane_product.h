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

/// Products of planes of one shape: output (rows x columns) = values (rows x depth) * weight.
struct PlaneProduct {
  const Kernels& kernels;
  Index rows;
  Index depth;
  Index columns;

  void multiply(const WeightPlane& weight, const float* values, float* output) const;
};

}  // namespace tagix::cpu

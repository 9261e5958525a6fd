#pragma once

#include "core/moments.h"
#include "cpu/moments_product.h"

namespace tagix::cpu {

/// The products of rows with the weight (out x in) of an affine map: a batch on its way forward and
/// backward. The weight is packed anew for each.
class AffineProducts {
 public:
  AffineProducts(const Kernels& kernels, Formats formats)
      : kernels_(kernels), formats_(formats), product_(kernels, formats) {}

  /// Backend::affine_forward, without an epilogue.
  void forward(ConstMomentsView input, ConstMomentsView weight, ConstMomentsView bias,
               MomentsView output) const;

  /// Backend::affine_means.
  void means(ConstMomentsView input, ConstMomentsView weight, ConstMomentsView bias,
             float* output) const;

  /// Backend::affine_backward, down to the activation below.
  void backward(ConstMomentsView delta, ConstMomentsView weight, MomentsView delta_input) const;

 private:
  void multiply(ProductKind kind, ConstMomentsView input, const WeightView& weight,
                ConstMomentsView bias, MomentsView output) const;

  ProductFactors packed_factors(ProductKind kind, const float* mean, const float* var, Index rows,
                                Index depth) const;

  const Kernels& kernels_;
  Formats formats_;
  MomentsProduct product_;
};

}  // namespace tagix::cpu

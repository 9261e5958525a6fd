#pragma once

#include "core/affine_pass.h"
#include "core/image_products.h"
#include "cpu/moments_product.h"

namespace tagix::cpu {

/// Affine maps of windows of images in float32, without copies of the windows. A band of an image
/// lies in memory with its padding; then the window of a result is a run of neighbours in each of
/// its rows, and that of the next result begins `stride` positions later: the rows of a product
/// overlap.
class ImageAffine final : public ImageProducts {
 public:
  ImageAffine(const Kernels& kernels, Formats formats)
      : kernels_(kernels), formats_(formats), product_(kernels, formats) {}

  bool gives(Index channels) const override;
  void forward(ConstMomentsView input, const ImageWindows& windows, ConstMomentsView weight,
               ConstMomentsView bias, MomentsView output) const override;
  void means(ConstMomentsView input, const ImageWindows& windows, ConstMomentsView weight,
             ConstMomentsView bias, float* output) const override;
  void backward(ConstMomentsView delta, const ImageWindows& windows, ConstMomentsView weight,
                MomentsView below) const override;

  /// Backend::affine_innovations of a map of windows.
  void sum_innovations(const AffinePass& pass, MomentsView innovation) const;

 private:
  /// Adds what the weight (outputs x depth) and the bias (1 x outputs, or empty) learn.
  void add_innovations(ConstMomentsView input, const ImageWindows& windows, ConstMomentsView delta,
                       MomentsView weight, MomentsView bias) const;
  void multiply(ProductKind kind, ConstMomentsView input, const ImageWindows& windows,
                const WeightView& weight, ConstMomentsView bias, MomentsView output) const;
  void add_images(ConstMomentsView input, const ImageWindows& windows, ConstMomentsView delta,
                  Index first, Index images, MomentsView weight, MomentsView bias) const;

  const Kernels& kernels_;
  Formats formats_;
  MomentsProduct product_;
};

}  // namespace tagix::cpu

#pragma once

#include "core/image_windows.h"
#include "core/moments.h"

namespace tagix {

/// Affine maps of windows of images, where a device has faster ones than those of gathered rows. A
/// map that gives channels which it has may stand in an AffinePass as well.
class ImageProducts {
 public:
  virtual ~ImageProducts() = default;

  /// Whether it has products that give so many channels.
  virtual bool gives(Index channels) const = 0;

  /// Backend::affine_forward and affine_means of windows of images: input (batch x positions,
  /// channels), weight (outputs x depth), output (batch x results, outputs).
  virtual void forward(ConstMomentsView input, const ImageWindows& windows, ConstMomentsView weight,
                       ConstMomentsView bias, MomentsView output) const = 0;
  virtual void means(ConstMomentsView input, const ImageWindows& windows, ConstMomentsView weight,
                     ConstMomentsView bias, float* output) const = 0;

  /// Backend::affine_backward of windows of innovations, without a Jacobian: weight (depth x
  /// channels below).
  virtual void backward(ConstMomentsView delta, const ImageWindows& windows,
                        ConstMomentsView weight, MomentsView below) const = 0;
};

}  // namespace tagix

#pragma once

#include "core/index.h"

namespace tagix {

/// Windows over images of channels-last rows, along whose rows they have no gaps.
struct ImageWindows {
  Index height;  ///< of the image that is read
  Index width;
  Index channels;
  Index out_height;  ///< of the result
  Index out_width;
  Index kernel_y;
  Index kernel_x;
  Index stride_y;
  Index stride_x;
  Index top;  ///< padding before the first row and column
  Index left;
  Index dilation_y;

  Index positions() const { return height * width; }
  Index results() const { return out_height * out_width; }
  /// The numbers in a row of a window, and in all of it.
  Index row_size() const { return kernel_x * channels; }
  Index depth() const { return kernel_y * row_size(); }
};

}  // namespace tagix

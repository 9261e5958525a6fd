#pragma once

#include "core/moments.h"
#include "math/target.h"

// Element (row, col) of the operations on columns of wider matrices (core/backend.h), for the loop
// of each device.

namespace tagix::ops {

struct CopyColumns {
  ConstColumnsView values;
  ColumnsView target;

  TAGIX_HD void operator()(Index row, Index col) const {
    const Index from = row * values.stride + col, to = row * target.stride + col;
    target.mean[to] = values.mean[from];
    if (target.var != nullptr) target.var[to] = values.var == nullptr ? 0.0f : values.var[from];
  }
};

struct AddColumns {
  ConstColumnsView values;
  ColumnsView sum;

  TAGIX_HD void operator()(Index row, Index col) const {
    const Index from = row * values.stride + col, to = row * sum.stride + col;
    sum.mean[to] += values.mean[from];
    if (sum.var != nullptr && values.var != nullptr) sum.var[to] += values.var[from];
  }
};

struct ClearColumns {
  ColumnsView target;

  TAGIX_HD void operator()(Index row, Index col) const {
    const Index to = row * target.stride + col;
    target.mean[to] = 0;
    if (target.var != nullptr) target.var[to] = 0;
  }
};

}  // namespace tagix::ops

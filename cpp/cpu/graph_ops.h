#pragma once

#include "core/moments.h"
#include "core/slopes.h"
#include "core/taps_view.h"

// The operations of Backend that join and divide values of a graph, as loops over cpp/ops.

namespace tagix::cpu {

void copy_columns(ConstColumnsView values, ColumnsView target);
void add_columns(ConstColumnsView values, ColumnsView sum);
void clear_columns(ColumnsView target);
void mix(ConstMomentsView input, const TapsView& taps, bool add, MomentsView output);
void gather(const float* input, Index channels, const PositionsView& positions, Index first_row,
            Index rows, float* output);
void largest(ConstMomentsView input, const PositionsView& windows, MomentsView output,
             float* choice);
void largest_backward(ConstMomentsView delta, const float* choice, Index n_choices,
                      const PositionsView& readers, bool add, MomentsView below);
void product(ConstMomentsView a, ConstMomentsView b, MomentsView output);
void product_slopes(ConstMomentsView a, ConstMomentsView b, SlopesView slopes);
void scale_deltas_to(const float* jacobian, ConstMomentsView delta, bool add, MomentsView below);
void residual_activation(ConstMomentsView input, MomentsView output, float* jacobian);

}  // namespace tagix::cpu

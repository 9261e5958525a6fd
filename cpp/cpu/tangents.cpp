#include "cpu/tangents.h"

#include <algorithm>

#include "cpu/covariance.h"
#include "cpu/pieces.h"

namespace tagix::cpu {

void start_tangents(Index n_directions, MomentsView tangents) {
  const Index batch = tangents.rows / n_directions;
  std::fill_n(tangents.mean, tangents.size(), 0.0f);
  std::fill_n(tangents.var, tangents.size(), 0.0f);
  for (Index row = 0; row < tangents.rows; ++row) {
    tangents.mean[row * tangents.cols + row / batch] = 1;
  }
}

void activation_slopes(const Kernels& kernels, const math::ActivationSpec& spec,
                       ConstMomentsView input, SlopesView slopes) {
  for_element_pieces(input.size(), [&](Index first, Index count) {
    kernels.activation_slopes(spec, input.mean + first, plane_from(input.var, first), count,
                              slopes.from(first));
  });
}

void scale_tangents(const Kernels& kernels, ConstSlopesView slopes, Index size,
                    MomentsView tangents) {
  for (Index start = 0; start < tangents.size(); start += size) {
    for_element_pieces(size, [&](Index first, Index count) {
      kernels.scale_tangents(slopes.from(first), count, tangents.mean + start + first,
                             tangents.var + start + first);
    });
  }
}

void gather_jacobian(ConstMomentsView tangents, Index n_directions, Index n_outputs,
                     float* jacobian) {
  const Index batch = tangents.rows / n_directions;
  for_pieces(batch, 512, static_cast<double>(n_outputs * n_directions) * element_ns,
             [&](Index first, Index count) {
               write_jacobian(tangents.mean + first * tangents.cols, batch * tangents.cols,
                              tangents.cols, n_directions, count, n_outputs,
                              jacobian + first * n_outputs * n_directions, n_directions);
             });
}

void affine_covariance(const Kernels& kernels, ConstMomentsView input, ConstMomentsView weight,
                       const float* var, Index n_outputs, float* covariance) {
  const double cost = static_cast<double>(n_outputs * n_outputs * (1 + input.cols)) * element_ns;
  for_pieces(input.rows, 64, cost, [&](Index first, Index count) {
    write_affine_covariance(kernels, {weight.mean, n_outputs, input.cols},
                            plane_from(input.var, first * input.cols), input.cols, count,
                            var + first * weight.rows, weight.rows,
                            covariance + first * n_outputs * n_outputs);
  });
}

void scale_covariance(const float* jacobian, ConstMomentsView output, Index n_outputs,
                      float* covariance) {
  const Index cols = output.cols;
  for_pieces(output.rows, 512, static_cast<double>(n_outputs * n_outputs) * element_ns,
             [&](Index first, Index count) {
               take_through_activation(jacobian + first * cols, cols, output.var + first * cols,
                                       cols, count, n_outputs,
                                       covariance + first * n_outputs * n_outputs);
             });
}

}  // namespace tagix::cpu

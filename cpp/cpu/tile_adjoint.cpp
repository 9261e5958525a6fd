#include "cpu/tile_adjoint.h"

#include <algorithm>

#include "cpu/pieces.h"
#include "cpu/step_places.h"
#include "cpu/threads.h"

namespace tagix::cpu {

TileAdjoint::TileAdjoint(Backend& backend, const Kernels& kernels, Formats formats,
                         const TilePlan& plan)
    : kernels_(kernels), formats_(formats), plan_(plan), packed_(backend) {
  Arena packed, memory;
  const auto packed_plane = [&](Format format, Index depth, Index columns) {
    const Index cells = cell_count(format, depth);
    return packed.take(kernels.layout.padded_columns(columns) * (1 + cells));
  };
  Index widest = plan.in_stride, features = plan.in_features;
  first_from_above_ = -1;
  for (Index i = 0; i < plan.n_steps(); ++i) {
    Places places;
    if (const PlannedAffine* affine = plan.affine_at(i)) {
      const Index in = affine->shape.in_features, out = affine->shape.out_features;
      places.mean = packed_plane(formats.mean, out, in);
      places.square = packed_plane(formats.var, out, in);
      places.var = packed_plane(formats.var, out, in);
      places.noise = memory.take(TilePlan::tile_rows * affine->output_stride);
      widest = std::max(widest, affine->output_stride);
      features = out;
    } else {
      const Index stride = plan.activation_at(i).stride;
      places.slopes = memory.take(4 * TilePlan::tile_rows * stride);
      places.noise = memory.take(TilePlan::tile_rows * stride);
      first_from_above_ = i;
    }
    places.features = features;
    places_.push_back(places);
  }
  // Each affine step changes the pair of planes, from the output down.
  bool swapped = false;
  for (Index i = plan.n_steps() - 1; i >= 0; --i) {
    places_[static_cast<std::size_t>(i)].swapped = swapped;
    if (plan.affine_at(i) != nullptr) swapped = !swapped;
  }
  input_swapped_ = swapped;
  plane_size_ = TilePlan::tile_rows * widest;
  scratch_plane_ = memory.take(plane_size_);
  cells_ = memory.take(plane_size_);
  fixed_size_ = memory.size();
  packed_size_ = packed.size();
}

void TileAdjoint::start(ConstMomentsView parameters, const Linearization& wanted, bool uncertain) {
  wanted_ = wanted;
  memory_size_ = fixed_size_ + 4 * plane_size_ * wanted.n_outputs;
  const bool needs_input = wanted.n_directions > 0 || (wanted.n_covariances() > 0 && uncertain);
  lowest_ = needs_input ? 0 : plan_.first_affine + 1;
  packed_.resize(packed_size_);
  constexpr double packing = 0.7;
  parallel_for(plan_.n_steps(), packing * static_cast<double>(plan_.parameter_count), [&](Index i) {
    const PlannedAffine* affine = plan_.affine_at(i);
    if (affine == nullptr) return;
    const Index in = affine->shape.in_features, out = affine->shape.out_features;
    const AffineParameters from = affine->parameters_in(parameters);
    const Places& places = places_[static_cast<std::size_t>(i)];
    const auto pack = [&](WeightTerm term, Format format, Index place) {
      const WeightView transposed{from.weight_mean, from.weight_var, in, 1};
      kernels_.pack_weight(format, transposed.plane(term), out, in, nullptr,
                           packed_.data() + place);
    };
    if (i < lowest_) return;
    pack(WeightTerm::mean, formats_.mean, places.mean);
    if (!follows_var(i)) return;
    pack(WeightTerm::square, formats_.var, places.square);
    pack(WeightTerm::var, formats_.var, places.var);
  });
}

float* TileAdjoint::spread_of(Index i, float* memory) const {
  return wanted_.n_covariances() == 0 ? nullptr
                                      : memory + places_[static_cast<std::size_t>(i)].noise;
}

void TileAdjoint::keep_spread(Index i, const float* output_var, Index rows, float* memory) const {
  if (wanted_.n_covariances() == 0) return;
  std::copy_n(output_var, rows * plan_.affine_at(i)->output_stride, spread_of(i, memory));
}

SlopesView TileAdjoint::slopes_of(Index i, Index rows, float* memory) const {
  const Index size = rows * plan_.activation_at(i).stride;
  return SlopesView::planes(memory + places_[static_cast<std::size_t>(i)].slopes, size);
}

void TileAdjoint::keep_input(Index i, const float* mean, const float* var, Index rows,
                             float* memory) const {
  const Index size = rows * plan_.activation_at(i).stride;
  std::copy_n(mean, size, input_mean_in(slopes_of(i, rows, memory)));
  float* const kept_var = memory + places_[static_cast<std::size_t>(i)].noise;
  if (var == nullptr) {
    std::fill_n(kept_var, size, 0.0f);
  } else {
    std::copy_n(var, size, kept_var);
  }
}

float* TileAdjoint::jacobian_of(Index i, Index rows, float* memory) const {
  return slopes_of(i, rows, memory).mean_by_mean;
}

void TileAdjoint::keep_slopes(Index i, const float* output_mean, const float* output_var,
                              Index rows, float* memory) const {
  const auto& activation = plan_.activation_at(i);
  const Index size = rows * activation.stride;
  const SlopesView slopes = slopes_of(i, rows, memory);
  float* const noise = memory + places_[static_cast<std::size_t>(i)].noise;  // the input's so far
  kernels_.activation_slopes_by_moments(activation.spec(), input_mean_in(slopes), noise,
                                        output_mean, output_var, size, slopes);
  if (wanted_.n_covariances() == 0) return;
  // The slope of the mean by the mean is the Jacobian.
  kernels_.activation_excess(noise, slopes.mean_by_mean, output_var, size, noise);
}

PlanePair TileAdjoint::adjoint(Index output, Index i) const {
  const bool swapped = i >= 0 ? places_[static_cast<std::size_t>(i)].swapped : input_swapped_;
  const Index first = fixed_size_ + (4 * output + (swapped ? 2 : 0)) * plane_size_;
  return {first, first + plane_size_};
}

PlanePair TileAdjoint::next(Index output, Index i) const { return adjoint(output, i - 1); }

void TileAdjoint::begin(Index rows, float* memory, float* covariance) const {
  const Index top = plan_.n_steps() - 1, stride = plan_.out_stride;
  for (Index output = 0; output < wanted_.n_outputs; ++output) {
    const PlanePair planes = adjoint(output, top);
    std::fill_n(memory + planes.mean, rows * stride, 0.0f);
    std::fill_n(memory + planes.var, rows * stride, 0.0f);
    for (Index row = 0; row < rows; ++row) memory[planes.mean + row * stride + output] = 1;
  }
  std::fill_n(covariance, rows * wanted_.n_covariances(), 0.0f);
}

void TileAdjoint::add_spread(const float* noise, Index step, Index cols, Index stride,
                             Index noise_stride, Index rows, float* memory,
                             float* covariance) const {
  const auto add = wanted_.covariances == Covariances::variances ? kernels_.add_spread_variances
                                                                 : kernels_.add_spread;
  add({memory + adjoint(0, step).mean, 4 * plane_size_, stride, wanted_.n_outputs, noise,
       noise_stride, cols, rows},
      covariance);
}

void TileAdjoint::add_noise(Index i, Index rows, float* memory, float* covariance) const {
  if (wanted_.n_covariances() == 0) return;
  const PlannedAffine* affine = plan_.affine_at(i);
  const Index stride = affine != nullptr ? affine->output_stride : plan_.activation_at(i).stride;
  const Places& places = places_[static_cast<std::size_t>(i)];
  add_spread(memory + places.noise, i, places.features, stride, stride, rows, memory, covariance);
}

void TileAdjoint::pass_activation(Index i, Index rows, float* memory) const {
  const Index size = rows * plan_.activation_at(i).stride;
  const ConstSlopesView slopes = slopes_of(i, rows, memory);
  for (Index output = 0; output < wanted_.n_outputs; ++output) {
    const PlanePair planes = adjoint(output, i);
    kernels_.scale_adjoint(slopes, size, memory + planes.mean, memory + planes.var, /*add=*/false,
                           memory + planes.mean, memory + planes.var);
  }
}

void TileAdjoint::pass_affine(Index i, const float* input_mean, Index rows, float* memory) const {
  const PlannedAffine& affine = *plan_.affine_at(i);
  const Places& places = places_[static_cast<std::size_t>(i)];
  const Index in = affine.shape.in_features, out = affine.shape.out_features;
  const Index below_size = rows * affine.input_stride;
  for (Index output = 0; output < wanted_.n_outputs; ++output) {
    const PlanePair from = adjoint(output, i), to = next(output, i);
    const auto product = [&](Format format, Index packed, Index values, float* target) {
      multiply(format, packed_.data() + packed, memory + values, affine.output_stride, rows, out,
               in, target, affine.input_stride, memory);
    };
    product(formats_.mean, places.mean, from.mean, memory + to.mean);
    if (!follows_var(i)) {
      std::fill_n(memory + to.var, below_size, 0.0f);
      continue;
    }
    float* const by_var = memory + scratch_plane_;
    product(formats_.var, places.square, from.var, memory + to.var);
    product(formats_.var, places.var, from.var, by_var);
    kernels_.join_adjoint(input_mean, by_var, below_size, memory + to.mean, memory + to.var);
  }
}

void TileAdjoint::end(const float* input_var, Index rows, float* memory, float* jacobian,
                      float* covariance) const {
  const Index n = wanted_.n_outputs, stride = plan_.in_stride;
  for (Index output = 0; output < n && wanted_.n_directions > 0; ++output) {
    const float* const by_input = memory + adjoint(output, -1).mean;
    for (Index row = 0; row < rows; ++row) {
      std::copy_n(by_input + row * stride, wanted_.n_directions,
                  jacobian + (row * n + output) * wanted_.n_directions);
    }
  }
  if (wanted_.n_covariances() == 0 || input_var == nullptr) return;
  add_spread(input_var, -1, plan_.in_features, stride, plan_.in_features, rows, memory, covariance);
}

void TileAdjoint::multiply(Format format, const float* packed, const float* values, Index stride,
                           Index rows, Index depth, Index columns, float* output,
                           Index output_stride, float* memory) const {
  const float* factors = values;
  Index factor_stride = stride;
  if (format == Format::bfloat16) {
    float* const cells = memory + cells_;
    factor_stride = stride / 2;
    kernels_.pack_factors(format, /*squared=*/false, values, stride, rows, depth,
                          {cells, factor_stride}, {});
    factors = cells;
  }
  kernels_.product_rows(format, {factors, packed}, {}, factor_stride, rows, depth, columns,
                        /*with_bias=*/false, {output, output_stride, /*padded=*/true});
}

}  // namespace tagix::cpu

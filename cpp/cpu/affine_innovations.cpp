#include "cpu/affine_innovations.h"

#include <algorithm>

#include "cpu/elementwise.h"
#include "cpu/pieces.h"
#include "cpu/scratch.h"

namespace tagix::cpu {
namespace {

struct InputCells {};
struct DeltaCells {};
struct PartialSums {};
struct AddedSums {};

constexpr Index innovation_outputs = 96;  // whose innovations are added up at a time

/// A rough cost of the sums of a weight, which decides whether other threads are woken.
double cost_of(ConstMomentsView input, ConstMomentsView delta) {
  return 2.0 * static_cast<double>(delta.cols * input.cols * input.rows) * multiply_add_ns;
}

}  // namespace

void AffineInnovations::Sums::clear(Index weight_size, Index bias_size) const {
  for_element_pieces(weight_size, [&](Index first, Index count) {
    std::fill_n(weight_mean + first, count, 0.0f);
    std::fill_n(weight_var + first, count, 0.0f);
  });
  std::fill_n(bias_mean, bias_size, 0.0f);
  std::fill_n(bias_var, bias_size, 0.0f);
}

void AffineInnovations::Sums::add(const Sums& other, Index weight_size, Index bias_size) const {
  for (Index i = 0; i < weight_size; ++i) weight_mean[i] += other.weight_mean[i];
  for (Index i = 0; i < weight_size; ++i) weight_var[i] += other.weight_var[i];
  for (Index i = 0; i < bias_size; ++i) bias_mean[i] += other.bias_mean[i];
  for (Index i = 0; i < bias_size; ++i) bias_var[i] += other.bias_var[i];
}

void AffineInnovations::sum(std::span<const AffinePass> passes, MomentsView innovation) const {
  for (const AffinePass& pass : passes) {
    const Index in = pass.input.cols, out = pass.delta.cols;
    const MomentsView weight = innovation.slice(pass.weight, out, in);
    const MomentsView bias = pass.bias ? innovation.slice(*pass.bias, 1, out) : MomentsView{};
    if (!pass.add) {
      sum_pass(pass.input, pass.delta, weight, bias);
      continue;
    }
    const Index size = weight.size() + bias.size();
    float* const sums = scratch<AddedSums>(2 * size);
    const MomentsView all{sums, sums + size, 1, size};
    const MomentsView bias_sums = pass.bias ? all.slice(weight.size(), 1, out) : MomentsView{};
    sum_pass(pass.input, pass.delta, all.slice(0, out, in), bias_sums);
    add(kernels_, all.slice(0, out, in), weight);
    if (pass.bias) add(kernels_, bias_sums, bias);
  }
}

/// The innovations of one affine map, written to `weight` (out x in) and `bias` (1 x out, or
/// empty).
void AffineInnovations::sum_pass(ConstMomentsView input, ConstMomentsView delta, MomentsView weight,
                                 MomentsView bias) const {
  const Sums total{weight.mean, weight.var, bias.mean, bias.var};
  total.clear(weight.size(), bias.size());
  constexpr Index wide = 128 * 128;
  if (weight.size() >= wide) {
    sum_by_outputs(input, delta, total);
  } else {
    sum_by_samples(input, delta, bias.size(), total);
  }
}

/// Threads share the inputs of a block of samples, and each owns some rows of the weight.
void AffineInnovations::sum_by_outputs(ConstMomentsView input, ConstMomentsView delta,
                                       const Sums& total) const {
  const Index out = delta.cols, batch = input.rows;
  for_each_input_block(input, 0, batch, [&](const InputBlock& block) {
    pack_input_block(input, block);
    const double share = cost_of(input, delta) *
                         static_cast<double>(block.samples * block.columns) /
                         static_cast<double>(batch * input.cols);
    for_pieces(out, innovation_outputs, share / static_cast<double>(out),
               [&](Index first, Index count) {
                 add_weight(input.cols, block, delta, first, count, total);
               });
  });
}

/// Each piece sums over some samples; the partial sums are added in the order of the samples.
void AffineInnovations::sum_by_samples(ConstMomentsView input, ConstMomentsView delta,
                                       Index bias_size, const Sums& total) const {
  const Index batch = input.rows, weight_size = delta.cols * input.cols;
  const Index piece = std::max<Index>(256, ceil_div(batch, 64));
  const Index n_pieces = ceil_div(batch, piece);
  if (n_pieces == 1) {
    add_samples(input, delta, 0, batch, total);
    return;
  }
  const Index stride = 2 * (weight_size + bias_size);
  float* partial = scratch<PartialSums>(stride * n_pieces);
  const auto sums_of = [&](Index i) {
    float* first = partial + i * stride;
    float* bias_first = bias_size == 0 ? nullptr : first + 2 * weight_size;
    return Sums{first, first + weight_size, bias_first,
                bias_size == 0 ? nullptr : bias_first + bias_size};
  };
  for_pieces(batch, piece, cost_of(input, delta) / static_cast<double>(batch),
             [&](Index first, Index count) {
               const Sums sums = sums_of(first / piece);
               sums.clear(weight_size, bias_size);
               add_samples(input, delta, first, count, sums);
             });
  for (Index i = 0; i < n_pieces; ++i) total.add(sums_of(i), weight_size, bias_size);
}

/// Adds the innovations that some samples give.
void AffineInnovations::add_samples(ConstMomentsView input, ConstMomentsView delta,
                                    Index first_sample, Index samples, const Sums& sums) const {
  const Index out = delta.cols;
  for_each_input_block(input, first_sample, samples, [&](const InputBlock& block) {
    pack_input_block(input, block);
    for (Index output = 0; output < out; output += innovation_outputs) {
      add_weight(input.cols, block, delta, output, std::min(innovation_outputs, out - output),
                 sums);
    }
  });
}

/// Calls body(block) for the samples from `first_sample` on and all columns, in blocks that stay
/// in the second-level cache. Their cells are not filled.
template <class Body>
void AffineInnovations::for_each_input_block(ConstMomentsView input, Index first_sample,
                                             Index samples, Body&& body) const {
  constexpr Index most_samples = 256, most_columns = 512;
  const Index padded = kernels_.layout.padded_columns(std::min(most_columns, input.cols));
  const Index stride = spread_stride(padded);
  float* cells = scratch<InputCells>(2 * most_samples * stride);
  for (Index column = 0; column < input.cols; column += most_columns) {
    for (Index sample = 0; sample < samples; sample += most_samples) {
      body(InputBlock{first_sample + sample, std::min(most_samples, samples - sample), column,
                      std::min(most_columns, input.cols - column), cells,
                      cells + most_samples * stride, stride});
    }
  }
}

/// Fills the cells of a block.
void AffineInnovations::pack_input_block(ConstMomentsView input, const InputBlock& block) const {
  constexpr Index piece = 64;  // an even number: two samples may share a cell
  for_pieces(block.samples, piece, static_cast<double>(block.columns) * element_ns,
             [&](Index first, Index count) {
               const float* values =
                   input.mean + (block.first_sample + first) * input.cols + block.first_column;
               const auto pack = [&](Format format, bool squared, float* cells) {
                 kernels_.pack_factors(
                     format, squared, values, input.cols, count, block.columns, {},
                     {cells + cell_count(format, first) * block.stride, block.stride});
               };
               pack(formats_.mean, false, block.mean);
               pack(formats_.var, true, block.square);
             });
}

/// Adds the innovations of a block of inputs to `outputs` rows of the weight (out x in), and those
/// of the bias while the first inputs have the innovations of the outputs in cache.
void AffineInnovations::add_weight(Index in, const InputBlock& block, ConstMomentsView delta,
                                   Index first_output, Index outputs, const Sums& sums) const {
  constexpr Index stride = innovation_outputs + 16;
  const bool adds_bias = sums.bias_mean != nullptr && block.first_column == 0;
  const auto add = [&](Format format, const float* plane, const float* inputs, float* sum,
                       float* bias_sum) {
    const float* const own = plane + block.first_sample * delta.cols + first_output;
    float* cells = scratch<DeltaCells>(cell_count(format, block.samples) * stride);
    kernels_.pack_factors(format, false, own, delta.cols, block.samples, outputs, {},
                          {cells, stride});
    if (adds_bias) {
      kernels_.add_column_sums(own, delta.cols, block.samples, outputs, bias_sum + first_output);
    }
    kernels_.outer_product(format, {cells, outputs, stride}, {inputs, block.columns, block.stride},
                           block.samples, /*add=*/true,
                           sum + first_output * in + block.first_column, in);
  };
  add(formats_.mean, delta.mean, block.mean, sums.weight_mean, sums.bias_mean);
  add(formats_.var, delta.var, block.square, sums.weight_var, sums.bias_var);
}

}  // namespace tagix::cpu

#pragma once

#include <span>

#include "core/affine_pass.h"
#include "core/moments.h"
#include "cpu/moments_product.h"

namespace tagix::cpu {

/// The innovations of the parameters of affine maps, summed over a batch: for the weight (out x in)
/// sum_b delta_b a_b of means and sum_b delta_b a_b^2 of variances, for the bias (out) sum_b
/// delta_b.
class AffineInnovations {
 public:
  AffineInnovations(const Kernels& kernels, Formats formats)
      : kernels_(kernels), formats_(formats) {}

  /// Backend::affine_innovations.
  void sum(std::span<const AffinePass> passes, MomentsView innovation) const;

 private:
  /// Sums over samples: out x in for the weight, out for the bias (or null).
  struct Sums {
    float* weight_mean;
    float* weight_var;
    float* bias_mean;
    float* bias_var;

    void clear(Index weight_size, Index bias_size) const;
    void add(const Sums& other, Index weight_size, Index bias_size) const;
  };

  /// The means and squares of some inputs in the cells of an outer product.
  struct InputBlock {
    Index first_sample;
    Index samples;
    Index first_column;
    Index columns;
    float* mean;
    float* square;
    Index stride;
  };

  void sum_pass(ConstMomentsView input, ConstMomentsView delta, MomentsView weight,
                MomentsView bias) const;
  void sum_by_outputs(ConstMomentsView input, ConstMomentsView delta, const Sums& total) const;
  void sum_by_samples(ConstMomentsView input, ConstMomentsView delta, Index bias_size,
                      const Sums& total) const;
  void add_samples(ConstMomentsView input, ConstMomentsView delta, Index first_sample,
                   Index samples, const Sums& sums) const;
  template <class Body>
  void for_each_input_block(ConstMomentsView input, Index first_sample, Index samples,
                            Body&& body) const;
  void pack_input_block(ConstMomentsView input, const InputBlock& block) const;
  void add_weight(Index in, const InputBlock& block, ConstMomentsView delta, Index first_output,
                  Index outputs, const Sums& sums) const;

  const Kernels& kernels_;
  Formats formats_;
};

}  // namespace tagix::cpu

#pragma once

#include <cstdint>
#include <vector>

#include "core/memory.h"
#include "models/batch_source.h"
#include "models/diffusion_process.h"
#include "models/shared_noise.h"

namespace tagix {

/// Training batches of denoising, drawn afresh each epoch.
class DiffusionSource final : public BatchSource {
 public:
  /// Standardizes and uploads rows of data (rows x n_features).
  DiffusionSource(Backend& backend, const DiffusionProcess& process, std::uint64_t seed,
                  HostPointer<const float> data, Index rows);

  /// Labels the rows: `labels` has a class for each, or a number below 0 where it is unknown. A row
  /// is trained on without its label with probability p_uncond, in [0, 1].
  void set_labels(HostPointer<const Index> labels, double p_uncond);

  /// Noise variances of the targets from the next batch on: 1 or n_features values.
  void set_noise_var(const std::vector<float>& noise_var) {
    noise_.set_var(noise_var, process_.n_features());
  }
  /// The noise is what the network's head infers.
  void set_noise_head(math::NoiseHead head) { noise_.set_heads(head, {}); }

  Index n_rows() const override { return rows_; }
  Index in_features() const override { return process_.network_inputs(); }
  Index out_features() const override { return process_.n_features(); }
  Batch load(RowSelection rows, Index n_rows) override;

 private:
  Backend& backend_;
  const DiffusionProcess& process_;
  std::uint64_t seed_;
  Index rows_;
  Buffer<float> clean_;
  Buffer<Index> labels_;
  std::uint64_t dropped_below_ = 0;
  SharedNoise noise_;
  Buffer<float> input_;
  Buffer<float> target_;
};

}  // namespace tagix

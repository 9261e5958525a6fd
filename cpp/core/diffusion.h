#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/memory.h"
#include "core/model.h"
#include "core/training.h"

namespace tagix {

/// A diffusion over rows of `n_features` values: at T timesteps the makings of a training row, and
/// what the network sees of a timestep and of a class. It maps [x_t, time features, class features]
/// to the target in `levels`.
struct DiffusionDescription {
  Index n_features = 0;
  std::vector<math::NoiseLevel> levels;  ///< of t = 0 .. T - 1; 0 is clean data, and not trained on
  std::vector<float> time_features;      ///< T x n_time_features
  std::vector<float> class_features = {};  ///< (n_classes + 1) x n_class_features; last: no class
  Index n_classes = 0;
};

/// What a sampler does, whatever the network: its stages, and the time features of each (a sampler
/// may go through levels of noise between the timesteps of training).
struct SamplerPlan {
  std::vector<math::SamplerStage> stages;
  std::vector<float> time_features;  ///< stages x n_time_features
  std::vector<bool> ends_step;       ///< by stage, whether it ends a step of the trajectory
  double last_noise_var = 0;         ///< (1 - abar) / abar at the last stage, for scores

  Index n_steps() const;
};

/// A prediction for labelled rows that is combined from two: conditional F_c + unconditional F_u,
/// where the weights sum to 1 (Ho & Salimans, "Classifier-free diffusion guidance", 2022). Both
/// come from the same weights of the network, but their variances are added as if they did not.
struct Guidance {
  float conditional = 1;
  float unconditional = 0;

  bool exists() const { return unconditional != 0; }
};

/// What to sample.
struct SampleRequest {
  Index rows;
  std::uint64_t seed;
  HostPointer<const Index> labels =
      nullptr;  ///< the class of each row, below 0: none; null: none at all
  Guidance guidance = {};
};

/// Where DiffusionProcess::sample writes how sure it is of each sample, in the units of the data.
struct SampleUncertainty {
  HostPointer<float>
      epistemic;  ///< rows x n_features x n_features: covariance by the network's uncertainty
  HostPointer<float>
      aleatoric;  ///< the same shape: covariance of x_0 given the last x_t, what data leave open
  HostPointer<float> score;  ///< rows; the larger, the less certain, without a unit
};

/// Where DiffusionProcess::sample writes samples, in the units of the data.
struct SampleOutput {
  HostPointer<float> x;    ///< rows x n_features
  HostPointer<float> var;  ///< the same: what the network's variance adds in the last stage
  HostPointer<float> trajectory =
      nullptr;  ///< (plan.n_steps() + 1) x rows x n_features, from the start; or null
  SampleUncertainty* uncertainty = nullptr;  ///< or null
};

/// A diffusion process, and what it takes to train a network on it and to sample with one.
///
/// Rows of data are (x - shift) / scale inside; x_t and targets are in these units, samples in the
/// units of the data.
class DiffusionProcess {
 public:
  /// Throws std::invalid_argument unless there are at least 1 feature and 2 timesteps, and tables
  /// of fitting sizes.
  DiffusionProcess(std::shared_ptr<Backend> backend, const DiffusionDescription& description);

  Index n_features() const { return n_features_; }
  Index n_steps() const { return tables_.n_steps; }
  Index n_classes() const { return tables_.conditions.n_classes; }
  Index network_inputs() const { return n_features_ + tables_.conditions.cols(); }
  const std::vector<float>& shift() const { return shift_; }
  const std::vector<float>& scale() const { return scale_; }
  const DiffusionTables& tables() const { return tables_; }

  /// Sets shift and scale, n_features values each; scales must be above 0.
  void set_standardization(std::vector<float> shift, std::vector<float> scale);
  /// Sets them to the mean and the standard deviation of each column of rows; a constant
  /// column keeps scale 1.
  void standardize_by(HostPointer<const float> data, Index rows);

  /// Throws std::invalid_argument unless the network takes network_inputs() and gives n_features.
  void check_network(const Model& network) const;

  /// Throws std::invalid_argument unless labels are below n_classes; those below 0 are unknown.
  void check_labels(HostPointer<const Index> labels, Index rows) const;

  /// Draws samples by the stages of a plan and writes them to the host. `interrupted` is asked
  /// before each stage, or before some milliseconds of stages where no trajectory is wanted; true
  /// abandons the call and returns false. With a trajectory or uncertainty, x and var are the same
  /// bits.
  ///
  /// The covariances are those of math/diffusion.h, and only for plans without a carry. The score
  /// is the share of the noise in the last x_t that its denoising leaves open, tr(aleatoric) /
  /// (n_features last_noise_var) in standardized units: 0 where the data hold x in every direction,
  /// 1 where in none, and more between parts of the data, which pull either way.
  bool sample(const Model& network, const SamplerPlan& plan, const SampleRequest& request,
              const SampleOutput& output, const std::function<bool()>& interrupted) const;

  /// The covariance (rows x n_features x n_features, divisor n_draws - 1) of the samples that
  /// `n_draws` >= 2 networks drawn from the posterior (Model::draw) make of the same noise, written
  /// to the host in the units of the data. Returns false if it was interrupted, as `sample` is.
  bool sample_draws(const Model& network, const SamplerPlan& plan, const SampleRequest& request,
                    Index n_draws, HostPointer<float> covariance,
                    const std::function<bool()>& interrupted) const;

 private:
  void check_plan(const SamplerPlan& plan, bool with_uncertainty) const;
  /// The scores of `rows` samples from their covariances in standardized units.
  void write_scores(Index rows, double last_noise_var, HostPointer<const float> aleatoric,
                    HostPointer<float> score) const;
  /// Takes covariances from standardized units to those of the data.
  void to_data_units(Index rows, HostPointer<float> covariance) const;

  std::shared_ptr<Backend> backend_;
  Index n_features_;
  Buffer<math::NoiseLevel> levels_;
  Buffer<float> time_features_;
  Buffer<float> class_features_;
  DiffusionTables tables_;
  std::vector<float> shift_;
  std::vector<float> scale_;
};

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

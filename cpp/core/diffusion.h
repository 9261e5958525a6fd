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

/// How much of the signal is left at each timestep, abar_t for t = 0 .. n_steps - 1; abar_0 = 1 is
/// clean data.
///   cosine  abar_t = f(t) / f(0), f(t) = cos^2(((t/T + s) / (1 + s)) pi/2), s = 0.008
///           (Nichol & Dhariwal, ICML 2021)
///   linear  abar_t = prod (1 - beta_i), beta_i evenly spaced from 0.1/T to 20/T over i = 1 .. T -
///   1
///           (Ho et al., NeurIPS 2020, whose 1e-4 and 0.02 are for T = 1000)
/// Every beta is at most 0.999.
enum class NoiseSchedule { cosine, linear };

/// What the network sees of the timestep t, out of T:
///   cosine      cos(k pi t/T) for k = 1 .. 4, and t/T - 1/2
///   scalar      t/T
///   sinusoidal  sin(t w_i), cos(t w_i), w_i = 10000^(-i/7) for i = 0 .. 7 (Vaswani et al., 2017)
enum class TimeFeatures { cosine, scalar, sinusoidal };

/// abar_t in float64.
std::vector<double> signal_shares(NoiseSchedule schedule, Index n_steps);

/// n_steps x n features, row-major; returns n in `n_features`.
std::vector<float> time_feature_table(TimeFeatures features, Index n_steps, Index& n_features);

/// Where DiffusionProcess::sample writes how sure it is of each sample: host arrays in the units of
/// the data.
struct SampleUncertainty {
  float* epistemic;  ///< rows x n_features x n_features: covariance by the network's uncertainty
  float* aleatoric;  ///< the same shape: covariance of x_0 given the last x_t, what data leave open
  float* score;      ///< rows; the larger, the less certain, without a unit
};

/// A diffusion process over rows of `n_features` values, and what it takes to train a network on
/// it and to sample with one. The network maps [x_t, time features of t] to the noise in x_t.
///
/// Rows of data are (x - shift) / scale inside; x_t and the noise are in these units, samples in
/// the units of the data.
class DiffusionProcess {
 public:
  /// Throws std::invalid_argument unless n_features >= 1 and n_steps >= 2.
  DiffusionProcess(std::shared_ptr<Backend> backend, Index n_features, Index n_steps,
                   NoiseSchedule schedule, TimeFeatures time_features);

  Index n_features() const { return n_features_; }
  Index n_steps() const { return static_cast<Index>(signal_shares_.size()); }
  Index network_inputs() const { return n_features_ + tables_.n_time_features; }
  const std::vector<double>& signal_shares() const { return signal_shares_; }
  const std::vector<float>& shift() const { return shift_; }
  const std::vector<float>& scale() const { return scale_; }
  const DiffusionTables& tables() const { return tables_; }

  /// Sets shift and scale, n_features values each; scales must be above 0.
  void set_standardization(std::vector<float> shift, std::vector<float> scale);
  /// Sets them to the mean and the standard deviation of each column of host rows; a constant
  /// column keeps scale 1.
  void standardize_by(const float* data, Index rows);

  /// Throws std::invalid_argument unless the network takes network_inputs() and gives n_features.
  void check_network(const Model& network) const;

  /// The prediction of the noise in host rows x_t (rows x n_features) at timesteps t, each in
  /// [0, n_steps), written to host arrays; of a network with a noise head, the variances of what it
  /// leaves open, too.
  void predict(const Model& network, const float* noisy, const Index* timesteps, Index rows,
               const PredictionArrays& output) const;

  /// Draws `rows` samples with the DDPM sampler (variance beta_t, no noise at the last step) and
  /// writes them to the host: x (rows x n_features), the variance that the network's uncertainty
  /// adds in the last step (same shape), and, unless null, the chain (n_steps x rows x n_features)
  /// from the starting noise to the samples. `interrupted` is asked before each step, or before
  /// some milliseconds of steps where the chain is not wanted; true abandons the call and returns
  /// false. With `uncertainty`, x, var and the chain are the same bits.
  ///
  /// The covariances are those of math/diffusion.h. The score is the share of the noise in the last
  /// x_t that its denoising leaves open, tr(aleatoric) / (n_features (1 - abar_1) / abar_1) in
  /// standardized units: 0 where the data hold x in every direction, 1 where in none, and more
  /// between parts of the data, which pull either way.
  bool sample(const Model& network, Index rows, std::uint64_t seed, float* x, float* var,
              float* trajectory, const std::function<bool()>& interrupted,
              const SampleUncertainty* uncertainty = nullptr) const;

  /// The covariance (rows x n_features x n_features, divisor n_draws - 1) of the samples that
  /// `n_draws` >= 2 networks drawn from the posterior (Model::draw) make of the same noise, written
  /// to the host in the units of the data. Returns false if it was interrupted, as `sample` is.
  bool sample_draws(const Model& network, Index rows, std::uint64_t seed, Index n_draws,
                    float* covariance, const std::function<bool()>& interrupted) const;

 private:
  /// The scores of `rows` samples from their covariances in standardized units, all on the host.
  void write_scores(Index rows, const float* aleatoric, float* score) const;
  /// Takes covariances on the host from standardized units to those of the data.
  void to_data_units(Index rows, float* covariance) const;

  std::shared_ptr<Backend> backend_;
  Index n_features_;
  std::vector<double> signal_shares_;
  Buffer<float> signal_scale_;
  Buffer<float> noise_scale_;
  Buffer<float> time_features_;
  Buffer<math::ReverseStep> reverse_steps_;
  DiffusionTables tables_;
  std::vector<float> shift_;
  std::vector<float> scale_;
};

/// Training batches of noise prediction, drawn afresh each epoch.
class DiffusionSource final : public BatchSource {
 public:
  /// Standardizes and uploads host rows of data (rows x n_features).
  DiffusionSource(Backend& backend, const DiffusionProcess& process, std::uint64_t seed,
                  const float* data, Index rows);

  /// Noise variances of the observed noise from the next batch on: 1 or n_features values.
  void set_noise_var(const std::vector<float>& noise_var) {
    noise_.set_var(noise_var, process_.n_features());
  }
  /// The noise is what the network's head infers.
  void set_noise_head(math::NoiseHead head) { noise_.set_head(head); }

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
  SharedNoise noise_;
  Buffer<float> input_;
  Buffer<float> target_;
};

}  // namespace tagix

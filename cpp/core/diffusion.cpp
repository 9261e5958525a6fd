#include "core/diffusion.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numbers>
#include <utility>

#include "core/burst.h"
#include "core/require.h"

namespace tagix {
namespace {

constexpr double max_beta = 0.999;

/// Rows that pass through the network at a time: it bounds the memory of a call, and no row's
/// numbers depend on the chunk it falls into.
constexpr Index max_chunk = 16384;

/// Floats of the matrices of as many rows, where a call asks for matrices; at least
/// `min_matrix_rows` rows pass at a time.
constexpr Index max_matrix_floats = 1 << 24;
constexpr Index min_matrix_rows = 64;

/// Rows that pass together.
struct Chunk {
  Index first;
  Index count;
};

/// All rows in chunks of at most max_chunk, and those cut evenly into chunks of at most `most`.
std::vector<Chunk> chunks_of(Index rows, Index most) {
  std::vector<Chunk> chunks;
  for (Index first = 0; first < rows; first += max_chunk) {
    const Index count = std::min(max_chunk, rows - first);
    const Index pieces = (count + most - 1) / most;
    for (Index i = 0; i < pieces; ++i) {
      const Index begin = count * i / pieces;
      chunks.push_back({first + begin, count * (i + 1) / pieces - begin});
    }
  }
  return chunks;
}

/// beta_t for t = 1 .. n_steps - 1 before the bound; beta_0 is 0.
double scheduled_beta(NoiseSchedule schedule, Index t, Index n_steps) {
  const double total = static_cast<double>(n_steps);
  if (schedule == NoiseSchedule::linear) {
    const double first = 0.1 / total, last = 20.0 / total;
    if (n_steps == 2) return last;
    return first + (last - first) * static_cast<double>(t - 1) / (total - 2);
  }
  constexpr double s = 0.008;
  const auto f = [&](Index step) {
    const double angle = (static_cast<double>(step) / total + s) / (1 + s);
    return std::pow(std::cos(angle * std::numbers::pi / 2), 2);
  };
  return 1 - f(t) / f(t - 1);
}

/// What the step from each timestep to the one before it needs; nothing leads on from 0.
std::vector<math::ReverseStep> reverse_step_table(const std::vector<double>& signal_shares) {
  std::vector<math::ReverseStep> table{{1, 0, 0}};
  for (std::size_t t = 1; t < signal_shares.size(); ++t) {
    const double alpha = signal_shares[t] / signal_shares[t - 1];
    table.push_back({
        static_cast<float>(1 / std::sqrt(alpha)),
        static_cast<float>((1 - alpha) / std::sqrt(1 - signal_shares[t])),
        t == 1 ? 0.0f : static_cast<float>(std::sqrt(1 - alpha)),
    });
  }
  return table;
}

}  // namespace

std::vector<double> signal_shares(NoiseSchedule schedule, Index n_steps) {
  std::vector<double> shares{1.0};
  for (Index t = 1; t < n_steps; ++t) {
    const double beta = std::min(scheduled_beta(schedule, t, n_steps), max_beta);
    shares.push_back(shares.back() * (1 - beta));
  }
  return shares;
}

std::vector<float> time_feature_table(TimeFeatures features, Index n_steps, Index& n_features) {
  std::vector<float> table;
  for (Index t = 0; t < n_steps; ++t) {
    const double time = static_cast<double>(t);
    const double fraction = time / static_cast<double>(n_steps);
    const std::size_t before = table.size();
    switch (features) {
      case TimeFeatures::cosine:
        for (int k = 1; k <= 4; ++k) {
          table.push_back(static_cast<float>(std::cos(k * std::numbers::pi * fraction)));
        }
        table.push_back(static_cast<float>(fraction - 0.5));
        break;
      case TimeFeatures::scalar:
        table.push_back(static_cast<float>(fraction));
        break;
      case TimeFeatures::sinusoidal:
        for (int i = 0; i < 8; ++i) {
          const double angle = time * std::pow(10000.0, -i / 7.0);
          table.push_back(static_cast<float>(std::sin(angle)));
          table.push_back(static_cast<float>(std::cos(angle)));
        }
        break;
    }
    n_features = static_cast<Index>(table.size() - before);
  }
  return table;
}

DiffusionProcess::DiffusionProcess(std::shared_ptr<Backend> backend, Index n_features,
                                   Index n_steps, NoiseSchedule schedule,
                                   TimeFeatures time_features)
    : backend_(std::move(backend)),
      n_features_(n_features),
      signal_scale_(*backend_),
      noise_scale_(*backend_),
      time_features_(*backend_),
      reverse_steps_(*backend_) {
  require(n_features >= 1, "n_features: got ", n_features, ", needed at least 1");
  require(n_steps >= 2, "n_steps: got ", n_steps, ", needed at least 2");
  signal_shares_ = tagix::signal_shares(schedule, n_steps);
  shift_.assign(static_cast<std::size_t>(n_features), 0.0f);
  scale_.assign(static_cast<std::size_t>(n_features), 1.0f);
  std::vector<float> signal_scale, noise_scale;
  for (double share : signal_shares_) {
    signal_scale.push_back(static_cast<float>(std::sqrt(share)));
    noise_scale.push_back(static_cast<float>(std::sqrt(1 - share)));
  }
  signal_scale_.assign(signal_scale);
  noise_scale_.assign(noise_scale);
  Index n_time_features = 0;
  time_features_.assign(time_feature_table(time_features, n_steps, n_time_features));
  reverse_steps_.assign(reverse_step_table(signal_shares_));
  tables_ = {signal_scale_.data(),
             noise_scale_.data(),
             time_features_.data(),
             reverse_steps_.data(),
             n_steps,
             /*first_step=*/1,
             n_time_features};
}

void DiffusionProcess::set_standardization(std::vector<float> shift, std::vector<float> scale) {
  const auto count = static_cast<std::size_t>(n_features_);
  require(shift.size() == count && scale.size() == count, "shift, scale: got ", shift.size(),
          " and ", scale.size(), " values, needed ", n_features_, " each");
  require_finite("shift", shift.data(), n_features_);
  require_positive("scale", scale.data(), n_features_);
  shift_ = std::move(shift);
  scale_ = std::move(scale);
}

void DiffusionProcess::standardize_by(const float* data, Index rows) {
  require(rows >= 1, "X: got 0 rows, needed at least 1");
  require_finite("X", data, rows * n_features_);
  const auto count = static_cast<std::size_t>(n_features_);
  std::vector<float> shift(count), scale(count);
  for (Index column = 0; column < n_features_; ++column) {
    double sum = 0, squares = 0;
    for (Index row = 0; row < rows; ++row) sum += data[row * n_features_ + column];
    const double mean = sum / static_cast<double>(rows);
    for (Index row = 0; row < rows; ++row) {
      const double deviation = data[row * n_features_ + column] - mean;
      squares += deviation * deviation;
    }
    const auto std = static_cast<float>(std::sqrt(squares / static_cast<double>(rows)));
    shift[static_cast<std::size_t>(column)] = static_cast<float>(mean);
    scale[static_cast<std::size_t>(column)] = std > 0 ? std : 1.0f;
  }
  set_standardization(std::move(shift), std::move(scale));
}

void DiffusionProcess::check_network(const Model& network) const {
  const std::optional<Index> inputs = network.input_features();
  require(!inputs || *inputs == network_inputs(), "net: got a network of ", inputs.value_or(0),
          " inputs, needed ", network_inputs(), " (", n_features_, " features and ",
          tables_.n_time_features, " time features)");
  const Index outputs = network.output_features(network_inputs());
  require(outputs == n_features_, "net: got a network of ", outputs, " outputs, needed ",
          n_features_);
}

void DiffusionProcess::predict(const Model& network, const float* noisy, const Index* timesteps,
                               Index rows, const PredictionArrays& output) const {
  check_network(network);
  require_finite("x_t", noisy, rows * n_features_);
  for (Index i = 0; i < rows; ++i) {
    require(timesteps[i] >= 0 && timesteps[i] < n_steps(), "t: got ", timesteps[i], " at position ",
            i, ", needed timesteps in [0, ", n_steps(), ")");
  }
  const Index chunk = std::min(rows, max_chunk);
  Buffer<float> device_noisy(*backend_);
  Buffer<Index> device_timesteps(*backend_);
  Buffer<float> input(*backend_, chunk * network_inputs());
  std::vector<float> host_input(static_cast<std::size_t>(chunk * network_inputs()));
  for (Index first = 0; first < rows; first += chunk) {
    const Index count = std::min(chunk, rows - first);
    const Index offset = first * n_features_;
    device_noisy.assign(noisy + offset, count * n_features_);
    device_timesteps.assign(timesteps + first, count);
    backend_->embed_timesteps(tables_, device_noisy.data(), n_features_, device_timesteps.data(), 1,
                              count, input.data());
    backend_->download(input.data(), host_input.data(),
                       static_cast<std::size_t>(count * network_inputs()) * sizeof(float));
    network.predict({host_input.data(), nullptr, count, network_inputs()}, {}, output.from(offset));
  }
}

bool DiffusionProcess::sample(const Model& network, Index rows, std::uint64_t seed, float* x,
                              float* var, float* trajectory,
                              const std::function<bool()>& interrupted,
                              const SampleUncertainty* uncertainty) const {
  check_network(network);
  require(rows >= 0, "n_samples: got ", rows, ", needed at least 0");
  const Index matrix = uncertainty == nullptr ? 0 : n_features_ * n_features_;
  const std::vector<Chunk> chunks = chunks_of(
      rows, matrix == 0 ? max_chunk : std::max(min_matrix_rows, max_matrix_floats / matrix));
  Index chunk = 0;
  for (const Chunk& each : chunks) chunk = std::max(chunk, each.count);
  Buffer<float> noisy(*backend_, chunk * n_features_);
  Buffer<float> added_var(*backend_, chunk * n_features_);
  Buffer<float> input(*backend_, chunk * network_inputs());
  Buffer<float> epistemic(*backend_, chunk * matrix), aleatoric(*backend_, chunk * matrix);
  Buffer<Index> timestep(*backend_), first_row(*backend_);
  const std::unique_ptr<Executor> executor = network.make_executor();

  const auto write_rows = [&](const Buffer<float>& source, float* host, Index first, Index count,
                              bool variance) {
    float* out = host + first * n_features_;
    backend_->download(source.data(), out,
                       static_cast<std::size_t>(count * n_features_) * sizeof(float));
    for (Index i = 0; i < count * n_features_; ++i) {
      const auto column = static_cast<std::size_t>(i % n_features_);
      out[i] = variance ? out[i] * scale_[column] * scale_[column]
                        : out[i] * scale_[column] + shift_[column];
    }
  };

  // Steps of a chunk are the same operations, on memory that says which step and which rows it is.
  std::map<Index, std::unique_ptr<Recording>> recordings;  // by the rows of the chunk
  Burst burst;
  for (const auto& [first, count] : chunks) {
    backend_->normal(seed, math::RandomStream::sampler_start, 0, first, count, n_features_,
                     noisy.data());
    if (trajectory != nullptr) write_rows(noisy, trajectory, first, count, false);
    const Index last_step = n_steps() - 1;
    timestep.assign(&last_step, 1);
    first_row.assign(&first, 1);
    if (uncertainty != nullptr) {  // the starting noise is known
      epistemic.assign(std::vector<float>(static_cast<std::size_t>(count * matrix)));
    }
    for (Index t = last_step; t >= 1;) {
      if (interrupted && interrupted()) return false;
      const Index n_now = trajectory != nullptr ? 1 : std::min(burst.n_steps(), t);
      burst.begin();
      network.read_parameters([&](ConstMomentsView parameters) {
        const auto queue = [&] {
          backend_->embed_timesteps(tables_, noisy.data(), n_features_, timestep.data(), 0, count,
                                    input.data());
          const ConstMomentsView network_input{input.data(), nullptr, count, network_inputs()};
          ConstMomentsView noise;
          if (uncertainty == nullptr) {
            noise = executor->predict(parameters, network_input);
          } else {
            const Linearized linearized = executor->linearize(
                parameters, network_input, {n_features_, n_features_, /*covariance=*/true});
            noise = linearized.prediction;
            backend_->denoise_covariance(tables_, timestep.data(), linearized.jacobian,
                                         linearized.covariance, count, n_features_,
                                         epistemic.data(), aleatoric.data());
          }
          backend_->denoise(tables_, timestep.data(), noise, n_features_, seed, first_row.data(),
                            noisy.data(), added_var.data());
          backend_->advance(timestep.data(), -1);
        };
        std::unique_ptr<Recording>& recording = recordings[count];
        if (t < last_step && !recording) recording = executor->record(queue);
        for (Index i = 0; i < n_now; ++i) recording ? recording->queue() : queue();
        // Other threads may change the parameters as soon as this returns.
        backend_->synchronise();
      });
      burst.end(n_now);
      t -= n_now;
      if (trajectory != nullptr) {
        const Index position = n_steps() - 1 - t;
        write_rows(noisy, trajectory + position * rows * n_features_, first, count, false);
      }
    }
    write_rows(noisy, x, first, count, false);
    write_rows(added_var, var, first, count, true);
    if (uncertainty != nullptr) {
      const Index offset = first * matrix, size = count * matrix;
      const std::size_t bytes = static_cast<std::size_t>(size) * sizeof(float);
      backend_->download(epistemic.data(), uncertainty->epistemic + offset, bytes);
      backend_->download(aleatoric.data(), uncertainty->aleatoric + offset, bytes);
      write_scores(count, uncertainty->aleatoric + offset, uncertainty->score + first);
      to_data_units(count, uncertainty->epistemic + offset);
      to_data_units(count, uncertainty->aleatoric + offset);
    }
  }
  return true;
}

void DiffusionProcess::write_scores(Index rows, const float* aleatoric, float* score) const {
  const Index n = n_features_;
  const double signal_share = signal_shares_[1];
  const double noise = static_cast<double>(n) * (1 - signal_share) / signal_share;
  for (Index row = 0; row < rows; ++row, aleatoric += n * n) {
    double trace = 0;
    for (Index i = 0; i < n; ++i) trace += aleatoric[i * (n + 1)];
    score[row] = static_cast<float>(trace / noise);
  }
}

void DiffusionProcess::to_data_units(Index rows, float* covariance) const {
  const auto n = static_cast<std::size_t>(n_features_);
  for (Index row = 0; row < rows; ++row) {
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t j = 0; j < n; ++j) *covariance++ *= scale_[i] * scale_[j];
    }
  }
}

bool DiffusionProcess::sample_draws(const Model& network, Index rows, std::uint64_t seed,
                                    Index n_draws, float* covariance,
                                    const std::function<bool()>& interrupted) const {
  require(n_draws >= 2, "ensemble: got ", n_draws, ", needed at least 2 networks");
  check_network(network);
  const auto n = static_cast<std::size_t>(n_features_), n_rows = static_cast<std::size_t>(rows);
  std::vector<float> x(n_rows * n), var(x.size());
  // Welford's sums of what deviates from the mean so far, in float64.
  std::vector<double> mean(x.size()), squares(x.size() * n), before(n), after(n);
  for (Index draw = 0; draw < n_draws; ++draw) {
    const std::uint64_t draw_seed = math::derived_seed(seed, static_cast<std::uint64_t>(draw));
    if (!sample(*network.draw(draw_seed), rows, seed, x.data(), var.data(), nullptr, interrupted)) {
      return false;
    }
    for (std::size_t row = 0; row < n_rows; ++row) {
      for (std::size_t i = 0; i < n; ++i) {
        double& own_mean = mean[row * n + i];
        before[i] = x[row * n + i] - own_mean;
        own_mean += before[i] / static_cast<double>(draw + 1);
        after[i] = x[row * n + i] - own_mean;
      }
      for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t j = 0; j < n; ++j) {
          // Both orders give the same in exact arithmetic; this one is symmetric to the bit.
          squares[(row * n + i) * n + j] += before[std::min(i, j)] * after[std::max(i, j)];
        }
      }
    }
  }
  for (std::size_t i = 0; i < squares.size(); ++i) {
    covariance[i] = static_cast<float>(squares[i] / static_cast<double>(n_draws - 1));
  }
  return true;
}

DiffusionSource::DiffusionSource(Backend& backend, const DiffusionProcess& process,
                                 std::uint64_t seed, const float* data, Index rows)
    : backend_(backend),
      process_(process),
      seed_(seed),
      rows_(rows),
      clean_(backend),
      noise_(backend),
      input_(backend),
      target_(backend) {
  require(rows >= 1, "X: got 0 rows, needed at least 1");
  const Index n_features = process.n_features();
  require_finite("X", data, rows * n_features);
  std::vector<float> standardized(static_cast<std::size_t>(rows * n_features));
  for (std::size_t i = 0; i < standardized.size(); ++i) {
    const std::size_t column = i % static_cast<std::size_t>(n_features);
    standardized[i] = (data[i] - process.shift()[column]) / process.scale()[column];
  }
  clean_.assign(standardized);
}

BatchSource::Batch DiffusionSource::load(RowSelection rows, Index n_rows) {
  input_.resize(n_rows * process_.network_inputs());
  target_.resize(n_rows * process_.n_features());
  backend_.diffuse(process_.tables(), seed_, clean_.data(), process_.n_features(), rows, n_rows,
                   input_.data(), target_.data());
  return {
      {input_.data(), nullptr, n_rows, process_.network_inputs()}, target_.data(), noise_.view()};
}

}  // namespace tagix

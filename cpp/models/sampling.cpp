#include "models/sampling.h"

#include <algorithm>
#include <map>
#include <memory>
#include <utility>

#include "core/memory.h"
#include "core/recording.h"
#include "core/require.h"
#include "models/burst.h"

namespace tagix {
namespace {

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

/// What guidance makes of rows that were predicted with their labels and then, behind them,
/// without.
class Guided {
 public:
  Guided(Backend& backend, Guidance guidance)
      : backend_(backend),
        guidance_(guidance),
        prediction_(backend),
        jacobian_(backend),
        covariance_(backend) {}

  /// Queues the combination, which is valid until the next; `matrix` numbers of a Jacobian and of a
  /// covariance for each of `rows`, or 0 where there are none.
  Linearized combine(const Linearized& both, Index rows, Index matrix) {
    const Index cols = both.prediction.cols;  // those of a noise head, too
    prediction_.resize(rows, cols);
    const MomentsView prediction = prediction_.view();
    add(both.prediction.mean, rows * cols, /*variance=*/false, prediction.mean);
    add(both.prediction.var, rows * cols, /*variance=*/true, prediction.var);
    if (matrix == 0) return {prediction, nullptr, nullptr};
    jacobian_.resize(rows * matrix);
    covariance_.resize(rows * matrix);
    add(both.jacobian, rows * matrix, /*variance=*/false, jacobian_.data());
    add(both.covariance, rows * matrix, /*variance=*/true, covariance_.data());
    return {prediction, jacobian_.data(), covariance_.data()};
  }

 private:
  void add(const float* both, Index size, bool variance, float* result) {
    const auto weight = [&](float each) { return variance ? each * each : each; };
    backend_.combine(both, weight(guidance_.conditional), both + size,
                     weight(guidance_.unconditional), size, result);
  }

  Backend& backend_;
  Guidance guidance_;
  Moments prediction_;
  Buffer<float> jacobian_;
  Buffer<float> covariance_;
};

void check_plan(const DiffusionProcess& process, const SamplerPlan& plan, bool with_uncertainty) {
  const auto n_stages = static_cast<Index>(plan.stages.size());
  require(n_stages >= 1, "sampler: got no stage, needed at least 1");
  const Index cols = columns_of("sampler: time_features", plan.time_features, n_stages);
  const Index needed = process.tables().conditions.n_time_features;
  require(cols == needed, "sampler: got ", cols, " time features, needed ", needed);
  require(static_cast<Index>(plan.ends_step.size()) == n_stages && plan.ends_step.back(),
          "sampler: got a plan whose last stage ends no step, needed one that does");
  if (!with_uncertainty) return;
  for (const math::SamplerStage& stage : plan.stages) {
    require(stage.carry_weight == 0, "uncertainty: got a sampler whose steps use what an earlier ",
            "stage left, needed one of single stages, such as DDPM or DDIM");
  }
}

/// The chains of a call, chunk by chunk, in buffers of the largest.
class Chains {
 public:
  /// Throws std::invalid_argument for what does not fit together.
  Chains(const DiffusionProcess& process, const Model& network, const SamplerPlan& plan,
         const SampleRequest& request, const SampleOutput& output)
      : backend_(process.backend()),
        process_(process),
        network_(network),
        plan_(plan),
        request_(request),
        output_(output),
        n_features_(process.n_features()),
        matrix_(output.uncertainty == nullptr ? 0 : n_features_ * n_features_),
        conditions_(process.tables().conditions),
        stages_(backend_),
        time_features_(backend_),
        noisy_(backend_),
        carry_(backend_),
        added_var_(backend_),
        input_(backend_),
        epistemic_(backend_),
        aleatoric_(backend_),
        stage_(backend_),
        first_row_(backend_),
        labels_(backend_),
        guided_(backend_, request.guidance) {
    process.check_network(network);
    require(request.rows >= 0, "n_samples: got ", request.rows, ", needed at least 0");
    check_plan(process, plan, output.uncertainty != nullptr);
    if (request.labels != nullptr) process.check_labels(request.labels, request.rows);
    require(!is_guided() || request.labels != nullptr,
            "guidance: got no label, needed one to guide to");
    stages_.assign(plan.stages);
    time_features_.assign(plan.time_features);
    conditions_.time_features = time_features_.data();
    executor_ = network.make_executor(process.network_inputs());
  }

  /// Runs all chains to their ends; false if it was interrupted.
  bool run(const std::function<bool()>& interrupted) {
    const std::vector<Chunk> chunks = chunks_of(
        request_.rows,
        matrix_ == 0 ? max_chunk : std::max(min_matrix_rows, max_matrix_floats / matrix_));
    Index largest = 0;
    for (const Chunk& chunk : chunks) largest = std::max(largest, chunk.count);
    make_room(largest);
    for (const Chunk& chunk : chunks) {
      begin(chunk);
      if (!run_stages(chunk, interrupted)) return false;
      end(chunk);
    }
    return true;
  }

 private:
  bool is_guided() const { return request_.guidance.exists(); }

  void make_room(Index rows) {
    noisy_.resize(rows * n_features_);
    added_var_.resize(rows * n_features_);
    input_.resize((is_guided() ? 2 * rows : rows) * process_.network_inputs());
    epistemic_.resize(rows * matrix_);
    aleatoric_.resize(rows * matrix_);
    const bool carries = std::any_of(plan_.stages.begin(), plan_.stages.end(),
                                     [](const auto& each) { return each.carry_weight != 0; });
    if (carries) carry_.resize(rows * n_features_);
    if (request_.labels != nullptr) labels_.resize(rows);
  }

  /// Sets a chunk to where its chains start.
  void begin(const Chunk& chunk) {
    backend_.normal(request_.seed, math::RandomStream::sampler_start, 0, chunk.first, chunk.count,
                    n_features_, noisy_.data());
    if (output_.trajectory != nullptr) write_values(output_.trajectory, chunk);
    stage_.assign(Index{0});
    first_row_.assign(chunk.first);
    if (request_.labels != nullptr) labels_.assign(request_.labels + chunk.first, chunk.count);
    const auto zeros = [](Index size) {
      return std::vector<float>(static_cast<std::size_t>(size));
    };
    if (carry_.size() > 0) carry_.assign(zeros(chunk.count * n_features_));
    // The starting noise is known.
    if (matrix_ > 0) epistemic_.assign(zeros(chunk.count * matrix_));
  }

  bool run_stages(const Chunk& chunk, const std::function<bool()>& interrupted) {
    const auto n_stages = static_cast<Index>(plan_.stages.size());
    Index position = 0;  // in the trajectory
    for (Index i = 0; i < n_stages;) {
      if (interrupted && interrupted()) return false;
      const Index n_now =
          output_.trajectory != nullptr ? 1 : std::min(burst_.n_steps(), n_stages - i);
      burst_.begin();
      network_.read_parameters([&](ConstMomentsView parameters) {
        queue(parameters, chunk.count, n_now, /*has_run=*/i > 0);
        // Other threads may change the parameters as soon as this returns.
        backend_.synchronise();
      });
      burst_.end(n_now);
      i += n_now;
      if (output_.trajectory != nullptr && plan_.ends_step[static_cast<std::size_t>(i - 1)]) {
        ++position;
        write_values(output_.trajectory + position * request_.rows * n_features_, chunk);
      }
    }
    return true;
  }

  /// Queues stages. They are the same operations, on memory that says which stage and which rows it
  /// is, and so are recorded once they have run.
  void queue(ConstMomentsView parameters, Index rows, Index n_stages, bool has_run) {
    std::unique_ptr<Recording>& recording = recordings_[rows];
    if (has_run && !recording && !executor_->calls_the_host()) {
      recording = backend_.record([&] { queue_stage(parameters, rows); });
    }
    for (Index k = 0; k < n_stages; ++k) {
      recording ? recording->queue() : queue_stage(parameters, rows);
    }
  }

  void queue_stage(ConstMomentsView parameters, Index rows) {
    const Index inputs = process_.network_inputs();
    backend_.append_conditions(conditions_, noisy_.data(), n_features_, stage_.data(),
                               request_.labels == nullptr ? nullptr : labels_.data(), rows,
                               input_.data());
    if (is_guided()) {
      backend_.append_conditions(conditions_, noisy_.data(), n_features_, stage_.data(), nullptr,
                                 rows, input_.data() + rows * inputs);
    }
    const ConstMomentsView input{input_.data(), nullptr, is_guided() ? 2 * rows : rows, inputs};
    Linearized predicted;
    if (matrix_ == 0) {
      predicted.prediction = executor_->predict(network_.parameters_for(input, parameters), input);
    } else {
      predicted =
          executor_->linearize(parameters, input, {n_features_, n_features_, Covariances::all});
    }
    if (is_guided()) predicted = guided_.combine(predicted, rows, matrix_);
    if (matrix_ > 0) {
      backend_.denoise_covariance(stages_.data(), stage_.data(), predicted.jacobian,
                                  predicted.covariance, rows, n_features_, epistemic_.data(),
                                  aleatoric_.data());
    }
    backend_.denoise(stages_.data(), stage_.data(), predicted.prediction, n_features_,
                     request_.seed, first_row_.data(), noisy_.data(),
                     carry_.size() > 0 ? carry_.data() : nullptr, added_var_.data());
    backend_.advance(stage_.data(), 1);
  }

  /// Writes a chunk whose chains have come to their ends.
  void end(const Chunk& chunk) {
    write_values(output_.x, chunk);
    write_rows(added_var_, output_.var, chunk,
               [](float var, float scale, float) { return var * scale * scale; });
    if (matrix_ > 0) write_uncertainty(chunk);
  }

  /// Writes where the chains of a chunk are, in the units of the data.
  void write_values(HostPointer<float> host, const Chunk& chunk) {
    write_rows(noisy_, host, chunk,
               [](float value, float scale, float shift) { return value * scale + shift; });
  }

  /// Writes rows of a chunk to their places in `host`: to_data_units(value, scale, shift) of each.
  template <class Units>
  void write_rows(const Buffer<float>& rows, HostPointer<float> host, const Chunk& chunk,
                  Units&& to_data_units) {
    const HostPointer<float> out = host + chunk.first * n_features_;
    backend_.download(rows.data(), out, chunk.count * n_features_);
    for (Index i = 0; i < chunk.count * n_features_; ++i) {
      const auto column = static_cast<std::size_t>(i % n_features_);
      out[i] = to_data_units(out[i], process_.scale()[column], process_.shift()[column]);
    }
  }

  void write_uncertainty(const Chunk& chunk) {
    const SampleUncertainty& uncertainty = *output_.uncertainty;
    const HostPointer<float> epistemic = uncertainty.epistemic + chunk.first * matrix_;
    const HostPointer<float> aleatoric = uncertainty.aleatoric + chunk.first * matrix_;
    backend_.download(epistemic_.data(), epistemic, chunk.count * matrix_);
    backend_.download(aleatoric_.data(), aleatoric, chunk.count * matrix_);
    const double noise = static_cast<double>(n_features_) * plan_.last_noise_var;
    for (Index row = 0; row < chunk.count; ++row) {
      double trace = 0;
      for (Index i = 0; i < n_features_; ++i) {
        trace += aleatoric[row * matrix_ + i * (n_features_ + 1)];
      }
      uncertainty.score[chunk.first + row] = static_cast<float>(trace / noise);
    }
    scale_covariances(chunk.count, epistemic);
    scale_covariances(chunk.count, aleatoric);
  }

  /// Takes covariances from standardized units to those of the data.
  void scale_covariances(Index rows, HostPointer<float> covariance) const {
    const std::vector<float>& scale = process_.scale();
    for (Index row = 0; row < rows; ++row) {
      for (const float first : scale) {
        for (const float second : scale) {
          *covariance *= first * second;
          covariance += 1;
        }
      }
    }
  }

  Backend& backend_;
  const DiffusionProcess& process_;
  const Model& network_;
  const SamplerPlan& plan_;
  const SampleRequest& request_;
  const SampleOutput& output_;
  Index n_features_;
  Index matrix_;  // numbers in the covariance of a row; 0 where nobody asks for it
  Conditions conditions_;
  std::unique_ptr<Executor> executor_;
  Buffer<math::SamplerStage> stages_;
  Buffer<float> time_features_;
  // Of the rows of a chunk.
  Buffer<float> noisy_;
  Buffer<float> carry_;
  Buffer<float> added_var_;
  Buffer<float> input_;
  Buffer<float> epistemic_;
  Buffer<float> aleatoric_;
  Buffer<Index> stage_;
  Buffer<Index> first_row_;
  Buffer<Index> labels_;
  Guided guided_;
  std::map<Index, std::unique_ptr<Recording>> recordings_;  // by the rows of a chunk
  Burst burst_;
};

/// Means and covariances of what comes one after the other, by Welford's sums in float64.
class CovarianceSums {
 public:
  CovarianceSums(Index rows, Index n_features)
      : n_(static_cast<std::size_t>(n_features)),
        mean_(static_cast<std::size_t>(rows) * n_),
        squares_(mean_.size() * n_),
        before_(n_),
        after_(n_) {}

  /// Adds a table of rows x n_features.
  void add(const std::vector<float>& x) {
    ++count_;
    for (std::size_t start = 0; start < mean_.size(); start += n_) {
      for (std::size_t i = 0; i < n_; ++i) {
        double& mean = mean_[start + i];
        before_[i] = x[start + i] - mean;
        mean += before_[i] / static_cast<double>(count_);
        after_[i] = x[start + i] - mean;
      }
      for (std::size_t i = 0; i < n_; ++i) {
        for (std::size_t j = 0; j < n_; ++j) {
          // Both orders give the same in exact arithmetic; this one is symmetric to the bit.
          squares_[(start + i) * n_ + j] += before_[std::min(i, j)] * after_[std::max(i, j)];
        }
      }
    }
  }

  /// Writes the covariances, divisor count - 1: rows x n_features x n_features.
  void write(HostPointer<float> covariance) const {
    for (std::size_t i = 0; i < squares_.size(); ++i) {
      covariance[i] = static_cast<float>(squares_[i] / static_cast<double>(count_ - 1));
    }
  }

 private:
  std::size_t n_;
  Index count_ = 0;
  std::vector<double> mean_;
  std::vector<double> squares_;
  std::vector<double> before_;  // deviations of a row from the mean before it, and after
  std::vector<double> after_;
};

}  // namespace

Index SamplerPlan::n_steps() const {
  return static_cast<Index>(std::count(ends_step.begin(), ends_step.end(), true));
}

bool sample(const DiffusionProcess& process, const Model& network, const SamplerPlan& plan,
            const SampleRequest& request, const SampleOutput& output,
            const std::function<bool()>& interrupted) {
  return Chains(process, network, plan, request, output).run(interrupted);
}

bool sample_draws(const DiffusionProcess& process, const Model& network, const SamplerPlan& plan,
                  const SampleRequest& request, Index n_draws, HostPointer<float> covariance,
                  const std::function<bool()>& interrupted) {
  require(n_draws >= 2, "ensemble: got ", n_draws, ", needed at least 2 networks");
  process.check_network(network);
  CovarianceSums sums(request.rows, process.n_features());
  std::vector<float> x(static_cast<std::size_t>(request.rows * process.n_features())),
      var(x.size());
  for (Index draw = 0; draw < n_draws; ++draw) {
    const std::uint64_t seed = math::derived_seed(request.seed, static_cast<std::uint64_t>(draw));
    if (!sample(process, *network.draw(seed), plan, request, {on_host(x), on_host(var)},
                interrupted)) {
      return false;
    }
    sums.add(x);
  }
  sums.write(covariance);
  return true;
}

}  // namespace tagix

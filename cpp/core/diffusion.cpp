#include "core/diffusion.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "core/burst.h"
#include "core/require.h"

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

/// Columns of a table of `rows` rows. Throws unless it has as many values in each.
Index columns_of(const char* name, const std::vector<float>& table, Index rows) {
  const Index size = static_cast<Index>(table.size());
  require(rows >= 1 && size % rows == 0, name, ": got ", size,
          " values, needed as many for each of ", rows, " rows");
  require_finite(name, on_host(table), size);
  return size / rows;
}

}  // namespace

Index SamplerPlan::n_steps() const {
  return static_cast<Index>(std::count(ends_step.begin(), ends_step.end(), true));
}

DiffusionProcess::DiffusionProcess(std::shared_ptr<Backend> backend,
                                   const DiffusionDescription& description)
    : backend_(std::move(backend)),
      n_features_(description.n_features),
      levels_(*backend_),
      time_features_(*backend_),
      class_features_(*backend_) {
  const Index n_steps = static_cast<Index>(description.levels.size());
  require(n_features_ >= 1, "n_features: got ", n_features_, ", needed at least 1");
  require(n_steps >= 2, "n_steps: got ", n_steps, ", needed at least 2");
  require(description.n_classes >= 0, "n_classes: got ", description.n_classes,
          ", needed at least 0");
  Conditions conditions;
  conditions.n_time_features = columns_of("time_features", description.time_features, n_steps);
  conditions.n_classes = description.n_classes;
  conditions.n_class_features =
      columns_of("class_features", description.class_features, description.n_classes + 1);
  shift_.assign(static_cast<std::size_t>(n_features_), 0.0f);
  scale_.assign(static_cast<std::size_t>(n_features_), 1.0f);
  levels_.assign(description.levels);
  time_features_.assign(description.time_features);
  class_features_.assign(description.class_features);
  conditions.time_features = time_features_.data();
  conditions.class_features = class_features_.data();
  tables_ = {levels_.data(), conditions, n_steps, /*first_step=*/1};
}

void DiffusionProcess::set_standardization(std::vector<float> shift, std::vector<float> scale) {
  const auto count = static_cast<std::size_t>(n_features_);
  require(shift.size() == count && scale.size() == count, "shift, scale: got ", shift.size(),
          " and ", scale.size(), " values, needed ", n_features_, " each");
  require_finite("shift", on_host(shift), n_features_);
  require_positive("scale", on_host(scale), n_features_);
  shift_ = std::move(shift);
  scale_ = std::move(scale);
}

void DiffusionProcess::standardize_by(HostPointer<const float> data, Index rows) {
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
          " inputs, needed ", network_inputs(), " (", n_features_, " features, ",
          tables_.conditions.n_time_features, " time features and ",
          tables_.conditions.n_class_features, " class features)");
  const Index outputs = network.output_features(network_inputs());
  require(outputs == n_features_, "net: got a network of ", outputs, " outputs, needed ",
          n_features_);
}

void DiffusionProcess::check_labels(HostPointer<const Index> labels, Index rows) const {
  for (Index i = 0; i < rows; ++i) {
    require(labels[i] < n_classes(), "labels: got ", labels[i], " at position ", i,
            ", needed classes below ", n_classes(), ", or -1 where there is none");
  }
}

void DiffusionProcess::check_plan(const SamplerPlan& plan, bool with_uncertainty) const {
  const auto n_stages = static_cast<Index>(plan.stages.size());
  require(n_stages >= 1, "sampler: got no stage, needed at least 1");
  const Index cols = columns_of("sampler: time_features", plan.time_features, n_stages);
  require(cols == tables_.conditions.n_time_features, "sampler: got ", cols,
          " time features, needed ", tables_.conditions.n_time_features);
  require(static_cast<Index>(plan.ends_step.size()) == n_stages && plan.ends_step.back(),
          "sampler: got a plan whose last stage ends no step, needed one that does");
  if (!with_uncertainty) return;
  for (const math::SamplerStage& stage : plan.stages) {
    require(stage.carry_weight == 0, "uncertainty: got a sampler whose steps use what an earlier ",
            "stage left, needed one of single stages, such as DDPM or DDIM");
  }
}

bool DiffusionProcess::sample(const Model& network, const SamplerPlan& plan,
                              const SampleRequest& request, const SampleOutput& output,
                              const std::function<bool()>& interrupted) const {
  check_network(network);
  const Index rows = request.rows;
  require(rows >= 0, "n_samples: got ", rows, ", needed at least 0");
  check_plan(plan, output.uncertainty != nullptr);
  if (request.labels != nullptr) check_labels(request.labels, rows);
  const bool guided = request.guidance.exists();
  require(!guided || request.labels != nullptr, "guidance: got no label, needed one to guide to");

  const Index matrix = output.uncertainty == nullptr ? 0 : n_features_ * n_features_;
  const std::vector<Chunk> chunks = chunks_of(
      rows, matrix == 0 ? max_chunk : std::max(min_matrix_rows, max_matrix_floats / matrix));
  Index chunk = 0;
  for (const Chunk& each : chunks) chunk = std::max(chunk, each.count);
  const Index guided_rows = guided ? chunk : 0;
  Buffer<float> noisy(*backend_, chunk * n_features_), carry(*backend_);
  Buffer<float> added_var(*backend_, chunk * n_features_);
  Buffer<float> input(*backend_, (chunk + guided_rows) * network_inputs());
  Guided guidance(*backend_, request.guidance);
  Buffer<float> epistemic(*backend_, chunk * matrix), aleatoric(*backend_, chunk * matrix);
  Buffer<Index> stage(*backend_), first_row(*backend_), labels(*backend_);
  const bool carries = std::any_of(plan.stages.begin(), plan.stages.end(),
                                   [](const auto& each) { return each.carry_weight != 0; });
  if (carries) carry.resize(chunk * n_features_);
  if (request.labels != nullptr) labels.resize(chunk);
  Buffer<math::SamplerStage> stages(*backend_);
  stages.assign(plan.stages);
  Buffer<float> time_features(*backend_);
  time_features.assign(plan.time_features);
  Conditions conditions = tables_.conditions;
  conditions.time_features = time_features.data();
  const std::unique_ptr<Executor> executor = network.make_executor(network_inputs());

  const auto write_rows = [&](const Buffer<float>& source, HostPointer<float> host, Index first,
                              Index count, bool variance) {
    const HostPointer<float> out = host + first * n_features_;
    backend_->download(source.data(), out, count * n_features_);
    for (Index i = 0; i < count * n_features_; ++i) {
      const auto column = static_cast<std::size_t>(i % n_features_);
      out[i] = variance ? out[i] * scale_[column] * scale_[column]
                        : out[i] * scale_[column] + shift_[column];
    }
  };

  const auto n_stages = static_cast<Index>(plan.stages.size());
  // Stages of a chunk are the same operations, on memory that says which stage and which rows it
  // is.
  std::map<Index, std::unique_ptr<Recording>> recordings;  // by the rows of the chunk
  Burst burst;
  for (const auto& [first, count] : chunks) {
    backend_->normal(request.seed, math::RandomStream::sampler_start, 0, first, count, n_features_,
                     noisy.data());
    if (output.trajectory != nullptr) write_rows(noisy, output.trajectory, first, count, false);
    stage.assign(Index{0});
    first_row.assign(first);
    if (request.labels != nullptr) labels.assign(request.labels + first, count);
    const auto zeros = [](Index size) {
      return std::vector<float>(static_cast<std::size_t>(size));
    };
    if (carries) carry.assign(zeros(count * n_features_));
    if (matrix > 0) epistemic.assign(zeros(count * matrix));  // the starting noise is known
    Index position = 0;
    for (Index i = 0; i < n_stages;) {
      if (interrupted && interrupted()) return false;
      const Index n_now =
          output.trajectory != nullptr ? 1 : std::min(burst.n_steps(), n_stages - i);
      burst.begin();
      network.read_parameters([&](ConstMomentsView parameters) {
        const auto queue = [&, count = count] {
          const Index* own_labels = request.labels == nullptr ? nullptr : labels.data();
          backend_->append_conditions(conditions, noisy.data(), n_features_, stage.data(),
                                      own_labels, count, input.data());
          if (guided) {
            backend_->append_conditions(conditions, noisy.data(), n_features_, stage.data(),
                                        nullptr, count, input.data() + count * network_inputs());
          }
          const Index n_inputs = guided ? 2 * count : count;
          const ConstMomentsView network_input{input.data(), nullptr, n_inputs, network_inputs()};
          Linearized predicted;
          if (matrix == 0) {
            predicted.prediction = executor->predict(parameters, network_input);
          } else {
            predicted = executor->linearize(parameters, network_input,
                                            {n_features_, n_features_, /*covariance=*/true});
          }
          if (guided) predicted = guidance.combine(predicted, count, matrix);
          if (matrix > 0) {
            backend_->denoise_covariance(stages.data(), stage.data(), predicted.jacobian,
                                         predicted.covariance, count, n_features_, epistemic.data(),
                                         aleatoric.data());
          }
          backend_->denoise(stages.data(), stage.data(), predicted.prediction, n_features_,
                            request.seed, first_row.data(), noisy.data(),
                            carries ? carry.data() : nullptr, added_var.data());
          backend_->advance(stage.data(), 1);
        };
        std::unique_ptr<Recording>& recording = recordings[count];
        if (i > 0 && !recording && !executor->calls_the_host()) {
          recording = backend_->record(queue);
        }
        for (Index k = 0; k < n_now; ++k) recording ? recording->queue() : queue();
        // Other threads may change the parameters as soon as this returns.
        backend_->synchronise();
      });
      burst.end(n_now);
      i += n_now;
      if (output.trajectory != nullptr && plan.ends_step[static_cast<std::size_t>(i - 1)]) {
        ++position;
        write_rows(noisy, output.trajectory + position * rows * n_features_, first, count, false);
      }
    }
    write_rows(noisy, output.x, first, count, false);
    write_rows(added_var, output.var, first, count, true);
    if (matrix > 0) {
      const SampleUncertainty& uncertainty = *output.uncertainty;
      const Index offset = first * matrix, size = count * matrix;
      backend_->download(epistemic.data(), uncertainty.epistemic + offset, size);
      backend_->download(aleatoric.data(), uncertainty.aleatoric + offset, size);
      write_scores(count, plan.last_noise_var, uncertainty.aleatoric + offset,
                   uncertainty.score + first);
      to_data_units(count, uncertainty.epistemic + offset);
      to_data_units(count, uncertainty.aleatoric + offset);
    }
  }
  return true;
}

void DiffusionProcess::write_scores(Index rows, double last_noise_var,
                                    HostPointer<const float> aleatoric,
                                    HostPointer<float> score) const {
  const Index n = n_features_;
  const double noise = static_cast<double>(n) * last_noise_var;
  for (Index row = 0; row < rows; ++row, aleatoric += n * n) {
    double trace = 0;
    for (Index i = 0; i < n; ++i) trace += aleatoric[i * (n + 1)];
    score[row] = static_cast<float>(trace / noise);
  }
}

void DiffusionProcess::to_data_units(Index rows, HostPointer<float> covariance) const {
  const auto n = static_cast<std::size_t>(n_features_);
  for (Index row = 0; row < rows; ++row) {
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t j = 0; j < n; ++j, covariance += 1) *covariance *= scale_[i] * scale_[j];
    }
  }
}

bool DiffusionProcess::sample_draws(const Model& network, const SamplerPlan& plan,
                                    const SampleRequest& request, Index n_draws,
                                    HostPointer<float> covariance,
                                    const std::function<bool()>& interrupted) const {
  require(n_draws >= 2, "ensemble: got ", n_draws, ", needed at least 2 networks");
  check_network(network);
  const Index rows = request.rows;
  const auto n = static_cast<std::size_t>(n_features_), n_rows = static_cast<std::size_t>(rows);
  std::vector<float> x(n_rows * n), var(x.size());
  // Welford's sums of what deviates from the mean so far, in float64.
  std::vector<double> mean(x.size()), squares(x.size() * n), before(n), after(n);
  for (Index draw = 0; draw < n_draws; ++draw) {
    const std::uint64_t draw_seed =
        math::derived_seed(request.seed, static_cast<std::uint64_t>(draw));
    if (!sample(*network.draw(draw_seed), plan, request, {on_host(x), on_host(var)}, interrupted)) {
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
                                 std::uint64_t seed, HostPointer<const float> data, Index rows)
    : backend_(backend),
      process_(process),
      seed_(seed),
      rows_(rows),
      clean_(backend),
      labels_(backend),
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

void DiffusionSource::set_labels(HostPointer<const Index> labels, double p_uncond) {
  require(p_uncond >= 0 && p_uncond <= 1, "p_uncond: got ", p_uncond,
          ", needed a number in [0, 1]");
  process_.check_labels(labels, rows_);
  labels_.assign(labels, rows_);
  dropped_below_ = static_cast<std::uint64_t>(std::llround(p_uncond * 0x1p32));
}

BatchSource::Batch DiffusionSource::load(RowSelection rows, Index n_rows) {
  input_.resize(n_rows * process_.network_inputs());
  target_.resize(n_rows * process_.n_features());
  const TrainingLabels labels{labels_.size() > 0 ? labels_.data() : nullptr, dropped_below_};
  backend_.diffuse(process_.tables(), seed_, clean_.data(), process_.n_features(), labels, rows,
                   n_rows, input_.data(), target_.data());
  return {
      {input_.data(), nullptr, n_rows, process_.network_inputs()}, target_.data(), noise_.view()};
}

}  // namespace tagix

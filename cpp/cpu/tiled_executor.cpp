#include "cpu/tiled_executor.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "core/memory.h"
#include "cpu/group_sums.h"
#include "cpu/moments_product.h"
#include "cpu/pieces.h"
#include "cpu/scratch.h"
#include "cpu/threads.h"
#include "cpu/tile.h"
#include "cpu/tile_adjoint.h"
#include "cpu/tile_plan.h"
#include "cpu/tile_weights.h"
#include "cpu/user_functions.h"

namespace tagix::cpu {
namespace {

/// The batch is cut into at most this many groups of tiles. Each sums its own innovations, and the
/// sums are added in order: so many threads can work at most.
constexpr Index max_groups = 16;

/// Networks with more parameters run one operation after the other, as do those of which a tile
/// takes more floats: neither would stay in cache.
constexpr Index max_parameters = 1 << 17;
constexpr Index max_tile_size = 1 << 20;

/// Neither would the adjoints of more outputs.
constexpr Index max_adjoint_outputs = 32;

struct TileMemory {};
struct AdjointMemory {};

class TiledExecutor final : public Executor {
 public:
  TiledExecutor(Backend& backend, const Kernels& kernels, const std::vector<ChainStep>& steps,
                Executor& by_graph)
      : Executor(backend),
        kernels_(kernels),
        by_graph_(by_graph),
        formats_(formats_of(backend.precision())),
        product_(kernels, formats_),
        plan_(kernels, formats_, steps),
        weights_(backend, product_, plan_),
        functions_(backend, plan_),
        sums_(backend, kernels, plan_),
        adjoint_(backend, kernels, formats_, plan_),
        prediction_(backend),
        input_delta_(backend),
        jacobian_(backend),
        covariance_(backend) {}

  ConstMomentsView predict(ConstMomentsView parameters, ConstMomentsView input) override {
    const bool means_alone = parameters.var == nullptr;
    if (means_alone && functions_.exist()) return by_graph_.predict(parameters, input);
    weights_.pack(parameters, input, /*learns=*/false, /*need_input_delta=*/false);
    prediction_.resize(input.rows, plan_.out_features);
    const Index at_once = functions_.rows_at_once(input.rows);
    for (Index first = 0; first < input.rows; first += at_once) {
      const Index rows = std::min(at_once, input.rows - first);
      const MomentsView prediction = rows_from(prediction_.view(), first, rows);
      const ConstMomentsView entering = enter_last_phase(rows_from(input, first, rows), false);
      const Index n_tiles = ceil_div(rows, TilePlan::tile_rows);
      parallel_for(n_tiles, nanoseconds(rows, means_alone ? 2 : 6), [&](Index i) {
        const Tile tile = tile_of(i, rows);
        const ConstMomentsView of_tile = rows_of(entering, tile);
        const MomentsView output = rows_of(prediction, tile);
        means_alone ? forward_means(tile, of_tile, output)
                    : forward(tile, plan_.phases.back(), /*learns=*/false, of_tile, output);
      });
    }
    return prediction_.view();
  }

  Linearized linearize(ConstMomentsView parameters, ConstMomentsView input,
                       const Linearization& wanted) override {
    if (wanted.n_outputs > max_adjoint_outputs || functions_.exist()) {
      return linearize_with(by_graph_, *this, parameters, input, wanted);
    }
    weights_.pack(parameters, input, /*learns=*/false, /*need_input_delta=*/false);
    adjoint_.start(parameters, wanted, input.var != nullptr);
    const Index n_jacobian = wanted.n_outputs * wanted.n_directions;
    const Index n_covariance = wanted.n_covariances();
    prediction_.resize(input.rows, plan_.out_features);
    jacobian_.resize(input.rows * n_jacobian);
    covariance_.resize(input.rows * n_covariance);
    const MomentsView prediction = prediction_.view();
    const Index n_tiles = ceil_div(input.rows, TilePlan::tile_rows);
    const double operations = 8 + 6 * static_cast<double>(wanted.n_outputs);
    parallel_for(n_tiles, nanoseconds(input.rows, operations), [&](Index i) {
      const Tile tile = tile_of(i, input.rows);
      float* const kept = scratch<AdjointMemory>(adjoint_.memory_size());
      const ConstMomentsView rows = rows_of(input, tile);
      forward(tile, plan_.phases.back(), /*learns=*/false, rows, rows_of(prediction, tile), kept);
      adjoint_.run([&](const PlannedAffine& affine) { return tile.at(affine.input_mean); },
                   rows.var, tile.rows, kept, jacobian_.data() + tile.first * n_jacobian,
                   covariance_.data() + tile.first * n_covariance);
    });
    return {prediction, n_jacobian > 0 ? jacobian_.data() : nullptr,
            n_covariance > 0 ? covariance_.data() : nullptr};
  }

  Learned learn(ConstMomentsView parameters, ConstMomentsView input,
                const Observations& observations, bool need_input_delta) override {
    weights_.pack(parameters, input, /*learns=*/true, need_input_delta);
    prediction_.resize(input.rows, plan_.out_features);
    if (need_input_delta) input_delta_.resize(input.rows, plan_.in_features);
    const MomentsView prediction = prediction_.view();
    const MomentsView input_delta = need_input_delta ? input_delta_.view() : MomentsView{};

    const Index at_once = functions_.rows_at_once(input.rows);
    const Index n_tiles = ceil_div(at_once, TilePlan::tile_rows);
    const Index tiles_each = ceil_div(n_tiles, max_groups);
    sums_.start(ceil_div(n_tiles, tiles_each));
    for (Index first = 0; first < input.rows; first += at_once) {
      const Index rows = std::min(at_once, input.rows - first);
      learn_piece(rows_from(input, first, rows), observations.from_row(first, plan_.out_features),
                  tiles_each, /*add=*/first > 0, rows_from(prediction, first, rows),
                  need_input_delta ? rows_from(input_delta, first, rows) : MomentsView{});
    }
    sums_.finish();
    return {prediction, input_delta};
  }

  ConstMomentsView innovation() override { return sums_.innovation(); }

  void update(const UpdateRule& rule, Index batch_size, MomentsView parameters,
              TrainingState* state) override {
    update_by(innovation(), backend_, rule, batch_size, parameters, state);
  }

  Index prediction_rows() const override { return 16384; }

  /// The floats that a thread works in.
  Index tile_size() const { return plan_.tile_size; }

 private:
  template <class View>
  static View rows_from(View view, Index first, Index rows) {
    return view.slice(first * view.cols, rows, view.cols);
  }

  /// Tile i of so many rows, in this thread's memory.
  Tile tile_of(Index i, Index rows, float* kept = nullptr) const {
    return {plan_, scratch<TileMemory>(plan_.tile_size), kept, i, rows};
  }

  /// Takes rows through all phases but the last, and returns what enters that.
  ConstMomentsView enter_last_phase(ConstMomentsView input, bool learns) {
    const Index rows = input.rows;
    if (learns) functions_.keep(rows);
    for (Index k = 0; k + 1 < plan_.n_phases(); ++k) {
      const StepRange steps = plan_.phase(k);
      if (steps.end > 0) {
        const MomentsView leaving = functions_.room(k, rows);
        parallel_for(ceil_div(rows, TilePlan::tile_rows), nanoseconds(rows, 6), [&](Index i) {
          const Tile tile = tile_of(i, rows, learns ? functions_.kept(i) : nullptr);
          forward(tile, steps, learns, rows_of(input, tile), rows_of(leaving, tile));
        });
        input = leaving;
      }
      input = functions_.call(k, input);
    }
    return input;
  }

  /// `learn` for rows that go through the phases together: each group of tiles writes its sums, or
  /// adds to them.
  void learn_piece(ConstMomentsView input, const Observations& observations, Index tiles_each,
                   bool add, MomentsView prediction, MomentsView input_delta) {
    const bool need_input_delta = input_delta.mean != nullptr;
    const ConstMomentsView entering = enter_last_phase(input, /*learns=*/true);
    const Index n_tiles = ceil_div(input.rows, TilePlan::tile_rows);
    parallel_for(ceil_div(n_tiles, tiles_each), nanoseconds(input.rows, 14), [&](Index group) {
      const Index first = group * tiles_each;
      for (Index i = first; i < std::min(first + tiles_each, n_tiles); ++i) {
        const Tile tile = tile_of(i, input.rows, functions_.kept(i));
        forward(tile, plan_.phases.back(), /*learns=*/true, rows_of(entering, tile),
                rows_of(prediction, tile));
        observe(tile, rows_of(prediction, tile), observations);
        backward(tile, need_input_delta, group, add || i > first);
        if (need_input_delta) {
          const MomentsView target = rows_of(input_delta, tile);
          copy_rows(tile.at(plan_.delta.mean), plan_.in_stride, target.mean, plan_.in_features,
                    tile);
          copy_rows(tile.at(plan_.delta.var), plan_.in_stride, target.var, plan_.in_features, tile);
        }
      }
    });
  }

  /// About how long `n_operations` for each parameter and row take.
  double nanoseconds(Index rows, double n_operations) const {
    constexpr double operation = 0.01;
    return operation * n_operations * static_cast<double>(rows * plan_.parameter_count);
  }

  /// Moments of the output of an affine step whose input has the means affine.input_mean; keeps
  /// what backward needs if the network learns. A null `var` is an input known exactly. With
  /// `has_factors` the step below has written what products read (forward_activation). The planes
  /// that it writes are padded with zeros to whole panels.
  void forward_affine(const PlannedAffine& affine, const Tile& tile, bool learns, bool has_factors,
                      const float* var, const ProductOutput& output) const {
    const Index in = affine.shape.in_features, out = affine.shape.out_features;
    const Index stride = affine.input_stride;
    const float* mean = tile.at(affine.input_mean);
    float* const moment = tile.at(plan_.moment);
    ProductFactors factors{mean, stride, var, moment, stride};
    if (formats_.var == Format::float32) {
      if (!has_factors) {
        kernels_.second_moment(mean, var, tile.rows * stride, moment);
        if (learns) kernels_.square(mean, tile.rows * stride, tile.at(affine.factor.var));
      }
    } else {
      const InputFactors cells = input_factors(affine, tile, learns);
      if (!has_factors) {
        kernels_.pack_inputs(formats_.mean, mean, var, stride, tile.rows, in, cells);
      }
      factors = {mean, stride, cells.var_by_row, cells.moment_by_row, stride / 2};
      if (formats_.mean == Format::bfloat16) {
        factors.mean = cells.mean_by_row;
        factors.mean_stride = stride / 2;
      }
    }
    product_.multiply(var == nullptr ? ProductKind::known : ProductKind::both, factors, tile.rows,
                      in, out, weights_.at(affine.packed_forward), output);
  }

  /// Takes the innovation of an affine step's output through the Jacobian of the activation above
  /// it (null: none), adds that of the parameters to their sums, or writes it, and works out that
  /// of the input, unless nobody asks for it.
  void backward_affine(const PlannedAffine& affine, const Tile& tile, const float* jacobian,
                       bool passes_on, const SumTarget& target, PlanePair delta,
                       PlanePair input_delta) const {
    const Index in = affine.shape.in_features, out = affine.shape.out_features;
    const Index stride = affine.output_stride;
    float *mean = tile.at(delta.mean), *var = tile.at(delta.var);
    const bool has_bias = affine.shape.bias;
    const DeltaFactors cells{passes_on ? tile.at(plan_.by_row.mean) : nullptr,
                             tile.at(plan_.by_sample.mean),
                             passes_on ? tile.at(plan_.by_row.var) : nullptr,
                             tile.at(plan_.by_sample.var),
                             has_bias ? target.bias_mean : nullptr,
                             has_bias ? target.bias_var : nullptr,
                             target.add};
    kernels_.pack_deltas(formats_.mean, formats_.var, jacobian, tile.rows, out, mean, var, stride,
                         cells);
    const bool float32_mean = formats_.mean == Format::float32;
    const bool float32_var = formats_.var == Format::float32;
    const auto sum_products = [&](Format format, const float* by_sample, Index kept_input,
                                  float* sum) {
      const SampleFactor left{by_sample, out, stride};
      const SampleFactor right{tile.at(kept_input), in, affine.input_stride};
      kernels_.outer_product(format, target.transposed ? right : left,
                             target.transposed ? left : right, tile.rows, target.add, sum,
                             target.stride);
    };
    sum_products(formats_.mean, float32_mean ? mean : cells.mean_by_sample, affine.factor.mean,
                 target.weight_mean);
    sum_products(formats_.var, float32_var ? var : cells.var_by_sample, affine.factor.var,
                 target.weight_var);
    if (!passes_on) return;
    product_.multiply(
        ProductKind::squared,
        {float32_mean ? mean : cells.mean_by_row, float32_mean ? stride : stride / 2,
         float32_var ? var : cells.var_by_row, nullptr, float32_var ? stride : stride / 2},
        tile.rows, out, in, weights_.at(affine.packed_backward),
        {tile.at(input_delta.mean), tile.at(input_delta.var), affine.input_stride,
         /*padded=*/true});
  }

  /// Where the bfloat16 factors of an affine step's input are.
  InputFactors input_factors(const PlannedAffine& affine, const Tile& tile, bool learns) const {
    return {tile.at(plan_.by_row.mean), learns ? tile.at(affine.factor.mean) : nullptr,
            tile.at(plan_.moment_by_row), learns ? tile.at(affine.factor.var) : nullptr,
            tile.at(plan_.by_row.var)};
  }

  /// The moments that activation i makes of `mean` and `var` (null: 0), and what an affine step
  /// above it reads of them: in bfloat16 that is all, but for what `keeps_moments` asks for.
  void forward_activation(Index i, const Tile& tile, bool learns, bool keeps_moments,
                          const float* mean, const float* var, ActivationOutput output) const {
    const PlannedActivation& activation = plan_.activation_at(i);
    const PlannedAffine* above = i + 1 < n_steps() ? plan_.affine_at(i + 1) : nullptr;
    if (above != nullptr && formats_.var == Format::bfloat16) {
      if (!keeps_moments) {
        output.var = nullptr;
        if (formats_.mean == Format::bfloat16) output.mean = nullptr;
      }
      kernels_.activation_factors(activation.spec(), formats_.mean, mean, var, activation.stride,
                                  tile.rows, output, input_factors(*above, tile, learns));
      return;
    }
    if (above != nullptr) {
      output.second_moment = tile.at(plan_.moment);
      if (learns) output.square = tile.at(above->factor.var);
    }
    kernels_.activation(activation.spec(), formats_.mean, mean, var, tile.rows * activation.stride,
                        output);
  }

  /// Where step i reads its means: an affine step keeps them.
  float* input_mean(const Tile& tile, Index i) const {
    const PlannedAffine* affine = i < n_steps() ? plan_.affine_at(i) : nullptr;
    return tile.at(affine == nullptr ? plan_.delta.mean : affine->input_mean);
  }

  /// Takes the rows of a tile through the steps of a phase; keeps in the tile what backward needs
  /// if the network learns, and in `kept`, unless null, what the adjoint needs.
  void forward(const Tile& tile, StepRange steps, bool learns, ConstMomentsView input,
               MomentsView output, float* kept = nullptr) const {
    float* var = tile.at(plan_.delta.var);
    float* next_var = tile.at(plan_.other.var);
    const Index in_stride = plan_.stride_into(steps.first);
    const auto take_in = [&](const float* rows, float* target) {
      copy_rows(rows, input.cols, target, in_stride, tile);
    };
    take_in(input.mean, input_mean(tile, steps.first));
    if (input.var != nullptr) take_in(input.var, var);
    if (learns && steps.first > 0) {
      take_in(functions_.jacobian() + tile.first * input.cols,
              tile.at(plan_.activation_at(steps.first - 1).jacobian));
    }
    for (Index i = steps.first; i < steps.end; ++i) {
      const float* known_or_var = i == steps.first && input.var == nullptr ? nullptr : var;
      float* mean = input_mean(tile, i);
      float* next_mean = input_mean(tile, i + 1);
      if (const PlannedAffine* affine = plan_.affine_at(i)) {
        ProductOutput output{next_mean, next_var, affine->output_stride, /*padded=*/true};
        if (kept != nullptr) output.spread = adjoint_.spread_of(i, kept);
        const bool has_factors = i > steps.first && plan_.affine_at(i - 1) == nullptr;
        forward_affine(*affine, tile, learns, has_factors, known_or_var, output);
        if (kept != nullptr && known_or_var == nullptr) {
          adjoint_.keep_spread(i, next_var, tile.rows, kept);
        }
        std::swap(var, next_var);
      } else {
        const PlannedActivation& activation = plan_.activation_at(i);
        float* jacobian = learns ? tile.at(activation.jacobian) : nullptr;
        if (kept != nullptr) {
          adjoint_.keep_input(i, mean, known_or_var, tile.rows, kept);
          jacobian = adjoint_.jacobian_of(i, tile.rows, kept);
        }
        forward_activation(i, tile, learns, kept != nullptr, mean, known_or_var,
                           {next_mean, var, jacobian});
        if (kept != nullptr) adjoint_.keep_slopes(i, next_mean, var, tile.rows, kept);
      }
    }
    const Index stride = plan_.stride_into(steps.end);
    copy_rows(input_mean(tile, steps.end), stride, output.mean, output.cols, tile);
    copy_rows(var, stride, output.var, output.cols, tile);
  }

  /// The means alone; the variances of the output are 0.
  void forward_means(const Tile& tile, ConstMomentsView input, MomentsView output) const {
    copy_rows(input.mean, plan_.in_features, input_mean(tile, 0), plan_.in_stride, tile);
    for (Index i = 0; i < n_steps(); ++i) {
      const float* mean = input_mean(tile, i);
      float* const next_mean = input_mean(tile, i + 1);
      const PlannedAffine* affine = plan_.affine_at(i);
      if (affine == nullptr) {
        const PlannedActivation& activation = plan_.activation_at(i);
        kernels_.activation_values(activation.spec(), mean, tile.rows * activation.stride,
                                   next_mean);
        continue;
      }
      const Index in = affine->shape.in_features;
      Index stride = affine->input_stride;
      if (formats_.mean == Format::bfloat16) {
        float* const cells = tile.at(plan_.by_row.mean);
        kernels_.pack_factors(formats_.mean, /*squared=*/false, mean, stride, tile.rows, in,
                              {cells, stride / 2}, {});
        mean = cells;
        stride /= 2;
      }
      product_.multiply_means(mean, stride, tile.rows, in, affine->shape.out_features,
                              weights_.at(affine->packed_forward),
                              {next_mean, nullptr, affine->output_stride, /*padded=*/true});
    }
    copy_rows(input_mean(tile, n_steps()), plan_.out_stride, output.mean, plan_.out_features, tile);
    std::fill_n(output.var, output.size(), 0.0f);
  }

  /// Innovations of the outputs, where backward reads them.
  void observe(const Tile& tile, ConstMomentsView prediction,
               const Observations& observations) const {
    const MomentsView dense{tile.at(plan_.other.mean), tile.at(plan_.other.var), tile.rows,
                            plan_.out_features};
    const Observations own = observations.from_row(tile.first, plan_.out_features);
    backend_.observe(prediction, own.target, own.noise, own.spread, dense);
    const Index stride = plan_.out_stride;
    copy_rows(dense.mean, plan_.out_features, tile.at(plan_.delta.mean), stride, tile);
    copy_rows(dense.var, plan_.out_features, tile.at(plan_.delta.var), stride, tile);
  }

  /// Turns the innovation of the outputs in the tile into that of the input, and writes those of
  /// the parameters to the sums of the tile's group, or adds them.
  void backward(const Tile& tile, bool need_input_delta, Index group, bool add) {
    PlanePair delta = plan_.delta, other = plan_.other;
    Index jacobian_stride = 0;
    const float* jacobian = nullptr;  // of an activation that `delta` has yet to pass
    const auto pass_activation = [&] {
      if (jacobian == nullptr) return;
      const Index size = tile.rows * jacobian_stride;
      kernels_.scale_deltas(jacobian, size, tile.at(delta.mean), tile.at(delta.var));
      jacobian = nullptr;
    };
    for (Index i = n_steps() - 1; i >= 0; --i) {
      const bool passes_on = plan_.passes_delta(i, need_input_delta);
      if (const auto* activation = std::get_if<PlannedActivation>(&step(i))) {
        if (!passes_on) continue;
        pass_activation();
        jacobian = tile.at(activation->jacobian);
        jacobian_stride = activation->stride;
        continue;
      }
      const auto& affine = std::get<PlannedAffine>(step(i));
      backward_affine(affine, tile, std::exchange(jacobian, nullptr), passes_on,
                      sums_.target(affine, group, add), delta, other);
      if (passes_on) std::swap(delta, other);
    }
    pass_activation();
    if (need_input_delta && delta.mean != plan_.delta.mean) {
      std::copy_n(tile.at(delta.mean), tile.rows * plan_.in_stride, tile.at(plan_.delta.mean));
      std::copy_n(tile.at(delta.var), tile.rows * plan_.in_stride, tile.at(plan_.delta.var));
    }
  }

  Index n_steps() const { return plan_.n_steps(); }
  const PlannedStep& step(Index i) const { return plan_.step(i); }

  const Kernels& kernels_;
  Executor& by_graph_;
  Formats formats_;
  MomentsProduct product_;
  TilePlan plan_;
  TileWeights weights_;
  UserFunctions functions_;
  GroupSums sums_;
  TileAdjoint adjoint_;
  Moments prediction_;
  Moments input_delta_;
  Buffer<float> jacobian_;
  Buffer<float> covariance_;
};

}  // namespace

std::unique_ptr<Executor> make_tiled_executor(Backend& backend, const Kernels& kernels,
                                              const std::vector<ChainStep>& steps,
                                              Executor& by_graph) {
  Index parameter_count = 0;
  for (const ChainStep& step : steps) {
    if (const auto* affine = std::get_if<AffineStep>(&step)) {
      parameter_count += affine->parameter_count();
    }
  }
  if (parameter_count == 0 || parameter_count > max_parameters) return nullptr;
  auto executor = std::make_unique<TiledExecutor>(backend, kernels, steps, by_graph);
  if (executor->tile_size() > max_tile_size) return nullptr;
  return executor;
}

}  // namespace tagix::cpu

#pragma once

#include "core/backend.h"

// The operations of Backend on device memory, queued on the calling thread's stream. Their meaning
// is given there; here is what each kernel is cut into.

namespace tagix::cuda {

// elementwise.cu: one thread for each element.

void activation_forward(const math::ActivationSpec& spec, ConstMomentsView input,
                        MomentsView output, float* jacobian);
void activation_values(const math::ActivationSpec& spec, const float* input, Index size,
                       float* output);
void activation_points(math::MomentsForm form, ConstMomentsView input, float* points);
void activation_from_points(math::MomentsForm form, ConstMomentsView input, const float* values,
                            const float* derivatives, MomentsView output, float* jacobian);
void scale_deltas(const float* jacobian, MomentsView delta);
void observe(ConstMomentsView prediction, const float* target, NoiseView noise, float spread,
             MomentsView delta);
void split_prediction(ConstMomentsView prediction, NoiseView noise, MomentsView values,
                      float* noise_var, float* total_var);
void update(const UpdateRule& rule, Index batch_size, ConstMomentsView innovation,
            MomentsView parameters, const TrainingState* state);
void test_drift(const Forgetting& forgetting, TrainingState* state, math::DriftState* drift);
void forget(const ParameterWalk& step, const math::DriftState* drift, const TrainingState* state,
            Index size, float* var);
void add(ConstMomentsView values, MomentsView sum);
void check_finite(ConstMomentsView innovation, TrainingState* state);

// graph_ops.cu: one thread for each element of the output.

void copy_columns(ConstColumnsView values, ColumnsView target);
void add_columns(ConstColumnsView values, ColumnsView sum);
void clear_columns(ColumnsView target);
void mix(ConstMomentsView input, const TapsView& taps, bool add, MomentsView output);
void gather(const float* input, Index channels, const PositionsView& positions, Index first_row,
            Index rows, float* output);
void largest(ConstMomentsView input, const PositionsView& windows, MomentsView output,
             float* choice);
void largest_backward(ConstMomentsView delta, const float* choice, Index n_choices,
                      const PositionsView& readers, bool add, MomentsView below);
void product(ConstMomentsView a, ConstMomentsView b, MomentsView output);
void product_slopes(ConstMomentsView a, ConstMomentsView b, SlopesView slopes);
void scale_deltas_to(const float* jacobian, ConstMomentsView delta, bool add, MomentsView below);
void residual_activation(ConstMomentsView input, MomentsView output, float* jacobian);

// normalise.cu: one block for each set.

void normalise(ConstMomentsView input, const NormSets& sets, MomentsView output, float* scale);
void normalise_backward(ConstMomentsView output, const float* scale, const NormSets& sets,
                        ConstMomentsView delta, bool add, MomentsView below);

// classes.cu: one thread for each element in a tree, one block for each row of shares
// or of a softmax.

void observe_classes(ConstMomentsView prediction, const float* target,
                     const math::ClassHead& classes, float spread, MomentsView delta);
void class_probabilities(ConstMomentsView prediction, const math::ClassHead& classes,
                         float* probabilities);

// adjoint.cu: one thread for each element of the output.

void start_adjoint(Index n_outputs, MomentsView adjoint);
void affine_adjoint(ConstMomentsView input, ConstMomentsView weight, ConstMomentsView adjoint,
                    MomentsView below);
void activation_slopes(const math::ActivationSpec& spec, ConstMomentsView input, bool residual,
                       SlopesView slopes);
void activation_slopes_from_points(math::MomentsForm form, ConstMomentsView input,
                                   const float* values, const float* derivatives, bool residual,
                                   SlopesView slopes);
void scale_adjoint(ConstSlopesView slopes, Index size, ConstMomentsView adjoint, bool add,
                   MomentsView below);
void affine_spread(ConstMomentsView input, ConstMomentsView weight, ConstMomentsView bias,
                   float* spread);
void activation_excess(const float* input_var, const float* jacobian, const float* var, Index size,
                       float* excess);
void product_excess(const float* a_var, const float* b_var, Index size, float* excess);
void add_spread(ConstMomentsView adjoint, const float* var, Index var_stride, Index n_outputs,
                Covariances covariances, float* covariance);
void add_weight_adjoint(const float* input, Index in, ConstMomentsView adjoint, Index n_outputs,
                        ColumnsView sums);
void gather_jacobian(ConstMomentsView adjoint, Index n_outputs, Index n_inputs, float* jacobian);

// denoise_covariance.cu: one thread for each element of a matrix, and three kernels one after the
// other.

void denoise_covariance(const math::SamplerStage* stages, const Index* stage, const float* jacobian,
                        const float* prediction_covariance, Index n_rows, Index n_features,
                        float* epistemic, float* aleatoric);

// summed_batches.cu: one block, which adds in a fixed order.

void sum_predictions(ConstMomentsView prediction, const float* target, NoiseView noise,
                     TrainingState* state);

// data.cu: one thread for four columns of a row, as many as a block of random numbers has.

void shuffle(std::uint64_t seed, std::uint64_t epoch, Index n_rows, Index* order);
void gather_rows(const float* source, Index cols, RowSelection rows, Index n_rows, float* output);
void normal(std::uint64_t seed, math::RandomStream stream, std::uint64_t step, Index first_row,
            Index n_rows, Index cols, float* output);
void diffuse(const DiffusionTables& tables, std::uint64_t seed, const float* clean,
             Index n_features, TrainingLabels labels, RowSelection rows, Index n_rows, float* input,
             float* target);
void append_conditions(const Conditions& conditions, const float* noisy, Index n_features,
                       const Index* timestep, const Index* labels, Index n_rows, float* input);
void denoise(const math::SamplerStage* stages, const Index* stage, ConstMomentsView prediction,
             Index n_features, std::uint64_t seed, const Index* first_row, float* noisy,
             float* carry, float* var);
void combine(const float* first, float first_weight, const float* second, float second_weight,
             Index size, float* output);
void advance(Index* value, Index amount);

}  // namespace tagix::cuda

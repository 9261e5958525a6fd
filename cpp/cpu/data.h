#pragma once

#include <cstdint>

#include "core/backend.h"

// The operations of Backend on data and in diffusion, as loops over cpp/ops.

namespace tagix::cpu {

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
void denoise_covariance(const math::SamplerStage* stages, const Index* stage, const float* jacobian,
                        const float* prediction_covariance, Index n_rows, Index n_features,
                        float* epistemic, float* aleatoric);
void combine(const float* first, float first_weight, const float* second, float second_weight,
             Index size, float* output);

}  // namespace tagix::cpu

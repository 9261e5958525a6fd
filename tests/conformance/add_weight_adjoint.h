#pragma once

#include "conformance/operation.h"
#include "conformance/random_inputs.h"

namespace tagix::conformance {

/// sums[k][row][o][i] += sum_p G[k][row][p][o] a[row][p][i] over the positions of a row, in columns
/// of a wider matrix; without an input a is 1.
struct AddWeightAdjoint final : Operation {
  static constexpr Index first_col = 3;

  Index n_outputs, batch, positions, out, in;
  bool is_bias;
  HostGaussians adjoint, sums;
  std::vector<float> input;

  AddWeightAdjoint(Index n_outputs, Index batch, Index positions, Index out, Index in, bool is_bias)
      : n_outputs(n_outputs),
        batch(batch),
        positions(positions),
        out(out),
        in(in),
        is_bias(is_bias) {
    RandomInputs random(batch + 67 * positions + 71 * out + in);
    adjoint = random.gaussians(n_outputs * batch * positions, out);
    input = random.uniforms(batch * positions * in, -2, 2);
    sums = random.gaussians(n_outputs * batch, out * in + first_col + 2);
  }

  std::string name() const override {
    return text("add_weight_adjoint ", n_outputs, " outputs, ", batch, " x ", positions, " x ", in,
                " -> ", out, is_bias ? ", bias" : "");
  }

  Cost cost() const override {
    const double size = static_cast<double>(n_outputs * batch * out * in);
    return {2 * size * static_cast<double>(positions), 8 * size};
  }

  std::function<void()> prepare(Arrays& arrays) const override {
    const ConstMomentsView g = arrays.input(adjoint);
    const float* const a = is_bias ? nullptr : arrays.input(input);
    float* const mean = arrays.in_place(sums.mean);
    const ColumnsView to =
        MomentsView{mean, nullptr, sums.rows, sums.cols}.columns(first_col, out * in);
    return [=, this, &backend = arrays.backend()] {
      backend.add_weight_adjoint(a, in, g, n_outputs, to);
    };
  }

  std::vector<Expected> expected() const override {
    Expected result{"sums", 16, {}};
    const auto at = [](Index i) { return static_cast<std::size_t>(i); };
    for (Index row = 0; row < sums.rows; ++row) {
      for (Index col = 0; col < sums.cols; ++col) {
        const double before = sums.mean[at(row * sums.cols + col)];
        const Index w = col - first_col;
        if (w < 0 || w >= out * in) {
          result.values.push_back(exactly(before));
          continue;
        }
        Sum sum = sum_of({before});
        for (Index p = 0; p < positions; ++p) {
          const double a = is_bias ? 1 : input[at((row % batch * positions + p) * in + w % in)];
          sum.add(adjoint.mean[at((row * positions + p) * out + w / in)] * a);
        }
        result.values.push_back(sum);
      }
    }
    return {result};
  }

  static Operations cases() {
    Operations cases;
    const auto add_case = [&](Index n_outputs, Index batch, Index positions, Index out, Index in,
                              bool is_bias) {
      cases.push_back(
          std::make_unique<AddWeightAdjoint>(n_outputs, batch, positions, out, in, is_bias));
    };
    for (Index batch : {1, 5, 70}) {
      add_case(1, batch, 1, 1, 1, false);
      add_case(2, batch, 1, 33, 17, false);
      add_case(3, batch, 16, 5, 3, false);
      add_case(2, batch, 9, 7, 1, true);
      add_case(1, batch, 1, 64, 1, true);
    }
    return cases;
  }

  static Operations benchmarks() {
    Operations cases;
    cases.push_back(std::make_unique<AddWeightAdjoint>(2, 64, 4, 64, 64, false));
    return cases;
  }
};

}  // namespace tagix::conformance

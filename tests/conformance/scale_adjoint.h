#pragma once

#include "conformance/operation.h"
#include "conformance/random_inputs.h"

namespace tagix::conformance {

/// The adjoint below an elementwise function, by its slopes: mean_by_mean G + var_by_mean G_v by
/// the mean, mean_by_var G + var_by_var G_v by the variance; in place, or elsewhere, written or
/// added.
struct ScaleAdjoint final : Operation {
  enum class To { itself, other, sum };

  Index n_outputs;
  To to;
  std::vector<std::vector<float>> slopes;
  HostGaussians adjoint, before;

  ScaleAdjoint(Index n_outputs, Index batch, Index cols, To to) : n_outputs(n_outputs), to(to) {
    RandomInputs random(batch + 53 * cols);
    for (int i = 0; i < 4; ++i) slopes.push_back(random.uniforms(batch * cols, -1, 1));
    const Index rows = n_outputs * batch;
    adjoint = random.innovations(rows, cols);
    before = random.innovations(rows, cols);
  }

  std::string name() const override {
    constexpr const char* where[] = {"in place", "elsewhere", "added"};
    return text("scale_adjoint ", n_outputs, " outputs, ", adjoint.rows, " x ", adjoint.cols, ", ",
                where[static_cast<int>(to)]);
  }

  Cost cost() const override {
    const double size = static_cast<double>(adjoint.mean.size());
    return {6 * size, 4 * 4 * size + 4 * 4 * size / static_cast<double>(n_outputs)};
  }

  std::function<void()> prepare(Arrays& arrays) const override {
    const ConstSlopesView view{arrays.values(slopes[0]).data(), arrays.values(slopes[1]).data(),
                               arrays.values(slopes[2]).data(), arrays.values(slopes[3]).data()};
    const auto size = static_cast<Index>(slopes[0].size());
    const MomentsView below = arrays.in_place(to == To::itself ? adjoint : before);
    const ConstMomentsView from = to == To::itself ? below : arrays.input(adjoint);
    return [=, this, &backend = arrays.backend()] {
      backend.scale_adjoint(view, size, from, to == To::sum, below);
    };
  }

  std::vector<Expected> expected() const override {
    Expected mean{"mean", 4, {}}, var{"var", 4, {}};
    for (std::size_t i = 0; i < adjoint.mean.size(); ++i) {
      const std::size_t at = i % slopes[0].size();
      const double by_mean = adjoint.mean[i], by_var = adjoint.var[i];
      Sum new_mean, new_var;
      new_mean.add(slopes[0][at] * by_mean);
      new_mean.add(slopes[2][at] * by_var);
      new_var.add(slopes[1][at] * by_mean);
      new_var.add(slopes[3][at] * by_var);
      if (to == To::sum) {
        new_mean.add(before.mean[i]);
        new_var.add(before.var[i]);
      }
      mean.values.push_back(new_mean);
      var.values.push_back(new_var);
    }
    return {mean, var};
  }

  static Operations cases() {
    Operations cases;
    for (To to : {To::itself, To::other, To::sum}) {
      for (Index batch : {1, 7, 300}) {
        cases.push_back(std::make_unique<ScaleAdjoint>(1, batch, 1, to));
        cases.push_back(std::make_unique<ScaleAdjoint>(3, batch, 33, to));
      }
    }
    return cases;
  }

  static Operations benchmarks() {
    Operations cases;
    cases.push_back(std::make_unique<ScaleAdjoint>(2, 2048, 64, To::itself));
    return cases;
  }
};

}  // namespace tagix::conformance

#pragma once

#include "conformance/normalise.h"

namespace tagix::conformance {

/// Backend::normalise_backward: innovations of one batch, or adjoints of several outputs.
struct NormaliseBackward : Operation {
  Index rows;
  NormSets sets;
  Index n_outputs;  // 0: innovations
  bool add;
  HostGaussians output, delta, below;
  std::vector<float> scale;

  NormaliseBackward(Index n_rows, const NormSets& of, Index outputs, bool adds)
      : rows(n_rows), sets(of), n_outputs(outputs), add(adds) {
    RandomInputs random(n_rows + of.channels);
    output = random.gaussians(n_rows * of.positions, of.channels);
    if (n_outputs == 0) output.var.clear();
    const Index copies = std::max<Index>(1, n_outputs);
    delta = random.gaussians(copies * n_rows * of.positions, of.channels);
    below = random.gaussians(copies * n_rows * of.positions, of.channels);
    scale = random.uniforms(n_rows * of.per_row(), 0.5, 2);
  }

  std::string name() const override {
    return text("normalise_backward ", norm_name(rows, sets), ", ", n_outputs, " outputs",
                add ? ", added" : "");
  }
  Cost cost() const override {
    const auto size = static_cast<double>(delta.mean.size());
    return {10 * size, 4 * 5 * size};
  }

  std::function<void()> prepare(Arrays& arrays) const override {
    const float* const mean = arrays.input(output.mean);
    const ConstMomentsView y{mean, output.var.empty() ? nullptr : arrays.input(output.var),
                             output.rows, output.cols};
    const float* const r = arrays.input(scale);
    const ConstMomentsView from = arrays.input(delta);
    const MomentsView to = add ? arrays.in_place(below) : arrays.output(below.rows, below.cols);
    return [=, this, &backend = arrays.backend()] {
      backend.normalise_backward(y, r, sets, from, add, to);
    };
  }

  std::vector<Expected> expected() const override {
    Expected mean{"mean", 16, std::vector<Sum>(delta.mean.size())};
    Expected var{"var", 16, std::vector<Sum>(delta.mean.size())};
    const std::size_t size = output.mean.size();
    std::size_t number = 0;
    for (const std::vector<std::size_t>& elements :
         elements_of(sets, std::max<Index>(1, n_outputs) * rows)) {
      const double r = scale[number++ % scale.size()], n = static_cast<double>(elements.size());
      const auto y = [&](std::size_t i) { return double{output.mean[i % size]}; };
      const auto y_var = [&](std::size_t i) { return double{output.var[i % size]}; };
      Sum of_delta, product, by_var;
      for (std::size_t i : elements) {
        if (!sets.exact) continue;
        if (sets.centred) of_delta.add(delta.mean[i] / n);
        product.add(delta.mean[i] * y(i) / n);
        if (n_outputs > 0) by_var.add(delta.var[i] * y_var(i) / n);
      }
      for (std::size_t i : elements) {
        const double was = add ? double{below.mean[i]} : 0,
                     var_was = add ? double{below.var[i]} : 0;
        const double slope = product.value + 2 * by_var.value;
        mean.values[i] = {
            was + r * (delta.mean[i] - of_delta.value - y(i) * slope),
            std::fabs(was) + r * (std::fabs(delta.mean[i]) + of_delta.magnitude +
                                  std::fabs(y(i)) * (product.magnitude + 2 * by_var.magnitude))};
        const double sets_part = n_outputs > 0 ? by_var.value + product.value / 2 : 0;
        const double part_size = n_outputs > 0 ? by_var.magnitude + product.magnitude / 2 : 0;
        var.values[i] = {var_was + r * r * (delta.var[i] - sets_part),
                         std::fabs(var_was) + r * r * (std::fabs(delta.var[i]) + part_size)};
      }
    }
    return {mean, var};
  }

  static Operations cases() {
    Operations cases;
    for (const auto& [rows, sets] : norm_cases()) {
      for (Index n_outputs : {0, 1, 3}) {
        cases.push_back(std::make_unique<NormaliseBackward>(rows, sets, n_outputs,
                                                            n_outputs == 3 || rows == 2));
      }
    }
    return cases;
  }
  static Operations benchmarks() {
    Operations cases;
    cases.push_back(std::make_unique<NormaliseBackward>(
        64, NormSets{196, 64, 1, false, true, true, 1e-5f}, 0, false));
    return cases;
  }
};

}  // namespace tagix::conformance

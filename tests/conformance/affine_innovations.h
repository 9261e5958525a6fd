#pragma once

#include <algorithm>
#include <utility>

#include "conformance/operation.h"
#include "conformance/random_inputs.h"
#include "conformance/shapes.h"

namespace tagix::conformance {

/// An affine map as a batch has left it, on the host.
struct HostPass {
  AffineShape shape;
  bool has_bias;
  HostGaussians input, delta;
  Index weight = 0;  ///< where its weight begins among the parameters, and its bias
  Index bias = 0;
  bool add = false;
  bool again = false;  ///< whether its parameters are those of the map before it

  HostPass(AffineShape shape, bool known_input, bool has_bias) : shape(shape), has_bias(has_bias) {
    RandomInputs random(shape.rows + 41 * shape.in + 1009 * shape.out);
    input = random.gaussians(shape.rows, shape.in);
    if (known_input) input.var.clear();
    delta = random.innovations(shape.rows, shape.out);
  }

  AffinePass view(Arrays& arrays) const {
    AffinePass pass{arrays.input(input), arrays.input(delta), weight, std::nullopt, add};
    if (has_bias) pass.bias = bias;
    return pass;
  }

  /// Adds its innovations, to sums by parameter.
  void add_to(std::vector<Sum>& mean, std::vector<Sum>& var) const {
    const auto at = [](Index i) { return static_cast<std::size_t>(i); };
    for (Index row = 0; row < shape.rows; ++row) {
      for (Index o = 0; o < shape.out; ++o) {
        const double delta_mean = delta.mean[at(row * shape.out + o)];
        const double delta_var = delta.var[at(row * shape.out + o)];
        for (Index i = 0; i < shape.in; ++i) {
          const double a_mean = input.mean[at(row * shape.in + i)];
          mean[at(weight + o * shape.in + i)].add(delta_mean * a_mean);
          var[at(weight + o * shape.in + i)].add(delta_var * a_mean * a_mean);
        }
        if (!has_bias) continue;
        mean[at(bias + o)].add(delta_mean);
        var[at(bias + o)].add(delta_var);
      }
    }
  }
};

/// Lets weights and biases lie one after the other, with a gap before each, and gives the number of
/// parameters.
inline Index place(std::vector<HostPass>& passes) {
  constexpr Index gap = 3;
  Index end = 0;
  const auto take = [&end](Index size) { return std::exchange(end, end + gap + size) + gap; };
  for (std::size_t i = 0; i < passes.size(); ++i) {
    HostPass& pass = passes[i];
    if (pass.again) {
      pass.weight = passes[i - 1].weight;
      pass.bias = passes[i - 1].bias;
      continue;
    }
    pass.weight = take(pass.shape.in * pass.shape.out);
    pass.bias = take(pass.has_bias ? pass.shape.out : 0);
  }
  return end + gap;
}

/// Innovations of the parameters of maps z = a W^T + b, summed over the batch; a bias counts as the
/// weight of an input of 1:
///
///   delta_mean(W) = sum_b delta_mean(z) a_mean,   delta_var(W) = sum_b delta_var(z) a_mean^2
///
/// What belongs to no map must stay. The biases, whose sums round no factors in any precision, are
/// compared once more by themselves.
struct AffineInnovations final : Operation {
  std::vector<HostPass> passes;
  HostGaussians before;

  explicit AffineInnovations(std::vector<HostPass> maps) : passes(std::move(maps)) {
    const Index size = place(passes);
    before = RandomInputs(size).innovations(1, size);
  }

  /// Of one map. Equal deltas are what a network that is sure of nothing gives; their roundings add
  /// up.
  AffineInnovations(AffineShape shape, bool known_input, bool has_bias, bool equal_deltas = false)
      : AffineInnovations({HostPass(shape, known_input, has_bias)}) {
    if (!equal_deltas) return;
    HostGaussians& delta = passes[0].delta;
    std::fill(delta.mean.begin(), delta.mean.end(), 0.3f);
    std::fill(delta.var.begin(), delta.var.end(), -0.7f);
  }

  std::string name() const override {
    std::string name = "affine_innovations";
    for (const HostPass& pass : passes) {
      const AffineShape& shape = pass.shape;
      const bool equal = shape.rows > 1 && pass.delta.mean.front() == pass.delta.mean.back();
      name += text(&pass == &passes[0] ? " " : "; ", shape.rows, " x ", shape.in, " -> ", shape.out,
                   pass.input.var.empty() ? ", known input" : "", pass.has_bias ? ", bias" : "",
                   equal ? ", equal deltas" : "", pass.add ? ", added" : "");
    }
    return name;
  }

  Cost cost() const override {
    Cost cost{0, 0};
    for (const HostPass& pass : passes) {
      const double rows = static_cast<double>(pass.shape.rows),
                   in = static_cast<double>(pass.shape.in),
                   out = static_cast<double>(pass.shape.out);
      cost.flops += 4 * rows * in * out + (pass.has_bias ? 2 * rows * out : 0);
      cost.bytes += 4 * (rows * in + 2 * rows * out + 2 * in * out);
    }
    return cost;
  }

  std::function<void()> prepare(Arrays& arrays) const override {
    Backend& backend = arrays.backend();
    std::vector<AffinePass> views;
    for (const HostPass& pass : passes) views.push_back(pass.view(arrays));
    const MomentsView innovation = arrays.in_place(before);
    std::vector<std::pair<MomentsView, MomentsView>> biases;
    for (const HostPass& pass : passes) {
      if (!pass.has_bias) continue;
      biases.emplace_back(innovation.slice(pass.bias, 1, pass.shape.out),
                          arrays.output(1, pass.shape.out));
    }
    float* const scratch =
        arrays
            .values(std::vector<float>(static_cast<std::size_t>(backend.innovation_scratch(views))))
            .data();
    return [=, &backend] {
      backend.affine_innovations(views, innovation, scratch);
      for (const auto& [from, to] : biases) backend.copy(from, to);
    };
  }

  std::vector<Expected> expected() const override {
    Expected mean{"delta_mean", 64, {}, Expected::Terms::mean_products};
    Expected var{"delta_var", 64, {}, Expected::Terms::var_products};
    for (std::size_t i = 0; i < before.mean.size(); ++i) {
      mean.values.push_back(exactly(before.mean[i]));
      var.values.push_back(exactly(before.var[i]));
    }
    for (const HostPass& pass : passes) {
      // What is added to counts among the terms, whatever has cancelled in it so far.
      const auto begin = [&](Sum& sum) {
        if (!pass.add) sum = Sum{};
        if (sum.magnitude == 0) sum = sum_of({sum.value});
      };
      const auto start = [&](Index first, Index size) {
        for (auto i = static_cast<std::size_t>(first); size > 0; ++i, --size) {
          begin(mean.values[i]);
          begin(var.values[i]);
        }
      };
      start(pass.weight, pass.shape.in * pass.shape.out);
      if (pass.has_bias) start(pass.bias, pass.shape.out);
      pass.add_to(mean.values, var.values);
    }
    std::vector<Expected> expected{mean, var};
    for (const HostPass& pass : passes) {
      if (!pass.has_bias) continue;
      const auto part = [&](const char* name, const Expected& all) {
        const auto first = all.values.begin() + pass.bias;
        expected.push_back({name, 64, {first, first + pass.shape.out}});
      };
      part("bias delta_mean", mean);
      part("bias delta_var", var);
    }
    return expected;
  }

  static Operations cases() {
    Operations cases;
    int variant = 0;
    for (const AffineShape& shape : affine_shapes()) {
      ++variant;
      cases.push_back(
          std::make_unique<AffineInnovations>(shape, variant % 3 == 0, variant % 2 == 0));
    }
    // So many samples that the pieces of a batch are no longer 256.
    cases.push_back(std::make_unique<AffineInnovations>(AffineShape{20000, 3, 5}, true, true));
    for (Index rows : {2048, 20000}) {
      cases.push_back(
          std::make_unique<AffineInnovations>(AffineShape{rows, 3, 5}, true, true, true));
    }
    // Several maps, of which some add: to what was there, or to what one before has given. More of
    // them than a kernel takes at a time.
    for (Index rows : {1, 70, 300}) {
      std::vector<HostPass> passes{{{rows, 3, 66}, true, true},
                                   {{rows, 66, 64}, false, true},
                                   {{rows, 64, 70}, false, false},
                                   {{rows, 1, 1}, false, true}};
      for (Index i = 0; i < 16; ++i) passes.push_back({{rows, 2 + i, 1 + i}, i % 2 == 0, i < 9});
      cases.push_back(std::make_unique<AffineInnovations>(passes));
      passes[1].add = passes[2].add = passes[6].add = true;
      cases.push_back(std::make_unique<AffineInnovations>(passes));
      HostPass again({rows, 66, 64}, true, true);
      again.add = again.again = true;
      passes.insert(passes.begin() + 2, {again, again});
      cases.push_back(std::make_unique<AffineInnovations>(passes));
    }
    return cases;
  }

  static Operations benchmarks() {
    Operations cases;
    for (const AffineShape& shape :
         {AffineShape{2048, 3, 64}, {2048, 64, 64}, {2048, 64, 2}, {1024, 512, 512}, {1, 64, 64}}) {
      cases.push_back(std::make_unique<AffineInnovations>(shape, false, true));
    }
    return cases;
  }
};

}  // namespace tagix::conformance

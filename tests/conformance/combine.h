#pragma once

#include "conformance/operation.h"
#include "conformance/random_inputs.h"

namespace tagix::conformance {

/// output = first_weight first + second_weight second, also in place of the first.
struct Combine final : Operation {
  float first_weight, second_weight;
  bool in_place;
  std::vector<float> first, second;

  Combine(Index size, float first_weight, float second_weight, bool in_place)
      : first_weight(first_weight), second_weight(second_weight), in_place(in_place) {
    RandomInputs random(size);
    first = random.uniforms(size, -2, 2);
    second = random.uniforms(size, -2, 2);
  }

  std::string name() const override {
    return text("combine ", first.size(), in_place ? ", in place" : "");
  }

  Cost cost() const override {
    const double size = static_cast<double>(first.size());
    return {3 * size, 4 * 3 * size};
  }

  std::function<void()> prepare(Arrays& arrays) const override {
    const Index size = static_cast<Index>(first.size());
    float* result = in_place ? arrays.in_place(first) : arrays.output(size);
    const float* a = in_place ? result : arrays.input(first);
    const float* b = arrays.input(second);
    return [=, this, &backend = arrays.backend()] {
      backend.combine(a, first_weight, b, second_weight, size, result);
    };
  }

  std::vector<Expected> expected() const override {
    Expected output{"output", 3, {}};
    for (std::size_t i = 0; i < first.size(); ++i) {
      output.values.push_back(
          sum_of({double{first_weight} * first[i], double{second_weight} * second[i]}));
    }
    return {output};
  }

  static Operations cases() {
    Operations cases;
    for (Index size : {1, 3, 15, 16, 17, 255, 257, 4096, 10001}) {
      cases.push_back(std::make_unique<Combine>(size, 3.5f, -2.5f, false));
      cases.push_back(std::make_unique<Combine>(size, 0.25f, 0.75f, true));
    }
    return cases;
  }

  static Operations benchmarks() {
    Operations cases;
    cases.push_back(std::make_unique<Combine>(20000, 3.5f, -2.5f, false));
    return cases;
  }
};

}  // namespace tagix::conformance

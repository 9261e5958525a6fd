#pragma once

#include "core/noise.h"
#include "graph/graph.h"

namespace tagix {

/// The graph with a noise head on the affine map that gives its output: outputs 0 .. n - 1 are the
/// values, n .. 2 n - 1 say how noisy their targets are (math/inferred_noise.h). The head's
/// parameters stand behind the values', as "2.noise_weight" behind "2.weight".
///
/// Where the noise follows the input, the head's priors are those of the values times the gain, and
/// the means of its biases start at 0: a noise variance of about 1. Where it does not, the head is
/// a bias alone, whose prior standard deviation is 1 and whose mean gives the noise variance std^2.
///
/// Residuals seem to be noise as long as the values are not learned. A bias, whose variance falls
/// as 2 / (targets seen), would soon no longer move; so it is a slow random walk, whose variance is
/// at least 0.01: it remembers about 200 targets, which leave 5 % in the noise's standard
/// deviation.
///
/// Throws std::invalid_argument unless the output is that of an nn.Linear whose parameters nothing
/// else uses, and unless there are as many standard deviations as outputs, or one.
Graph with_noise_head(Graph graph, const LearnedNoise& noise);

}  // namespace tagix

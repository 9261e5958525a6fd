#pragma once

namespace tagix {

/// What the factors of matrix products are rounded to. Parameters, activations, innovations and all
/// sums are float32 in any case.
///   float32    nothing is rounded
///   mixed      factors of variances are rounded to bfloat16, factors of means are not
///   bfloat16   all factors are rounded to bfloat16
enum class Precision { float32, mixed, bfloat16 };

/// Its name, "float32", "mixed" or "bfloat16".
const char* precision_name(Precision precision);

}  // namespace tagix

#include "core/precision.h"

#include "core/require.h"

namespace tagix {

const char* precision_name(Precision precision) {
  switch (precision) {
    case Precision::float32:
      return "float32";
    case Precision::mixed:
      return "mixed";
    case Precision::bfloat16:
      return "bfloat16";
  }
  return "";
}

Precision precision_from(const std::string& name) {
  for (Precision precision : {Precision::float32, Precision::mixed, Precision::bfloat16}) {
    if (name == precision_name(precision)) return precision;
  }
  throw std::invalid_argument(
      text("precision: got '", name, "', needed 'float32', 'mixed' or 'bfloat16'"));
}

}  // namespace tagix

#include "core/precision.h"

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

}  // namespace tagix

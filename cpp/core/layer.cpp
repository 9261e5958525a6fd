#include "core/layer.h"

namespace tagix {

Index ParameterSpec::size() const {
  Index size = 1;
  for (Index extent : shape) size *= extent;
  return size;
}

Index Layer::parameter_count() const {
  Index count = 0;
  for (const ParameterSpec& parameter : parameters()) count += parameter.size();
  return count;
}

}  // namespace tagix

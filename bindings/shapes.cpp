#include "shapes.h"

#include "core/require.h"

namespace tagix::python {

Shape to_shape(const std::vector<Index>& extents) {
  constexpr Index most = Index{1} << 31;
  require(!extents.empty(), "inputs: got the shape (), needed (features,) or (channels, ...)");
  Index size = 1;
  for (const Index extent : extents) {
    require(extent >= 1 && extent <= most && size <= most / extent, "inputs: got an extent of ",
            extent, ", needed numbers from 1 on whose product is at most ", most);
    size *= extent;
  }
  return {{extents.begin() + 1, extents.end()}, extents[0]};
}

py::tuple to_tuple(const Shape& shape) {
  std::vector<Index> extents{shape.channels};
  extents.insert(extents.end(), shape.grid.begin(), shape.grid.end());
  return py::tuple(py::cast(extents));
}

}  // namespace tagix::python

#include "cpu/threads.h"

#include <limits>

#include "arguments.h"
#include "bindings.h"

namespace tagix::python {

void bind_threads(py::module_& m) {
  m.def(
      "set_num_threads",
      [](const Argument<Index>& n) {
        // Beyond int the core would see another number.
        constexpr Index most = std::numeric_limits<int>::max();
        const Index count = n.as("n");
        require(count <= most, "n: got ", count, ", needed at most ", most);
        const py::gil_scoped_release release;
        cpu::set_thread_count(static_cast<int>(count));
      },
      py::arg("n"),
      R"(Set how many threads a call may use, the calling one included.

Holds for the whole process, from the next call on; results do not depend on it. Raises ValueError
for less than 1, TypeError for anything but an integer; the number is then as it was.)");
  m.def("get_num_threads", &cpu::thread_count,
        "How many threads a call may use; at first, the processors this process may run on.");
}

}  // namespace tagix::python

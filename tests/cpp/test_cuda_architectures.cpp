#include <doctest/doctest.h>

#include <vector>

#include "cuda/architectures.h"

using namespace tagix::cuda;

TEST_CASE("the code in a build is read from a list of architectures as CMake has it") {
  const Architectures both = parse_architectures("75-virtual,80,90a-real");
  CHECK(both.machine_code == std::vector{80, 90});
  CHECK(both.ptx == std::vector{75, 80});
  CHECK(parse_architectures("").empty());
  CHECK(parse_architectures("all-major").empty());
}

TEST_CASE("a GPU runs machine code of its generation, else PTX, that is not newer than it") {
  const Architectures portable = parse_architectures("75-virtual,80");
  CHECK(code_for(portable, 70) == 0);
  CHECK(code_for(portable, 75) == 75);
  CHECK(code_for(portable, 80) == 80);
  CHECK(code_for(portable, 89) == 80);
  CHECK(code_for(portable, 90) == 80);
  CHECK(code_for(portable, 121) == 80);

  const Architectures native = parse_architectures("86-real");
  CHECK(code_for(native, 80) == 0);
  CHECK(code_for(native, 86) == 86);
  CHECK(code_for(native, 89) == 86);
  CHECK(code_for(native, 90) == 0);

  const Architectures all = parse_architectures("75-real,80-real,90-real,100-real,120");
  CHECK(code_for(all, 86) == 80);
  CHECK(code_for(all, 90) == 90);
  CHECK(code_for(all, 103) == 100);
  CHECK(code_for(all, 110) == 0);
  CHECK(code_for(all, 121) == 120);
  CHECK(code_for(all, 130) == 120);

  CHECK(code_for(Architectures{}, 89) == 89);
}

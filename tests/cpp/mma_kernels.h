#pragma once

#include "core/index.h"

// Kernels for tests of cuda/mma.h, on device memory and the calling thread's stream.

namespace tagix::test {

/// Rows and columns of the products: two parts each.
constexpr int mma_rows = 32, mma_columns = 16;

/// c += a b, rounded by to_tf32 and multiplied by MmaTf32: a is 32 x 8, b is 8 x 16.
void multiply_tf32(const float* a, const float* b, float* c);

/// The same by to_bf16x2 and MmaBf16: a is 32 x 16, b is 16 x 16.
void multiply_bf16(const float* a, const float* b, float* c);

/// The bits of to_tf32(x), and those of to_bf16x2(x, -x).
void convert(const float* x, Index count, unsigned* tf32, unsigned* bf16);

}  // namespace tagix::test

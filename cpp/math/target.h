#pragma once

// What differs between the compilers that see the formulas: g++ once per instruction set, and nvcc.
// Everything is inlined, so that no instruction set's copy of a function can be linked into
// another's code.

#ifdef __CUDACC__
#define TAGIX_HD __host__ __device__
#define TAGIX_INLINE __forceinline__
// After the parameters of a lambda.
#define TAGIX_INLINE_LAMBDA
// Before a template whose argument may be a function of the host or of the device.
#define TAGIX_ANY_CALLABLE _Pragma("nv_exec_check_disable")
// Before a loop of n turns that would wait for each other: it is unrolled. nvcc does so by itself.
#define TAGIX_UNROLL(n)
#else
#define TAGIX_HD
#define TAGIX_INLINE inline __attribute__((always_inline))
#define TAGIX_INLINE_LAMBDA __attribute__((always_inline))
#define TAGIX_ANY_CALLABLE
#define TAGIX_PRAGMA(text) _Pragma(#text)
#define TAGIX_UNROLL(n) TAGIX_PRAGMA(GCC unroll n)
#endif

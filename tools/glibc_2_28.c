/* What the C++ library and its headers take from glibcs newer than 2.28, for tools/build_wheel.sh:
   linked into the extension, so that it needs no newer one. */
#include <stdlib.h>
#include <sys/random.h>

/* glibc 2.32: whether the process has one thread. Where it is 0, nothing skips an atomic. */
__attribute__((visibility("hidden"))) char __libc_single_threaded = 0;

/* glibc 2.36: random bits, for std::random_device. */
__attribute__((visibility("hidden"))) unsigned int arc4random(void) {
  unsigned int bits;
  if (getrandom(&bits, sizeof bits, 0) != sizeof bits) abort();
  return bits;
}

/* Before glibc 2.34 each shared object had its own, which runs what it is given at dlclose. */
extern void* __dso_handle;
extern int __cxa_atexit(void (*function)(void*), void* argument, void* dso);
__attribute__((visibility("hidden"))) int atexit(void (*function)(void)) {
  return __cxa_atexit((void (*)(void*))function, NULL, __dso_handle);
}

#pragma once

#include <cstdint>

namespace tagix::cpu {

/// While one exists, this thread treats denormal numbers as 0, as operands and as results; the
/// destructor restores the mode. It does nothing on processors without such a mode.
///
/// Trained networks are full of them: of a unit that hardly ever fires, the mean and the Jacobian
/// are small, and their squares enter the products. Many processors work on them in microcode, at
/// tens of cycles or more an instruction.
class DenormalsAsZero {
 public:
  DenormalsAsZero() : before_(read()) {
    if ((before_ & mode) != mode) write(before_ | mode);
  }
  DenormalsAsZero(const DenormalsAsZero&) = delete;
  DenormalsAsZero& operator=(const DenormalsAsZero&) = delete;
  ~DenormalsAsZero() {
    if ((before_ & mode) != mode) write(before_);
  }

 private:
  // The compiler takes no load or store across these, so no computation on memory either.
#if defined(__x86_64__)
  using Control = std::uint32_t;
  static constexpr Control mode = 0x8040;  // of results (FTZ) and of operands (DAZ) in MXCSR
  static Control read() {
    Control control;
    asm volatile("stmxcsr %0" : "=m"(control) : : "memory");
    return control;
  }
  static void write(Control control) { asm volatile("ldmxcsr %0" : : "m"(control) : "memory"); }
#elif defined(__aarch64__)
  using Control = std::uint64_t;
  static constexpr Control mode = std::uint64_t{1} << 24;  // FZ in FPCR, of both
  static Control read() {
    Control control;
    asm volatile("mrs %0, fpcr" : "=r"(control) : : "memory");
    return control;
  }
  static void write(Control control) { asm volatile("msr fpcr, %0" : : "r"(control) : "memory"); }
#else
  using Control = std::uint32_t;
  static constexpr Control mode = 0;
  static Control read() { return 0; }
  static void write(Control) {}
#endif

  Control before_;
};

}  // namespace tagix::cpu

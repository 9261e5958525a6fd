#include "grid_faults.h"

#include <cstring>
#include <map>
#include <ostream>
#include <sstream>
#include <utility>

namespace tagix_emulator {
namespace {

void write(std::ostream& out, const char* name, const Where& where) {
  out << name << " (" << where.file_name() << ":" << where.line() << ")";
}

void write(std::ostream& out, const Thread& thread) {
  const uint3 b = thread.block->index, t = indices[thread.index];
  out << "thread (" << t.x << ", " << t.y << ", " << t.z << ") of block (" << b.x << ", " << b.y
      << ", " << b.z << ")";
}

}  // namespace

bool same(const Where& a, const Where& b) {
  return a.line() == b.line() && a.column() == b.column() &&
         (a.file_name() == b.file_name() || std::strcmp(a.file_name(), b.file_name()) == 0);
}

void set_fault(const Thread& thread, const char* name, const Where& where, const char* what) {
  std::ostringstream out;
  write(out, name, where);
  out << " in ";
  write(out, thread);
  out << ": " << what;
  fault_text = out.str();
}

void set_mismatch(const Thread& a, const Thread& b) {
  std::ostringstream out;
  out << "threads that should meet wait in different places: ";
  write(out, a);
  out << " at ";
  write(out, a.name, a.where);
  if (a.mask != b.mask) out << " with mask " << std::hex << a.mask << std::dec;
  out << ", ";
  write(out, b);
  out << " at ";
  write(out, b.name, b.where);
  if (a.mask != b.mask) out << " with mask " << std::hex << b.mask << std::dec;
  fault_text = out.str();
}

std::string describe_deadlock() {
  std::map<std::string, std::pair<unsigned, const Thread*>> groups;
  for (const Thread& thread : threads) {
    std::ostringstream out;
    if (thread.state == State::ended) {
      out << "ended";
    } else {
      out << "waiting at ";
      write(out, thread.name, thread.where);
    }
    auto& group = groups[out.str()];
    ++group.first;
    if (group.second == nullptr) group.second = &thread;
  }
  std::ostringstream out;
  out << "a barrier or warp collective that not all threads reach:";
  for (const auto& [what, group] : groups) {
    out << (what == groups.begin()->first ? " " : "; ") << group.first << " " << what
        << " (such as ";
    write(out, *group.second);
    out << ")";
  }
  return out.str();
}

}  // namespace tagix_emulator

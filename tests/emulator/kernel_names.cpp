#include "kernel_names.h"

#include <cxxabi.h>
#include <dlfcn.h>
#include <elf.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>

#include "device_state.h"

namespace tagix_emulator {
namespace {

/// The name of the function in the program's own symbol table, which has local functions too.
std::string symbol_at(const void* address) {
  Dl_info info{};
  if (dladdr(address, &info) == 0) return {};
  std::string name;
  if (info.dli_sname != nullptr && info.dli_saddr == address) {
    name = info.dli_sname;
  } else {
    std::ifstream file(info.dli_fname, std::ios::binary);
    const std::string image{std::istreambuf_iterator<char>(file), {}};
    const auto read = [&](Bytes offset, auto& value) {
      if (offset + sizeof(value) > image.size()) return false;
      std::memcpy(&value, image.data() + offset, sizeof(value));
      return true;
    };
    Elf64_Ehdr header{};
    if (!read(0, header) || std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) return {};
    const std::uintptr_t base = header.e_type == ET_EXEC ? 0 : address_of(info.dli_fbase);
    for (unsigned i = 0; i < header.e_shnum; ++i) {
      Elf64_Shdr table{}, strings{};
      if (!read(header.e_shoff + i * sizeof(table), table) || table.sh_type != SHT_SYMTAB) continue;
      if (!read(header.e_shoff + table.sh_link * sizeof(strings), strings)) continue;
      Elf64_Sym symbol{};
      for (Bytes at = 0; at < table.sh_size; at += sizeof(symbol)) {
        if (!read(table.sh_offset + at, symbol)) break;
        const Bytes name_at = strings.sh_offset + symbol.st_name;
        if (symbol.st_value == address_of(address) - base && name_at < image.size()) {
          name = image.data() + name_at;
        }
      }
    }
  }
  int status = 0;
  const std::unique_ptr<char, void (*)(void*)> readable(
      abi::__cxa_demangle(name.c_str(), nullptr, nullptr, &status), std::free);
  return readable != nullptr ? readable.get() : name;
}

}  // namespace

std::string name_of(const Launch& launch) {
  std::string name = symbol_at(launch.kernel);
  return name.empty() ? launch.signature : name;
}

}  // namespace tagix_emulator

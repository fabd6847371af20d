#include "tests/gpusim/runtime/fatbinary.h"

#include <fmt/format.h>

#include <cstring>

namespace gpusim {
namespace {

constexpr std::uint32_t kWrapperMagic = 0x466243b1;
constexpr std::uint32_t kContainerMagic = 0xba55ed50;

struct Wrapper {
  std::uint32_t magic, version;  // version 2: device code linked separately (-rdc=true)
  const std::byte* container;
  const void* names;
};

struct ContainerHeader {
  std::uint32_t magic;
  std::uint16_t version, header_bytes;
  std::uint64_t bytes;  // of all entries
};

struct EntryHeader {
  std::uint16_t kind, version;
  std::uint32_t header_bytes;
  std::uint64_t payload_bytes;
  std::uint32_t compressed_bytes;  // 0: as it is
  std::uint32_t unknown[2];
  std::uint32_t architecture;
};

template <class T>
T read(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof(value));
  return value;
}

constexpr const char* kHowToBuild =
    "build it with --no-compress -gencode arch=compute_90,code=compute_90";

}  // namespace

std::vector<FatBinaryEntry> read_fat_binary(const void* wrapper, std::string* error) {
  const auto outer = read<Wrapper>(static_cast<const std::byte*>(wrapper));
  if (outer.magic != kWrapperMagic || outer.version != 1) {
    *error = fmt::format(
        "fat binary wrapper with magic {:#x} and version {} instead of {:#x} and 1: device code "
        "linked separately (-rdc=true)?",
        outer.magic, outer.version, kWrapperMagic);
    return {};
  }
  const auto header = read<ContainerHeader>(outer.container);
  if (header.magic != kContainerMagic || header.header_bytes != sizeof(ContainerHeader)) {
    *error =
        fmt::format("fat binary with magic {:#x} instead of {:#x}", header.magic, kContainerMagic);
    return {};
  }
  std::vector<FatBinaryEntry> entries;
  std::uint64_t at = header.header_bytes;
  const std::uint64_t end = at + header.bytes;
  while (at + sizeof(EntryHeader) <= end) {
    const auto entry = read<EntryHeader>(outer.container + at);
    if (entry.header_bytes < sizeof(EntryHeader) || entry.header_bytes > end - at ||
        entry.payload_bytes > end - at - entry.header_bytes) {
      *error = fmt::format("fat binary entry {} of an unknown layout", entries.size());
      return {};
    }
    entries.push_back(
        {static_cast<FatBinaryEntry::Kind>(entry.kind), entry.compressed_bytes != 0,
         static_cast<int>(entry.architecture),
         std::string_view(reinterpret_cast<const char*>(outer.container + at + entry.header_bytes),
                          entry.payload_bytes)});
    at += entry.header_bytes + entry.payload_bytes;
  }
  return entries;
}

std::string_view choose_ptx(const std::vector<FatBinaryEntry>& entries, int architecture,
                            std::string* error) {
  const FatBinaryEntry* best = nullptr;
  std::string found;
  for (const FatBinaryEntry& entry : entries) {
    const bool ptx = entry.kind == FatBinaryEntry::Kind::kPtx;
    found.append(fmt::format("{}{}{}_{}", found.empty() ? "" : ", ",
                             entry.compressed ? "compressed " : "",
                             ptx ? "PTX for compute" : "machine code for sm", entry.architecture));
    if (ptx && !entry.compressed && entry.architecture <= architecture &&
        (best == nullptr || entry.architecture > best->architecture))
      best = &entry;
  }
  if (best == nullptr) {
    *error = fmt::format("the program holds {}, but no plain PTX that compute_{} can run; {}",
                         found.empty() ? "no device code" : found, architecture, kHowToBuild);
    return {};
  }
  return best->payload.substr(0, best->payload.find('\0'));
}

}  // namespace gpusim

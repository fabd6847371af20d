#include <cstdio>

#include "tests/gpusim/ptx/failure.h"
#include "tests/gpusim/ptx/machine.h"

namespace gpusim {
namespace {

std::string text_of(Dim3 at) {
  char buffer[48];
  std::snprintf(buffer, sizeof buffer, "(%u,%u,%u)", at.x, at.y, at.z);
  return buffer;
}

double ratio(std::uint64_t part, std::uint64_t whole, double if_none) {
  return whole == 0 ? if_none : static_cast<double>(part) / static_cast<double>(whole);
}

}  // namespace

std::string hex(std::uint64_t value) {
  char buffer[24];
  std::snprintf(buffer, sizeof buffer, "0x%llx", static_cast<unsigned long long>(value));
  return buffer;
}

std::string_view name(Fault fault) {
  switch (fault) {
    case Fault::kRace:
      return "race";
    case Fault::kOutOfBounds:
      return "out_of_bounds";
    case Fault::kUninitialised:
      return "uninitialised";
    case Fault::kMisaligned:
      return "misaligned";
    case Fault::kWrongDevice:
      return "wrong_device";
    case Fault::kBarrierDivergence:
      return "barrier_divergence";
    case Fault::kWarpMask:
      return "warp_mask";
    case Fault::kMissingWait:
      return "missing_wait";
    case Fault::kDeadlock:
      return "deadlock";
    case Fault::kStepLimit:
      return "step_limit";
    case Fault::kTrap:
      return "trap";
    case Fault::kUnsupported:
      return "unsupported";
    case Fault::kBadLaunch:
      return "bad_launch";
  }
  return "unknown";
}

std::string Report::text() const {
  std::string out(name(fault));
  out.append(": ").append(what).append(" | kernel ").append(kernel);
  if (line > 0) out.append(", ").append(file).append(":").append(std::to_string(line));
  if (instruction.empty()) return out;
  out.append(", block ").append(text_of(block)).append(", thread ").append(text_of(thread));
  out.append(" | ").append(instruction);
  return out;
}

Counts& Counts::operator+=(const Counts& other) {
  warp_instructions += other.warp_instructions;
  lane_instructions += other.lane_instructions;
  wide_conversions += other.wide_conversions;
  global_requests += other.global_requests;
  global_sectors += other.global_sectors;
  global_bytes += other.global_bytes;
  uniform_requests += other.uniform_requests;
  uniform_bytes += other.uniform_bytes;
  shared_requests += other.shared_requests;
  shared_cycles += other.shared_cycles;
  shared_ideal_cycles += other.shared_ideal_cycles;
  barriers += other.barriers;
  warp_operations += other.warp_operations;
  atomics += other.atomics;
  return *this;
}

double Counts::lanes_active() const { return ratio(lane_instructions, 32 * warp_instructions, 1); }
double Counts::sectors_per_request() const { return ratio(global_sectors, global_requests, 0); }
double Counts::sector_use() const {
  return ratio(global_bytes - uniform_bytes, 32 * (global_sectors - uniform_requests), 1);
}
double Counts::bank_conflicts() const { return ratio(shared_cycles, shared_ideal_cycles, 1); }

}  // namespace gpusim

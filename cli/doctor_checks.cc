#include "cli/doctor_checks.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace muster::cli {
namespace {

constexpr std::uint64_t kSpareDescriptors = 64;
constexpr std::uint64_t kKeyMemory = 64 * 1024;
constexpr double kSlowSyncMs = 20, kHopelessSyncMs = 500;
/// 2025-01-01: no build of Muster is older.
constexpr std::int64_t kEarliestMs = 1'735'689'600'000;

std::string text_of(const DoctorFacts& facts, const char* key, const std::string& otherwise = {}) {
  const auto found = facts.config.find(key);
  return found == facts.config.end() ? otherwise : found->second;
}

std::uint64_t number_of(const DoctorFacts& facts, const char* key, std::uint64_t otherwise) {
  const std::string text = text_of(facts, key);
  std::uint64_t value = otherwise;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

double mib(std::uint64_t bytes) { return static_cast<double>(bytes) / (1 << 20); }

CheckResult pass(std::string what) { return {"", Finding::kPass, std::move(what), ""}; }
CheckResult warn(std::string what, std::string remedy) {
  return {"", Finding::kWarn, std::move(what), std::move(remedy)};
}
CheckResult fail(std::string what, std::string remedy) {
  return {"", Finding::kFail, std::move(what), std::move(remedy)};
}

CheckResult check_config(const DoctorFacts& facts) {
  if (facts.config_exit == 0) return pass("the configuration is sound");
  return fail(facts.config_text, "mend the places it names: muster check-config FILE");
}

CheckResult check_descriptors(const DoctorFacts& facts) {
  const std::uint64_t needed =
      number_of(facts, "ingest.max_connections", 16'384) + kSpareDescriptors;
  if (facts.descriptors >= needed)
    return pass(fmt::format("{} descriptors, {} needed", facts.descriptors, needed));
  return fail(
      fmt::format("{} descriptors, but ingest.max_connections needs {}", facts.descriptors, needed),
      "raise LimitNOFILE of the service (ulimit -Hn), or lower ingest.max_connections");
}

CheckResult check_memlock(const DoctorFacts& facts) {
  const std::string kind = text_of(facts, "backend.kind", "auto");
  const bool pins = kind == "cuda" || (kind == "auto" && facts.gpu_there && facts.plugin_there);
  const std::uint64_t needed = kKeyMemory + (pins ? number_of(facts, "ingest.slab", 64u << 20) : 0);
  if (facts.memlock_bytes >= needed)
    return pass(fmt::format("{:.1f} MiB may be locked into memory, {:.1f} needed",
                            std::min(mib(facts.memlock_bytes), 1e9), mib(needed)));
  return warn(
      fmt::format("{:.2f} MiB may be locked into memory, {:.2f} needed{}", mib(facts.memlock_bytes),
                  mib(needed), pins ? " for keys and page-locked slots" : " for keys"),
      "raise LimitMEMLOCK of the service (ulimit -Hl)");
}

CheckResult check_space(const DoctorFacts& facts) {
  if (!facts.free_bytes)
    return fail("free space is unknown: " + facts.disk_problem,
                "make data_dir a folder that musterd's user may write to");
  const std::uint64_t low = number_of(facts, "spool.low_water", 512u << 20);
  const std::uint64_t segment = number_of(facts, "spool.segment", 256u << 20);
  if (*facts.free_bytes < low + segment)
    return fail(fmt::format("{:.0f} MiB free; below {:.0f} MiB devices are put off",
                            mib(*facts.free_bytes), mib(low + segment)),
                "free space, or put data_dir on a larger disk");
  if (*facts.free_bytes < low + 8 * segment)
    return warn(fmt::format("{:.0f} MiB free: room for fewer than 8 segments of {:.0f} MiB",
                            mib(*facts.free_bytes), mib(segment)),
                "give the spool more room before large rounds");
  return pass(fmt::format("{:.0f} MiB free", mib(*facts.free_bytes)));
}

CheckResult check_sync(const DoctorFacts& facts) {
  if (!facts.sync_ms)
    return fail("the disk could not be tried: " + facts.disk_problem,
                "make data_dir a folder that musterd's user may write to");
  const std::string what = fmt::format("writing and syncing 1 MiB takes {:.1f} ms", *facts.sync_ms);
  if (*facts.sync_ms > kHopelessSyncMs)
    return fail(what, "use a local disk with a write cache that survives power loss");
  if (*facts.sync_ms > kSlowSyncMs)
    return warn(what, "receipts wait for syncs: a faster disk makes them quicker");
  return pass(what);
}

CheckResult check_clock(const DoctorFacts& facts) {
  if (facts.wall_ms < kEarliestMs)
    return fail("the clock is before 2025",
                "set the clock; run a time service (chrony, timesyncd)");
  if (!facts.clock_synchronised)
    return warn("the kernel says that nothing keeps the clock right",
                "run a time service (chrony, timesyncd); in a container the host does");
  return pass("the clock is synchronised");
}

CheckResult check_gpu(const DoctorFacts& facts) {
  const std::string kind = text_of(facts, "backend.kind", "auto");
  if (kind == "cpu") return pass("the configuration asks for the CPU");
  const std::string problem =
      !facts.plugin_there ? "libmuster_cuda.so is not beside musterd" : facts.gpu_problem;
  if (problem.empty()) return pass("a GPU and its driver can be used");
  if (kind == "cuda")
    return fail("backend.kind is \"cuda\": " + problem,
                "install driver and plug-in, or set backend.kind = \"auto\"");
  if (facts.gpu_there)
    return warn("there is a GPU, but the CPU will serve: " + problem,
                "install driver and plug-in, or set backend.kind = \"cpu\"");
  return pass("no GPU here: the CPU serves");
}

CheckResult check_cpu(const DoctorFacts& facts) {
  if (!facts.sse42)
    return fail("this processor lacks SSE4.2", "x86-64-v2 is the least that musterd runs on");
  if (!facts.avx2)
    return warn("this processor lacks AVX2: rounds take several times longer",
                "use a processor with AVX2 or AVX-512; in a VM pass the host's features on");
  return pass("AVX2 is there");
}

CheckResult check_secrets(const DoctorFacts& facts) {
  std::string open;
  for (const auto& [path, mode] : facts.secret_modes)
    if ((mode & 077) != 0)
      open += fmt::format("{}{} ({:03o})", open.empty() ? "" : ", ", path, mode);
  if (open.empty())
    return pass(
        fmt::format("{} files with secrets, all for their owner alone", facts.secret_modes.size()));
  return fail("others may read " + open, "chmod 600 these files; then consider new keys");
}

CheckResult check_ports(const DoctorFacts& facts) {
  std::string taken;
  for (const PortFact& port : facts.ports)
    if (!port.problem.empty())
      taken += fmt::format("{}{}: {}", taken.empty() ? "" : "; ", port.address, port.problem);
  if (taken.empty()) return pass(fmt::format("{} addresses can be bound", facts.ports.size()));
  if (facts.server_running) return pass("a server runs here and holds its addresses");
  return fail(taken, "stop what holds the port (ss -ltnp), or listen elsewhere");
}

}  // namespace

std::vector<CheckResult> judge(const DoctorFacts& facts) {
  using Check = CheckResult (*)(const DoctorFacts&);
  constexpr std::pair<const char*, Check> kChecks[] = {
      {"config", check_config},   {"descriptors", check_descriptors},
      {"memlock", check_memlock}, {"disk_space", check_space},
      {"disk_sync", check_sync},  {"clock", check_clock},
      {"gpu", check_gpu},         {"cpu", check_cpu},
      {"secrets", check_secrets}, {"ports", check_ports}};
  std::vector<CheckResult> results;
  for (const auto& [name, check] : kChecks) {
    results.push_back(check(facts));
    results.back().name = name;
  }
  return results;
}

}  // namespace muster::cli

// The CPU backend: every level, alone and with a second worker.
#include "tests/conformance/suite.h"

namespace muster::kernels::conformance {
namespace {

std::vector<Subject> cpu_subjects() {
  std::vector<Subject> subjects;
  for (const CpuLevel level : {CpuLevel::kBaseline, CpuLevel::kAvx2, CpuLevel::kAvx512})
    for (const std::size_t threads : {1, 2}) {
      Subject subject{std::string(cpu_level_name(level)) + "x" + std::to_string(threads), {}};
      subject.options.kind = "cpu";
      subject.options.level = level;
      subject.options.threads = threads;
      subjects.push_back(subject);
    }
  // Where the processor has VNNI, avx512 above means with it; here without.
  Subject plain{"avx512plainx1", {}};
  plain.options.kind = "cpu";
  plain.options.level = CpuLevel::kAvx512;
  plain.options.threads = 1;
  plain.options.extensions = false;
  subjects.push_back(plain);
  return subjects;
}

INSTANTIATE_TEST_SUITE_P(Cpu, Conformance, ::testing::ValuesIn(cpu_subjects()),
                         [](const auto& subject) { return subject.param.name; });

}  // namespace
}  // namespace muster::kernels::conformance

// The CUDA backend, through the door of the plug-in: on the emulator, or on a device.
#include "tests/conformance/suite.h"

namespace muster::kernels::conformance {
namespace {

Subject cuda_subject() {
  Subject subject{"cuda", {}, MUSTER_EMULATED};
  subject.options.kind = "cuda";
  subject.options.memory_bytes = std::size_t{subject.emulated ? 8u : 2048u} << 20;
  subject.options.hang_seconds = 600;
  return subject;
}

INSTANTIATE_TEST_SUITE_P(Cuda, Conformance, ::testing::Values(cuda_subject()),
                         [](const auto& subject) { return subject.param.name; });

}  // namespace
}  // namespace muster::kernels::conformance

// The interpreter on small kernels written as PTX: no nvcc needed.
#include "tests/gpusim/ptx/machine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <string>
#include <vector>

namespace gpusim {
namespace {

using testing::HasSubstr;

// A kernel k(out, in) of one block; `body` has tid in %r1 and the addresses of this thread's 4-byte
// elements of in and out in %rd3 and %rd4.
std::string kernel(const std::string& body) {
  std::string text = R"(
.version 9.0
.target sm_80
.address_size 64
.visible .entry k(.param .u64 k_param_0, .param .u64 k_param_1)
{
  .reg .pred %p<8>;
  .reg .b16 %rs<8>;
  .reg .b32 %r<40>;
  .reg .f32 %f<8>;
  .reg .f64 %fd<8>;
  .reg .b64 %rd<40>;
  .shared .align 4 .b8 tile[256];
  ld.param.u64 %rd1, [k_param_0];
  ld.param.u64 %rd2, [k_param_1];
  mov.u32 %r1, %tid.x;
  mul.wide.u32 %rd5, %r1, 4;
  add.s64 %rd4, %rd1, %rd5;
  add.s64 %rd3, %rd2, %rd5;
)";
  return text.append(body).append("\n  ret;\n}\n");
}

class MachineTest : public testing::Test {
 protected:
  MachineTest() : in(64), out(64, 0xdeadbeef) {
    std::iota(in.begin(), in.end(), 0);
    machine.add_memory(in.data(), in.size() * 4, 0, true);
    machine.add_memory(out.data(), out.size() * 4, 0, false);
  }

  std::optional<Report> run(const std::string& ptx, Dim3 block = {32}, Dim3 grid = {1}) {
    std::string error;
    const Module* module = machine.load(ptx, &error);
    EXPECT_NE(module, nullptr) << error;
    if (module == nullptr) return std::nullopt;
    void* to = out.data();
    void* from = in.data();
    void* arguments[] = {&to, &from};
    return machine.launch(Launch{module, "k", grid, block, 0, arguments, 0});
  }

  Machine machine;
  std::vector<std::uint32_t> in, out;
};

TEST_F(MachineTest, CopiesOneElementAThread) {
  const auto report = run(kernel("ld.global.u32 %r2, [%rd3];\n  st.global.u32 [%rd4], %r2;"));
  ASSERT_FALSE(report.has_value()) << report->text();
  for (std::size_t i = 0; i < 32; ++i) EXPECT_EQ(out[i], i);
  EXPECT_EQ(machine.first_uninitialised(out.data(), out.size() * 4), &out[32]);
}

TEST_F(MachineTest, ReportsAnUnknownInstructionWhenItIsReached) {
  EXPECT_FALSE(run(kernel("bra END;\n  mma.sync.foo %r1, %r2;\nEND:")).has_value());
  const auto report = run(kernel("mma.sync.foo %r1, %r2;"));
  ASSERT_TRUE(report.has_value());
  EXPECT_EQ(report->fault, Fault::kUnsupported);
  EXPECT_THAT(report->text(), HasSubstr("mma"));
}

}  // namespace
}  // namespace gpusim

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

// One instruction on constants: what it leaves in %r9 as every thread's result.
struct OneCase {
  const char* code;
  std::uint32_t result;
};

TEST_F(MachineTest, ComputesWhatTheManualSays) {
  const OneCase cases[] = {
      {"bfe.s32 %r9, -1431655766, 4, 8;", 0xffffffaa},
      {"bfe.u32 %r9, 0xdeadbeef, 28, 8;", 0xd},
      {"bfe.s32 %r9, 0x80000000, 40, 3;", 0xffffffff},
      {"bfi.b32 %r9, 0xff, 0x12345678, 8, 4;", 0x12345f78},
      {"prmt.b32 %r9, 0x33221180, 0x77665544, 0x8073;", 0xff807733},
      {"shf.l.clamp.b32 %r9, 0x80000000, 1, 40;", 0x80000000},
      {"shf.r.wrap.b32 %r9, 0, 1, 33;", 0x80000000},
      {"lop3.b32 %r9, 0xf0, 0xcc, 0xaa, 0x96;", 0x96},
      {"shl.b32 %r9, 1, 32;", 0},
      {"shr.s32 %r9, -8, 40;", 0xffffffff},
      {"div.s32 %r9, 0x80000000, -1;", 0x80000000},
      {"div.u32 %r9, 7, 0;", 0xffffffff},
      {"rem.s32 %r9, -7, 4;", 0xfffffffd},
      {"mul.hi.s32 %r9, -2, 3;", 0xffffffff},
      {"add.sat.s32 %r9, 0x7fffffff, 1;", 0x7fffffff},
      {"add.cc.u32 %r8, 0xffffffff, 1; addc.u32 %r9, 5, 6;", 12},
      {"sub.cc.u32 %r8, 0, 1; subc.u32 %r9, 5, 1;", 3},
      {"dp4a.s32.s32 %r9, 0x01ff01ff, 0x02020303, 10;", 10},
      {"bfind.u32 %r9, 0;", 0xffffffff},
      {"bfind.shiftamt.s32 %r9, -256;", 24},
      {"clz.b32 %r9, 0;", 32},
      {"bmsk.clamp.b32 %r9, 4, 8;", 0xff0},
      {"selp.b32 %r9, 1, 2, 0;", 2},
      {"mov.b32 {%rs1, %rs2}, 0x12345678; mov.b32 %r9, {%rs2, %rs1};", 0x56781234},
      {"cvt.rzi.s32.f32 %r9, 0f7FC00000;", 0},
      {"cvt.rzi.u32.f32 %r9, 0fBF800000;", 0},
      {"cvt.rni.s32.f32 %r9, 0f40200000;", 2},
      {"cvt.sat.s8.s32 %r9, 300;", 127},
      {"cvt.rn.f16x2.f32 %r9, 0f3F800000, 0fC0000000;", 0x3c00c000},
      {"cvt.rn.bf16x2.f32 %r9, 0f3F808000, 0f3F818000;", 0x3f803f82},
      {"cvt.rz.f16.f32 %rs1, 0f7F000000; cvt.u32.u16 %r9, %rs1;", 0x7bff},
      {"cvt.rn.f16.f32 %rs1, 0f33000001; cvt.u32.u16 %r9, %rs1;", 1},
      {"fma.rn.f16x2 %r9, 0x3c004000, 0x40004000, 0x3c003c00;", 0x42004500},
      {"min.f32 %f1, 0f80000000, 0f00000000; mov.b32 %r9, %f1;", 0x80000000},
      {"max.f32 %f1, 0f7FC00000, 0f3F800000; mov.b32 %r9, %f1;", 0x3f800000},
      {"add.rp.f32 %f1, 0f3F800000, 0f00800000; mov.b32 %r9, %f1;", 0x3f800001},
      {"add.sat.f32 %f1, 0f3F800000, 0f3F800000; mov.b32 %r9, %f1;", 0x3f800000},
      {"mul.ftz.f32 %f1, 0f00800000, 0f3F000000; mov.b32 %r9, %f1;", 0},
      {"setp.ltu.f32 %p1, 0f7FC00000, 0f0; selp.u32 %r9, 1, 0, %p1;", 1},
      {"setp.lt.or.u32 %p1|%p2, 2, 1, !%p3; selp.u32 %r9, 1, 0, %p2;", 1},
      {"set.gt.u32.s32 %r9, 3, -3;", 0xffffffff},
  };
  for (const OneCase& one : cases) {
    std::string body("setp.eq.u32 %p3, 0, 0;\n  ");
    const auto report = run(kernel(body.append(one.code).append("\n  st.global.u32 [%rd4], %r9;")));
    ASSERT_FALSE(report.has_value()) << one.code << ": " << report->text();
    EXPECT_EQ(out[5], one.result) << one.code;
  }
}

TEST_F(MachineTest, PathsPartAndMeetAgain) {
  // Lanes loop as often as their number says; all meet at the shuffle.
  const std::string body = R"(
  mov.u32 %r3, 0;
  mov.u32 %r4, %r1;
LOOP:
  setp.eq.u32 %p1, %r4, 0;
  @%p1 bra DONE;
  add.u32 %r3, %r3, %r4;
  sub.u32 %r4, %r4, 1;
  bra LOOP;
DONE:
  shfl.sync.idx.b32 %r5, %r3, 31, 31, -1;
  add.u32 %r9, %r3, %r5;
  st.global.u32 [%rd4], %r9;)";
  for (machine.options.seed = 0; machine.options.seed < 6; ++machine.options.seed) {
    ASSERT_FALSE(run(kernel(body)).has_value());
    for (std::uint32_t i = 0; i < 32; ++i) EXPECT_EQ(out[i], i * (i + 1) / 2 + 496);
  }
}

TEST_F(MachineTest, BranchesByATable) {
  const std::string body = R"(
TABLE: .branchtargets A, B, C;
  rem.u32 %r2, %r1, 3;
  brx.idx %r2, TABLE;
A:
  mov.u32 %r9, 10;
  bra END;
B:
  mov.u32 %r9, 20;
  bra END;
C:
  mov.u32 %r9, 30;
END:
  st.global.u32 [%rd4], %r9;)";
  ASSERT_FALSE(run(kernel(body)).has_value());
  for (std::uint32_t i = 0; i < 32; ++i) EXPECT_EQ(out[i], 10 + 10 * (i % 3));
}

const char kRace[] = "st.global.u32 [%rd1], %r1;";

TEST_F(MachineTest, ChecksCanBeSwitchedOff) {
  EXPECT_EQ(run(kernel(kRace))->fault, Fault::kRace);
  machine.options.races = false;
  EXPECT_FALSE(run(kernel(kRace)).has_value());
  const std::string unwritten =
      kernel("ld.global.u32 %r2, [%rd4+64];\n  st.global.u32 [%rd4], %r2;");
  EXPECT_EQ(run(unwritten)->fault, Fault::kUninitialised);
  machine.options.uninitialised = false;
  EXPECT_FALSE(run(unwritten).has_value());
}

TEST_F(MachineTest, AReportNamesItsPlace) {
  const auto report = run(kernel("ld.global.u32 %r2, [%rd3+132];"), {32}, {1});
  ASSERT_TRUE(report.has_value());
  EXPECT_EQ(report->fault, Fault::kOutOfBounds);
  EXPECT_EQ(report->kernel, "k");
  EXPECT_EQ(report->thread.x, 31U);
  EXPECT_THAT(report->text(), HasSubstr("ld.global.u32 %r2, [%rd3+132]"));
}

TEST_F(MachineTest, MemoryOfAnotherDeviceIsNotThere) {
  std::vector<std::uint32_t> other(64);
  machine.add_memory(other.data(), other.size() * 4, 1, true);
  in.swap(other);
  const std::string copies = kernel("ld.global.u32 %r2, [%rd3];");
  EXPECT_EQ(run(copies)->fault, Fault::kWrongDevice);
  machine.remove_memory(in.data());
  machine.add_memory(in.data(), in.size() * 4, Machine::kEveryDevice, true);
  EXPECT_FALSE(run(copies).has_value());
  machine.remove_memory(in.data());
  EXPECT_EQ(run(copies)->fault, Fault::kOutOfBounds);
}

TEST_F(MachineTest, AnEndlessLoopEnds) {
  machine.options.max_steps = 1000;
  EXPECT_EQ(run(kernel("AGAIN:\n  bra AGAIN;"))->fault, Fault::kStepLimit);
}

TEST_F(MachineTest, RefusesLaunchesNoGpuTakes) {
  const std::string nothing = kernel("");
  EXPECT_EQ(run(nothing, {1025})->fault, Fault::kBadLaunch);
  EXPECT_EQ(run(nothing, {0})->fault, Fault::kBadLaunch);
  EXPECT_EQ(run(nothing, {1}, {1, 65536})->fault, Fault::kBadLaunch);
  EXPECT_FALSE(run(nothing, {1024}).has_value());
  // What ptxas would not have built: 48 KB of static shared memory are the most.
  EXPECT_EQ(run(kernel(".shared .align 4 .b8 s[49156];"))->fault, Fault::kBadLaunch);
  EXPECT_FALSE(run(kernel(".shared .align 4 .b8 s[40000];")).has_value());
}

TEST_F(MachineTest, EnvironmentRegistersAreTheCallersToSet) {
  machine.options.envreg0 = 77;
  ASSERT_FALSE(run(kernel("mov.u32 %r2, %envreg0;\n  st.global.u32 [%rd4], %r2;")).has_value());
  EXPECT_EQ(out[0], 77U);
}

TEST_F(MachineTest, CountsConversionsOfSixtyFourBits) {
  machine.options.traffic = true;
  ASSERT_FALSE(run(kernel("cvt.rn.f64.s32 %fd1, %r1;\n"
                          "  cvt.rni.s64.f64 %rd6, %fd1;\n  cvt.s64.s32 %rd6, %r1;"),
                   {64})
                   .has_value());
  EXPECT_EQ(machine.traffic().at("k").total.wide_conversions, 128U);
}

TEST_F(MachineTest, CountsTrafficByKernelAndLine) {
  machine.options.traffic = true;
  ASSERT_FALSE(
      run(kernel("ld.global.u32 %r2, [%rd3];\n  st.global.u32 [%rd4], %r2;"), {64}).has_value());
  const Traffic& traffic = machine.traffic().at("k");
  EXPECT_EQ(traffic.launches, 1U);
  EXPECT_EQ(traffic.total.global_requests, 4U);
  EXPECT_EQ(traffic.total.global_bytes, 512U);
  EXPECT_EQ(traffic.total.lanes_active(), 1.0);
  EXPECT_EQ(traffic.lines.size(), 1U);
  machine.clear_traffic();
  EXPECT_TRUE(machine.traffic().empty());
}

TEST_F(MachineTest, InitialisationFollowsCopies) {
  std::vector<std::uint32_t> target(64);
  machine.add_memory(target.data(), 256, 0, true);
  machine.mark_initialised(out.data(), 100);
  machine.copy_initialised(target.data(), out.data(), 256);
  EXPECT_EQ(machine.first_uninitialised(target.data(), 256), &target[25]);
  machine.mark_initialised(out.data(), 256);
  EXPECT_EQ(machine.first_uninitialised(out.data(), 256), nullptr);
}

}  // namespace
}  // namespace gpusim

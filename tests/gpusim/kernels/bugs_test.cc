// Each kernel of bugs.cu gives the report it announces, on its line, for every seed.
#include <gtest/gtest.h>

#include <map>
#include <numeric>
#include <regex>
#include <string>
#include <vector>

#include "tests/gpusim/harness.h"

namespace gpusim {
namespace {

struct Expectation {
  std::string kernel, fault;
  int line = 0;
};

std::vector<Expectation> expectations() {
  std::vector<Expectation> list;
  const std::regex kernel("^KERNEL (\\w+)\\("), fault("// expect: (\\w+)$");
  std::istringstream source(file_text(GPUSIM_SOURCE "/bugs.cu"));
  std::string line, name;
  std::smatch match;
  for (int number = 1; std::getline(source, line); ++number) {
    if (std::regex_search(line, match, kernel)) name = match[1];
    if (std::regex_search(line, match, fault)) list.push_back({name, match[1], number});
  }
  return list;
}

class BugTest : public testing::TestWithParam<Expectation> {};

TEST_P(BugTest, IsReportedOnItsLine) {
  const auto& [kernel, fault, line] = GetParam();
  for (const char* target : {"80", "100"}) {
    for (std::uint32_t seed = 0; seed < 4; ++seed) {
      Harness gpu;
      gpu.load(file_text(std::string(GPUSIM_PTX "/bugs_").append(target).append(".ptx")));
      gpu.machine.options.seed = seed;
      std::vector<float> in(64), out(64);
      std::iota(in.begin(), in.end(), 0.0f);
      float* const to = gpu.buffer(out, false);
      const Dim3 grid{kernel.starts_with("grid_") ? 4U : 1U};
      const auto report = gpu.launch(kernel, grid, {64}, 256, gpu.buffer(in), to);
      EXPECT_EQ(report ? name(report->fault) : "nothing", fault)
          << "compute_" << target << ", seed " << seed << ": " << text_of(report);
      if (report) {
        EXPECT_EQ(report->line, line) << report->text();
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Planted, BugTest, testing::ValuesIn(expectations()),
                         [](const auto& bug) { return bug.param.kernel; });

}  // namespace
}  // namespace gpusim

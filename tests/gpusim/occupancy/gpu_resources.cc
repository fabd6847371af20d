// gpu_resources BUDGET LOG...: a table of what each kernel uses on each chip, its worst
// instantiation a row, and status 1 if one is over its budget or a line of the budget has no
// kernel, or a kernel was not compiled for each of the chips that carry a budget.
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "tests/gpusim/occupancy/chip.h"
#include "tests/gpusim/occupancy/ptxas_log.h"

namespace gpusim {
namespace {

constexpr int kChips[] = {80, 90, 100};

struct Budget {
  int threads = 0, dynamic_shared = 0, registers = 0, static_shared = 0, occupancy = 0;
  bool used = false;
};

std::map<std::string, Budget> read_budget(const char* path) {
  std::map<std::string, Budget> budgets;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') continue;
    std::istringstream words(line);
    std::string kernel;
    Budget b;
    if (words >> kernel >> b.threads >> b.dynamic_shared >> b.registers >> b.static_shared >>
        b.occupancy) {
      budgets[kernel] = b;
    } else {
      std::printf("not a line of a budget: %s\n", line.c_str());
    }
  }
  return budgets;
}

// The worst of the instantiations of a kernel on a chip.
using Worst = std::map<std::pair<std::string, int>, Usage>;

Worst worst_of(const std::vector<Usage>& kernels) {
  Worst worst;
  for (const Usage& usage : kernels) {
    Usage& row = worst.try_emplace({usage.kernel, usage.chip}, usage).first->second;
    row.registers = std::max(row.registers, usage.registers);
    row.static_shared = std::max(row.static_shared, usage.static_shared);
    row.stack = std::max(row.stack, usage.stack);
    row.spills = std::max(row.spills, usage.spills);
  }
  return worst;
}

bool over(const char* what, int used, int allowed) {
  if (used > allowed) std::printf("  ^ %s: %d, budget %d\n", what, used, allowed);
  return used > allowed;
}

int check(const Usage& usage, const Budget& budget) {
  const Occupancy busy = occupancy(usage.chip, budget.threads, usage.registers, usage.static_shared,
                                   budget.dynamic_shared);
  const int percent = static_cast<int>(100 * busy.share + 0.5);
  std::printf("sm_%-4d %-32s %4d %7d+%-7d %5d %6d %7d%%  %s\n", usage.chip, usage.kernel.c_str(),
              usage.registers, usage.static_shared, budget.dynamic_shared, usage.stack,
              usage.spills, percent, busy.limit);
  int faults = over("registers", usage.registers, budget.registers) ? 1 : 0;
  faults += over("static shared memory", usage.static_shared, budget.static_shared) ? 1 : 0;
  faults += over("stack", usage.stack, 0) ? 1 : 0;
  faults += over("spills", usage.spills, 0) ? 1 : 0;
  if (usage.chip >= 80 && percent < budget.occupancy) {
    std::printf("  ^ occupancy: %d %%, budget %d %%\n", percent, budget.occupancy);
    ++faults;
  }
  return faults;
}

int run(int count, char** arguments) {
  if (count < 3) {
    std::fprintf(stderr, "usage: gpu_resources BUDGET LOG...\n");
    return 2;
  }
  std::map<std::string, Budget> budgets = read_budget(arguments[1]);
  if (budgets.count("*") == 0) {
    std::printf("the budget has no line *\n");
    return 1;
  }
  std::vector<Usage> kernels;
  int faults = 0;
  for (int i = 2; i < count; ++i) {
    std::ifstream log(arguments[i]);
    // Of a file that only chooses among kernels, ptxas says that it has no memory.
    if (log.peek() == std::ifstream::traits_type::eof()) {
      std::printf("nothing in %s\n", arguments[i]);
      ++faults;
    }
    read_ptxas_log(log, &kernels);
  }
  std::printf("chip    %-32s regs  static+dynamic stack spills occupancy  limited by\n", "kernel");
  for (const auto& [key, usage] : worst_of(kernels)) {
    const auto own = budgets.find(usage.kernel);
    Budget& budget = own != budgets.end() ? own->second : budgets["*"];
    budget.used = true;
    faults += check(usage, budget);
  }
  for (const Usage& usage : kernels)
    for (const int chip : kChips)
      if (std::none_of(kernels.begin(), kernels.end(), [&](const Usage& other) {
            return other.full == usage.full && other.chip == chip;
          })) {
        std::printf("not compiled for sm_%d: %s\n", chip, usage.full.c_str());
        ++faults;
      }
  for (const auto& [kernel, budget] : budgets) {
    if (budget.used || kernel == "*") continue;
    std::printf("a budget without a kernel: %s\n", kernel.c_str());
    ++faults;
  }
  std::printf("%zu kernels, %d over budget\n", kernels.size(), faults);
  return faults == 0 ? 0 : 1;
}

}  // namespace
}  // namespace gpusim

int main(int count, char** arguments) { return gpusim::run(count, arguments); }

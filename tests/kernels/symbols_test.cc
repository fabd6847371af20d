// No level of the CPU kernels may define a symbol the linker could hand to another level.
#include <gtest/gtest.h>

#include <cstdio>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

namespace {

std::vector<std::string> defined_symbols(const std::string& object) {
  const std::string command = std::string(MUSTER_NM) + " --defined-only " + object;
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(command.c_str(), "r"), pclose);
  std::vector<std::string> lines;
  std::string line;
  for (int c = fgetc(pipe.get()); c != EOF; c = fgetc(pipe.get())) {
    if (c != '\n') {
      line.push_back(static_cast<char>(c));
      continue;
    }
    lines.push_back(std::move(line));
    line.clear();
  }
  return lines;
}

/// "0000 T name" -> 'T'.
char symbol_type(const std::string& line) {
  std::istringstream words(line);
  std::string address, type;
  words >> address >> type;
  return type.empty() ? '?' : type[0];
}

TEST(CpuVariants, ExportOneTableAndNothingWeak) {
  std::istringstream objects(MUSTER_CPU_OBJECTS);
  int count = 0;
  for (std::string object; std::getline(objects, object, ':'); ++count) {
    SCOPED_TRACE(object);
    const std::vector<std::string> symbols = defined_symbols(object);
    bool table = false;
    for (const std::string& symbol : symbols) {
      const char type = symbol_type(symbol);
      // Where code is not optimised, a pointer to the compiler's own unwinder: no code of ours.
      if (symbol.find("DW.ref.__gxx_personality_v0") != std::string::npos) continue;
      EXPECT_EQ(std::string("WVwvu").find(type), std::string::npos) << symbol;
      EXPECT_NE(type, 'T') << "a function with a name of its own: " << symbol;
      table = table || symbol.find("kTable") != std::string::npos;
    }
    EXPECT_TRUE(table);
  }
  EXPECT_GE(count, 1);
}

}  // namespace

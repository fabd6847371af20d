#include "tests/gpusim/occupancy/ptxas_log.h"

#include <cxxabi.h>

#include <cstdlib>
#include <memory>
#include <regex>

namespace gpusim {
namespace {

std::string demangled(const std::string& name) {
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> text(
      abi::__cxa_demangle(name.c_str(), nullptr, nullptr, &status), &std::free);
  return text != nullptr ? std::string(text.get()) : name;
}

// The number before a phrase; 0 if the phrase is not there.
int number_before(const std::string& line, const std::string& phrase) {
  std::smatch match;
  return std::regex_search(line, match, std::regex("(\\d+) " + phrase)) ? std::stoi(match[1]) : 0;
}

}  // namespace

std::string short_name(const std::string& text) {
  std::string name;
  int depth = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text.compare(i, 21, "(anonymous namespace)") == 0) {
      i += 20;
    } else if (text[i] == '<') {
      ++depth;
    } else if (text[i] == '>') {
      --depth;
    } else if (depth == 0 && text[i] == '(') {
      break;
    } else if (depth == 0) {
      // What follows a space (the result's type) or a namespace starts anew.
      text[i] == ' ' || text[i] == ':' ? name.clear() : name.push_back(text[i]);
    }
  }
  return name;
}

void read_ptxas_log(std::istream& log, std::vector<Usage>* kernels) {
  const std::regex entry("Compiling entry function '([^']+)' for 'sm_(\\d+)");
  std::smatch match;
  bool in_entry = false;
  for (std::string line; std::getline(log, line);) {
    if (std::regex_search(line, match, entry)) {
      Usage usage;
      usage.full = demangled(match[1]);
      usage.kernel = short_name(usage.full);
      usage.chip = std::stoi(match[2]);
      kernels->push_back(usage);
      in_entry = true;
    } else if (in_entry) {
      Usage& usage = kernels->back();
      usage.stack += number_before(line, "bytes stack frame");
      usage.spills +=
          number_before(line, "bytes spill stores") + number_before(line, "bytes spill loads");
      usage.registers += number_before(line, "registers");
      usage.static_shared += number_before(line, "bytes smem");
      in_entry = line.find("Used ") == std::string::npos;
    }
  }
}

}  // namespace gpusim

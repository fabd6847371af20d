// What the tests of the interpreter share: buffers a kernel may touch, and launches by name.
#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "tests/gpusim/ptx/machine.h"

namespace gpusim {

inline std::string file_text(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

class Harness {
 public:
  Machine machine;

  // Loads PTX text; a test failure if it is none.
  void load(const std::string& ptx) {
    std::string error;
    module_ = machine.load(ptx, &error);
    ASSERT_NE(module_, nullptr) << error;
  }
  const Module& module() const { return *module_; }

  // The vector's elements as device memory. They may not be resized.
  template <class T>
  T* buffer(std::vector<T>& elements, bool initialised = true) {
    machine.add_memory(elements.data(), elements.size() * sizeof(T), 0, initialised);
    return elements.data();
  }

  // The arguments must have the types of the kernel's parameters.
  template <class... Arguments>
  std::optional<Report> launch(const std::string& kernel, Dim3 grid, Dim3 block, std::size_t shared,
                               Arguments... arguments) {
    void* list[] = {&arguments..., nullptr};
    return machine.launch(Launch{module_, kernel, grid, block, shared, list, 0});
  }

 private:
  const Module* module_ = nullptr;
};

inline std::string text_of(const std::optional<Report>& report) {
  return report.has_value() ? report->text() : std::string("no report");
}

}  // namespace gpusim

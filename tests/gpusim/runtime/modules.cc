#include "tests/gpusim/runtime/modules.h"

#include "tests/gpusim/runtime/fatbinary.h"

namespace gpusim {

DeviceCode* Modules::add(Machine& machine, const void* fat_binary_wrapper, int architecture) {
  auto code = std::make_unique<DeviceCode>();
  const auto entries = read_fat_binary(fat_binary_wrapper, &code->problem);
  if (code->problem.empty()) {
    const std::string_view ptx = choose_ptx(entries, architecture, &code->problem);
    if (!ptx.empty()) code->module = machine.load(ptx, &code->problem);
  }
  codes_.push_back(std::move(code));
  return codes_.back().get();
}

std::vector<const void*> Modules::remove(Machine& machine, DeviceCode* code) {
  std::vector<const void*> copies;
  for (const auto& [handle, variable] : variables_)
    if (variable.code == code)
      copies.insert(copies.end(), variable.copies.begin(), variable.copies.end());
  if (code->module != nullptr) machine.unload(code->module);
  std::erase_if(kernels_, [code](const auto& entry) { return entry.second.code == code; });
  std::erase_if(variables_, [code](const auto& entry) { return entry.second.code == code; });
  std::erase_if(codes_, [code](const auto& entry) { return entry.get() == code; });
  return copies;
}

void Modules::add_kernel(const void* handle, const DeviceCode* code, const char* name) {
  kernels_[handle] = {code, name};
}

void Modules::add_variable(const void* handle, const DeviceCode* code, const char* name,
                           std::size_t bytes) {
  variables_[handle] = {code, name, bytes, {}};
}

Kernel* Modules::kernel(const void* handle) {
  const auto found = kernels_.find(handle);
  return found == kernels_.end() ? nullptr : &found->second;
}

Variable* Modules::variable(const void* handle) {
  const auto found = variables_.find(handle);
  return found == variables_.end() ? nullptr : &found->second;
}

}  // namespace gpusim

// Finds and loads the CUDA plug-in, and chooses the backend.
#include <dlfcn.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <climits>
#include <string>

#include "kernels/backend.h"
#include "kernels/cpu/backend.h"
#include "kernels/plugin.h"

namespace muster::kernels {
namespace {

Status unavailable(std::string message) {
  return {Code::kUnavailable, "cuda_unavailable", std::move(message)};
}

/// Folder of the running program with its slash, or nothing.
std::string program_folder() {
  std::array<char, PATH_MAX> path;
  const ssize_t length = readlink("/proc/self/exe", path.data(), path.size());
  if (length <= 0) return {};
  const std::string_view text(path.data(), static_cast<std::size_t>(length));
  return std::string(text.substr(0, text.rfind('/') + 1));
}

/// The plug-in beside the program, in its ../lib/muster, or where the loader looks. Stays loaded:
/// the backend's code lives in it.
Result<void*> open_plugin() {
  std::string errors;
  const std::string folder = program_folder();
  for (const std::string& path :
       {folder + kPluginFile, folder + "../lib/muster/" + kPluginFile, std::string(kPluginFile)}) {
    if (void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) return handle;
    if (const char* error = dlerror()) errors = error;  // the last is the loader's own search
  }
  return unavailable(errors);
}

Result<std::unique_ptr<Backend>> create_cuda_backend(const BackendOptions& options) {
  MUSTER_ASSIGN(void* handle, open_plugin());
  const auto create = reinterpret_cast<PluginCreate>(dlsym(handle, kPluginEntry));
  if (create == nullptr) return unavailable(fmt::format("{} has no {}", kPluginFile, kPluginEntry));
  PluginRequest request;
  request.memory_bytes = options.memory_bytes;
  request.host_bytes = options.host_bytes;
  PluginReply reply;
  create(&request, &reply);
  if (reply.backend == nullptr) return unavailable(reply.message);
  return std::unique_ptr<Backend>(reply.backend);
}

}  // namespace

Result<std::unique_ptr<Backend>> create_backend(const BackendOptions& options, std::string* note) {
  if (options.kind == "cpu") return create_cpu_backend(options);
  if (options.kind != "cuda" && options.kind != "auto")
    return Status(Code::kInvalid, "backend_unknown",
                  fmt::format("\"{}\" is not auto, cpu or cuda", options.kind));
  Result<std::unique_ptr<Backend>> cuda = create_cuda_backend(options);
  if (cuda.ok() || options.kind == "cuda") return cuda;
  if (note != nullptr) *note = std::move(cuda).status().message();
  return create_cpu_backend(options);
}

}  // namespace muster::kernels

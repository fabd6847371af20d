// Finds and loads the CUDA plug-in, and chooses the backend.
#include <dlfcn.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <climits>
#include <filesystem>
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

/// What the plug-in calls when a device failed. For the life of the process, as the plug-in is.
void report_failure(void* context, const char* error_class, const char* sentence) {
  (*static_cast<decltype(BackendOptions::on_failure)*>(context))(error_class, sentence);
}

Result<std::unique_ptr<Backend>> create_cuda_backend(const BackendOptions& options,
                                                     bool& gpu_found) {
  MUSTER_ASSIGN(void* handle, open_plugin());
  const auto create = reinterpret_cast<PluginCreate>(dlsym(handle, kPluginEntry));
  if (create == nullptr) return unavailable(fmt::format("{} has no {}", kPluginFile, kPluginEntry));
  PluginRequest request;
  request.memory_bytes = options.memory_bytes;
  request.host_bytes = options.host_bytes;
  request.devices = options.devices;
  request.hang_seconds = options.hang_seconds > 0 ? options.hang_seconds : kHangSeconds;
  if (options.on_failure) {
    static decltype(BackendOptions::on_failure) on_failure;  // of the last backend made
    on_failure = options.on_failure;
    request.on_failure = report_failure;
    request.context = &on_failure;
  }
  PluginReply reply;
  create(&request, &reply);
  gpu_found = reply.gpu_found;
  if (reply.backend == nullptr) return unavailable(reply.message);
  return std::unique_ptr<Backend>(reply.backend);
}

}  // namespace

Result<std::unique_ptr<Backend>> create_backend(const BackendOptions& options, Fallback* fallback) {
  if (options.kind == "cpu") return create_cpu_backend(options);
  if (options.kind != "cuda" && options.kind != "auto")
    return Status(Code::kInvalid, "backend_unknown",
                  fmt::format("\"{}\" is not auto, cpu or cuda", options.kind));
  bool gpu_found = false;  // by the plug-in, or by the driver where the plug-in does not get so far
  Result<std::unique_ptr<Backend>> cuda = create_cuda_backend(options, gpu_found);
  if (cuda.ok() || options.kind == "cuda") return cuda;
  if (fallback != nullptr) {
    std::error_code ignored;
    gpu_found = gpu_found || std::filesystem::exists("/dev/nvidia0", ignored);
    *fallback = {std::string(std::move(cuda).status().message()), gpu_found};
  }
  return create_cpu_backend(options);
}

}  // namespace muster::kernels

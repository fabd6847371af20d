// The door of libmuster_cuda.so: one C function, so that the server needs no CUDA library to start.
#pragma once

#include <cstddef>
#include <cstdint>

namespace muster::kernels {

class Backend;

/// Changes with anything a plug-in and the server must agree on: these structs, Backend, its jobs.
inline constexpr std::uint32_t kPluginVersion = 5;
inline constexpr const char* kPluginEntry = "muster_cuda_create";
inline constexpr const char* kPluginFile = "libmuster_cuda.so";

struct PluginRequest {
  std::uint32_t version = kPluginVersion;
  std::size_t memory_bytes = 0;  ///< budget of Backend::allocate; 0: what the device has
  std::size_t host_bytes = 0;    ///< of Backend::allocate_host
  std::size_t devices = 0;       ///< 0: all
  double hang_seconds = 0;       ///< as in BackendOptions
  /// BackendOptions::on_failure; may be null. What `context` is must stay for ever.
  void (*on_failure)(void* context, const char* error_class, const char* sentence) = nullptr;
  void* context = nullptr;
};

struct PluginReply {
  Backend* backend = nullptr;  ///< owned by the caller, deleted through its virtual destructor
  char message[256] = {};      ///< why there is none: "no CUDA device", "plug-in is version 2", ...
  bool gpu_found = false;      ///< without a backend: there is a GPU, which could not be used
};

/// What kPluginEntry points to. Throws nothing; a null backend comes with a message.
using PluginCreate = void (*)(const PluginRequest*, PluginReply*);

}  // namespace muster::kernels

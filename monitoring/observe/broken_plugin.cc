// A CUDA plug-in for the drill of MusterGpuFallback: it finds a GPU and cannot use it.
#include <cstring>

#include "kernels/plugin.h"

extern "C" void muster_cuda_create(const muster::kernels::PluginRequest*,
                                   muster::kernels::PluginReply* reply) {
  std::strcpy(reply->message, "drill: the GPU is too old");
}

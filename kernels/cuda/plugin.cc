// What the server finds in libmuster_cuda.so (kernels/plugin.h).
#include "kernels/plugin.h"

#include <algorithm>
#include <exception>
#include <string>
#include <string_view>

#include "kernels/cuda/backend.h"

namespace {

using muster::kernels::PluginReply;
using muster::kernels::PluginRequest;

void refuse(PluginReply& reply, std::string_view why) {
  const std::size_t count = std::min(why.size(), sizeof reply.message - 1);
  std::copy_n(why.data(), count, reply.message);
  reply.message[count] = '\0';
}

}  // namespace

extern "C" [[gnu::visibility("default")]] void muster_cuda_create(const PluginRequest* request,
                                                                  PluginReply* reply) {
  // The version comes first in every request there will ever be; nothing else is looked at before.
  if (request->version != muster::kernels::kPluginVersion)
    return refuse(*reply, "the plug-in is version " +
                              std::to_string(muster::kernels::kPluginVersion) +
                              ", the server needs " + std::to_string(request->version));
  try {
    muster::kernels::cuda::on_device_failure(request->on_failure, request->context);
    auto backend = muster::kernels::cuda::create_backend(*request, reply->gpu_found);
    if (!backend.ok()) return refuse(*reply, backend.status().message());
    reply->backend = backend->release();
  } catch (const std::exception& error) {  // none leaves a C function
    refuse(*reply, error.what());
  }
}

#include "kernels/cuda/nccl.h"

#include <dlfcn.h>
#include <nccl.h>

#include <string>

#include "base/check.h"
#include "kernels/cuda/device.h"

namespace muster::kernels::cuda {
namespace {

/// The functions of NCCL that are called here.
struct Api {
  decltype(&ncclCommInitAll) init_all;
  decltype(&ncclCommDestroy) destroy;
  decltype(&ncclGroupStart) group_start;
  decltype(&ncclGroupEnd) group_end;
  decltype(&ncclAllReduce) all_reduce;
  decltype(&ncclBroadcast) broadcast;
  decltype(&ncclGetErrorString) error_string;
};

template <class Function>
bool find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  return function != nullptr;
}

Result<Api> load() {
  // For good: collectives may still run when a backend goes.
  void* const library = dlopen("libnccl.so.2", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr)
    return Status(Code::kUnavailable, "cuda_unavailable", std::string("no NCCL: ") + dlerror());
  Api api{};
  if (!find(library, "ncclCommInitAll", api.init_all) ||
      !find(library, "ncclCommDestroy", api.destroy) ||
      !find(library, "ncclGroupStart", api.group_start) ||
      !find(library, "ncclGroupEnd", api.group_end) ||
      !find(library, "ncclAllReduce", api.all_reduce) ||
      !find(library, "ncclBroadcast", api.broadcast) ||
      !find(library, "ncclGetErrorString", api.error_string))
    return Status(Code::kUnavailable, "cuda_unavailable", "libnccl.so.2 lacks a function");
  return api;
}

class Nccl final : public Collective {
 public:
  Nccl(Api api, std::vector<Rank> ranks, std::vector<ncclComm_t> communicators)
      : api_(api), ranks_(std::move(ranks)), communicators_(std::move(communicators)) {}
  ~Nccl() override {
    for (std::size_t rank = 0; rank < ranks_.size(); ++rank) {
      // Errors have no reader any more.
      cudaSetDevice(ranks_[rank].device);
      cudaStreamSynchronize(ranks_[rank].stream);
      api_.destroy(communicators_[rank]);
    }
  }

  std::size_t ranks() const override { return ranks_.size(); }
  void sum(std::span<std::int64_t* const> copies, std::size_t count) override {
    each("ncclAllReduce", copies, [&](std::size_t rank) {
      return api_.all_reduce(copies[rank], copies[rank], count, ncclInt64, ncclSum,
                             communicators_[rank], ranks_[rank].stream);
    });
  }
  void sum_exact(std::span<double* const> copies, std::size_t count) override {
    each("ncclAllReduce", copies, [&](std::size_t rank) {
      return api_.all_reduce(copies[rank], copies[rank], count, ncclFloat64, ncclSum,
                             communicators_[rank], ranks_[rank].stream);
    });
  }
  void broadcast(std::span<std::byte* const> copies, std::size_t bytes, std::size_t root) override {
    each("ncclBroadcast", copies, [&](std::size_t rank) {
      return api_.broadcast(copies[rank], copies[rank], bytes, ncclUint8, static_cast<int>(root),
                            communicators_[rank], ranks_[rank].stream);
    });
  }

 private:
  void must(ncclResult_t result, const char* call) {
    if (result != ncclSuccess)
      device_failed("nccl", std::string(call).append(": ").append(api_.error_string(result)));
  }
  /// One thread has all ranks, so their calls make a group: none waits for another.
  template <class Copies, class Call>
  void each(const char* name, const Copies& copies, const Call& call) {
    MUSTER_CHECK_OP(copies.size(), ==, ranks_.size());
    must(api_.group_start(), "ncclGroupStart");
    for (std::size_t rank = 0; rank < ranks_.size(); ++rank) {
      MUSTER_CUDA(cudaSetDevice(ranks_[rank].device));
      must(call(rank), name);
    }
    must(api_.group_end(), "ncclGroupEnd");
  }

  Api api_;
  std::vector<Rank> ranks_;
  std::vector<ncclComm_t> communicators_;
};

}  // namespace

Result<std::unique_ptr<Collective>> open_nccl(std::vector<Rank> ranks) {
  MUSTER_ASSIGN(const Api api, load());
  std::vector<int> devices;
  for (const Rank& rank : ranks) devices.push_back(rank.device);
  std::vector<ncclComm_t> communicators(ranks.size());
  const ncclResult_t result =
      api.init_all(communicators.data(), static_cast<int>(devices.size()), devices.data());
  if (result != ncclSuccess)
    return Status(Code::kUnavailable, "cuda_unavailable",
                  std::string("NCCL does not start: ").append(api.error_string(result)));
  return std::unique_ptr<Collective>(
      std::make_unique<Nccl>(api, std::move(ranks), std::move(communicators)));
}

}  // namespace muster::kernels::cuda

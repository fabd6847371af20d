// The entry points of NCCL that Muster may call.
#include <cuda_runtime_api.h>
#include <nccl.h>

#include <cstring>

#include "tests/gpusim/nccl/communicator.h"

using namespace gpusim;
using namespace gpusim::nccl;

namespace {

ncclResult_t collective(const Collective& what, const void* send, void* receive, ncclComm_t comm,
                        cudaStream_t stream) {
  hooks::Lock lock = hooks::lock();
  return call_collective(lock, what, send, receive, comm, stream);
}

std::uint64_t id_of(const ncclUniqueId& unique) {
  std::uint64_t id = 0;
  std::memcpy(&id, unique.internal, sizeof(id));
  return id;
}

}  // namespace

extern "C" {

ncclResult_t ncclGetVersion(int* version) {
  *version = NCCL_VERSION_CODE;
  return ncclSuccess;
}

ncclResult_t ncclGetUniqueId(ncclUniqueId* unique) {
  const hooks::Lock lock = hooks::lock();
  const std::uint64_t id = new_id();
  *unique = {};
  std::memcpy(unique->internal, &id, sizeof(id));
  return ncclSuccess;
}

ncclResult_t ncclCommInitRank(ncclComm_t* comm, int ranks, ncclUniqueId unique, int rank) {
  hooks::Lock lock = hooks::lock();
  const ncclResult_t result = join(lock, comm, ranks, id_of(unique), rank);
  if (result != ncclSuccess) return result;
  if (!in_group()) return wait_for_ranks(lock, *(*comm)->world);
  wait_at_group_end((*comm)->world);
  return ncclSuccess;
}

ncclResult_t ncclCommInitAll(ncclComm_t* comms, int ranks, const int* devices) {
  ncclUniqueId unique;
  ncclGetUniqueId(&unique);
  int before = 0;
  if (cudaGetDevice(&before) != cudaSuccess) return ncclUnhandledCudaError;
  ncclResult_t result = ncclSuccess;
  for (int rank = 0; rank < ranks && result == ncclSuccess; ++rank) {
    if (cudaSetDevice(devices != nullptr ? devices[rank] : rank) != cudaSuccess)
      result = ncclUnhandledCudaError;
    hooks::Lock lock = hooks::lock();
    if (result == ncclSuccess) result = join(lock, &comms[rank], ranks, id_of(unique), rank);
  }
  return cudaSetDevice(before) == cudaSuccess ? result : ncclUnhandledCudaError;
}

ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  const hooks::Lock lock = hooks::lock();
  return destroy(comm);
}

ncclResult_t ncclCommAbort(ncclComm_t comm) { return ncclCommDestroy(comm); }
ncclResult_t ncclCommFinalize(ncclComm_t) { return ncclSuccess; }

ncclResult_t ncclCommGetAsyncError(ncclComm_t, ncclResult_t* result) {
  const hooks::Lock lock = hooks::lock();
  *result = hooks::sticky() == cudaSuccess ? ncclSuccess : ncclUnhandledCudaError;
  return ncclSuccess;
}

ncclResult_t ncclCommCount(const ncclComm_t comm, int* ranks) {
  *ranks = comm->world->ranks;
  return ncclSuccess;
}

ncclResult_t ncclCommUserRank(const ncclComm_t comm, int* rank) {
  *rank = comm->rank;
  return ncclSuccess;
}

ncclResult_t ncclCommCuDevice(const ncclComm_t comm, int* device) {
  *device = comm->device;
  return ncclSuccess;
}

const char* ncclGetErrorString(ncclResult_t result) {
  switch (result) {
    case ncclSuccess:
      return "no error";
    case ncclUnhandledCudaError:
      return "unhandled cuda error";
    case ncclSystemError:
      return "unhandled system error";
    case ncclInvalidArgument:
      return "invalid argument";
    case ncclInvalidUsage:
      return "invalid usage";
    default:
      return "unknown result code";
  }
}

const char* ncclGetLastError(ncclComm_t) { return ""; }

ncclResult_t ncclGroupStart() {
  begin_group();
  return ncclSuccess;
}

ncclResult_t ncclGroupEnd() {
  hooks::Lock lock = hooks::lock();
  return end_group(lock);
}

ncclResult_t ncclAllReduce(const void* send, void* receive, std::size_t count, ncclDataType_t type,
                           ncclRedOp_t operation, ncclComm_t comm, cudaStream_t stream) {
  return collective({Kind::kAllReduce, count, type, operation, 0}, send, receive, comm, stream);
}

ncclResult_t ncclReduce(const void* send, void* receive, std::size_t count, ncclDataType_t type,
                        ncclRedOp_t operation, int root, ncclComm_t comm, cudaStream_t stream) {
  return collective({Kind::kReduce, count, type, operation, root}, send, receive, comm, stream);
}

ncclResult_t ncclReduceScatter(const void* send, void* receive, std::size_t count,
                               ncclDataType_t type, ncclRedOp_t operation, ncclComm_t comm,
                               cudaStream_t stream) {
  return collective({Kind::kReduceScatter, count, type, operation, 0}, send, receive, comm, stream);
}

ncclResult_t ncclAllGather(const void* send, void* receive, std::size_t count, ncclDataType_t type,
                           ncclComm_t comm, cudaStream_t stream) {
  return collective({Kind::kAllGather, count, type, ncclSum, 0}, send, receive, comm, stream);
}

ncclResult_t ncclBroadcast(const void* send, void* receive, std::size_t count, ncclDataType_t type,
                           int root, ncclComm_t comm, cudaStream_t stream) {
  return collective({Kind::kBroadcast, count, type, ncclSum, root}, send, receive, comm, stream);
}

ncclResult_t ncclSend(const void* data, std::size_t count, ncclDataType_t type, int peer,
                      ncclComm_t comm, cudaStream_t stream) {
  hooks::Lock lock = hooks::lock();
  return call_transfer(lock, true, const_cast<void*>(data), count, type, peer, comm, stream);
}

ncclResult_t ncclRecv(void* data, std::size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream) {
  hooks::Lock lock = hooks::lock();
  return call_transfer(lock, false, data, count, type, peer, comm, stream);
}

}  // extern "C"

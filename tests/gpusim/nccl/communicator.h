// Communicators, groups, and the call of one rank.
#pragma once

#include <nccl.h>

#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "tests/gpusim/nccl/meeting.h"
#include "tests/gpusim/runtime/hooks.h"

struct ncclComm {
  std::shared_ptr<gpusim::nccl::World> world;
  int rank = 0;
  int device = 0;
};

namespace gpusim::nccl {

ncclResult_t refuse(ncclResult_t result, std::string_view who, std::string_view what);

// Makes the communicator of `rank` in the world of `id`, on the current device. The caller waits
// for the others (wait_for_ranks), at once or at the end of its group.
ncclResult_t join(hooks::Lock& lock, ncclComm_t* comm, int ranks, std::uint64_t id, int rank);
// Blocks until all ranks have joined; a report and an error after GPUSIM_DEADLOCK_MS.
ncclResult_t wait_for_ranks(hooks::Lock& lock, const World& world);
ncclResult_t destroy(ncclComm_t comm);
bool alive(ncclComm_t comm);
std::uint64_t new_id();

// This rank's part of a meeting, to be queued in its stream when the group ends.
struct Part {
  ncclComm_t comm = nullptr;
  cudaStream_t stream = nullptr;
  std::shared_ptr<Meeting> meeting;
  std::size_t party = 0;
};

ncclResult_t call_collective(hooks::Lock& lock, const Collective& collective, const void* send,
                             void* receive, ncclComm_t comm, cudaStream_t stream);
// One side of a transfer: `peer` is the other rank.
ncclResult_t call_transfer(hooks::Lock& lock, bool sends, void* data, std::size_t count,
                           ncclDataType_t type, int peer, ncclComm_t comm, cudaStream_t stream);

// Groups of the calling thread.
bool in_group();
void begin_group();
ncclResult_t end_group(hooks::Lock& lock);
void wait_at_group_end(std::shared_ptr<World> world);

}  // namespace gpusim::nccl

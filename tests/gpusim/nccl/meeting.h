// A meeting is one collective or one send with its receive: it takes place when the streams of all
// who take part have come to it. Everything here is under the runtime's lock.
#pragma once

#include <nccl.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace gpusim::nccl {

enum class Kind : std::uint8_t { kAllReduce, kReduce, kReduceScatter, kAllGather, kBroadcast };

// What every rank must say alike.
struct Collective {
  Kind kind = Kind::kAllReduce;
  std::size_t count = 0;
  ncclDataType_t type = ncclInt8;
  ncclRedOp_t operation = ncclSum;
  int root = 0;
  bool operator==(const Collective&) const = default;
};

std::string text(const Collective& collective);
std::size_t element_bytes(ncclDataType_t type);  // 0: no such type

// One rank's buffers, in bytes of its device's memory.
struct Buffers {
  const void* send = nullptr;
  void* receive = nullptr;
  std::size_t send_bytes = 0, receive_bytes = 0;  // 0: this rank does not use it
};

// What a collective of `ranks` reads and writes on this rank.
Buffers buffers(const Collective& collective, int rank, int ranks, const void* send, void* receive);

struct Party {
  bool called = false, arrived = false;
  Buffers buffers;
};

struct Meeting {
  Collective collective;
  std::vector<Party> parties;  // one a rank; of a transfer: sender, receiver
  bool transfer = false;
  bool done = false;

  bool complete() const;  // all have arrived
  // Moves the bytes, once. Float sums run over the ranks in an order drawn from the seed.
  void hold();
};

// All ranks of one unique id.
struct World {
  int ranks = 0;
  std::vector<int> devices;            // of each rank, -1: has not joined
  std::vector<std::uint64_t> threads;  // number of the thread that last called for the rank
  std::map<std::uint64_t, std::shared_ptr<Meeting>>
      collectives;                  // by their number in program order
  std::vector<std::uint64_t> next;  // number of each rank's next collective
  // By (sender, receiver): transfers that wait for their other side, oldest first.
  std::map<std::pair<int, int>, std::deque<std::shared_ptr<Meeting>>> transfers;

  explicit World(int n)
      : ranks(n),
        devices(static_cast<std::size_t>(n), -1),
        threads(static_cast<std::size_t>(n)),
        next(static_cast<std::size_t>(n), 0) {}
  bool joined() const;
};

}  // namespace gpusim::nccl

#include "tests/gpusim/nccl/communicator.h"

#include <fmt/format.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <set>
#include <utility>

namespace gpusim::nccl {
namespace {

// Under the runtime's lock.
struct Registry {
  std::set<ncclComm_t> alive;
  std::map<std::uint64_t, std::shared_ptr<World>> worlds;
  std::uint64_t ids = 0;
  std::condition_variable joined;
};

Registry& registry() {
  static auto* const instance = new Registry;
  return *instance;
}

// Of the calling thread.
struct Group {
  int depth = 0;
  std::vector<Part> parts;
  std::vector<std::shared_ptr<World>> joining;
};
thread_local Group group;

// From 1; unlike std::thread::id never used again.
std::uint64_t thread_number() {
  static std::atomic<std::uint64_t> threads{0};
  thread_local const std::uint64_t number = ++threads;
  return number;
}

// Parts that one rank puts into one stream in one group run as one operation: none of them waits
// for another.
void queue(hooks::Lock& lock, std::vector<Part> parts) {
  const Part& first = parts.front();
  const Meeting& meeting = *first.meeting;
  std::string what = fmt::format(
      "{} by rank {}", meeting.transfer ? "ncclSend or ncclRecv" : text(meeting.collective),
      first.comm->rank);
  const cudaStream_t stream = first.stream;
  const int device = first.comm->device;
  auto shared = std::make_shared<std::vector<Part>>(std::move(parts));
  hooks::enqueue(
      lock, stream, device, std::move(what),
      [shared] {
        for (const Part& part : *shared) part.meeting->hold();
      },
      [shared] {
        bool ready = true;
        for (const Part& part : *shared) {
          part.meeting->parties[part.party].arrived = true;
          ready = ready && part.meeting->complete();
        }
        return ready;
      });
}

void queue_or_collect(hooks::Lock& lock, Part part) {
  if (in_group())
    group.parts.push_back(std::move(part));
  else
    queue(lock, {std::move(part)});
}

// What every call of a rank must satisfy; cudaErrors come from the runtime.
ncclResult_t check_call(std::string_view who, ncclComm_t comm, cudaStream_t stream,
                        const Buffers& buffers) {
  if (hooks::enter(who) != cudaSuccess) return ncclUnhandledCudaError;
  if (!alive(comm)) return refuse(ncclInvalidArgument, who, "no such communicator");
  if (hooks::current_device() != comm->device)
    return refuse(ncclInvalidUsage, who,
                  fmt::format("rank {} of device {} is used while device {} is current", comm->rank,
                              comm->device, hooks::current_device()));
  if (hooks::stream_device(stream) != comm->device)
    return refuse(ncclInvalidUsage, who, "the stream is of another device than the rank, or none");
  if (buffers.send_bytes != 0)
    if (const auto fault =
            hooks::device_range_fault(buffers.send, buffers.send_bytes, comm->device))
      return refuse(ncclInvalidArgument, who, "send buffer: " + *fault);
  if (buffers.receive_bytes != 0)
    if (const auto fault =
            hooks::device_range_fault(buffers.receive, buffers.receive_bytes, comm->device))
      return refuse(ncclInvalidArgument, who, "receive buffer: " + *fault);
  if (in_group()) return ncclSuccess;
  World& world = *comm->world;
  const std::uint64_t self = thread_number();
  for (int rank = 0; rank < world.ranks; ++rank)
    if (rank != comm->rank && world.threads[static_cast<std::size_t>(rank)] == self)
      return refuse(ncclInvalidUsage, who,
                    fmt::format("one thread drives ranks {} and {} outside ncclGroupStart and "
                                "ncclGroupEnd: this hangs on a GPU",
                                rank, comm->rank));
  world.threads[static_cast<std::size_t>(comm->rank)] = self;
  return ncclSuccess;
}

// In place, or apart.
ncclResult_t check_overlap(const Collective& c, std::string_view who, const Buffers& b, int rank) {
  const auto* send = static_cast<const std::byte*>(b.send);
  const auto* receive = static_cast<const std::byte*>(b.receive);
  if (send >= receive + b.receive_bytes || receive >= send + b.send_bytes) return ncclSuccess;
  const std::size_t own = static_cast<std::size_t>(rank) * c.count * element_bytes(c.type);
  const bool in_place = c.kind == Kind::kAllGather       ? send == receive + own
                        : c.kind == Kind::kReduceScatter ? receive == send + own
                                                         : send == receive;
  return in_place ? ncclSuccess
                  : refuse(ncclInvalidUsage, who, "the buffers overlap and are not in place");
}

}  // namespace

ncclResult_t refuse(ncclResult_t result, std::string_view who, std::string_view what) {
  hooks::report(who, what);
  return result;
}

std::uint64_t new_id() { return ++registry().ids; }
bool alive(ncclComm_t comm) { return registry().alive.contains(comm); }

ncclResult_t join(hooks::Lock&, ncclComm_t* comm, int ranks, std::uint64_t id, int rank) {
  constexpr std::string_view kWho = "ncclCommInitRank";
  if (hooks::enter(kWho) != cudaSuccess) return ncclUnhandledCudaError;
  if (ranks < 1 || rank < 0 || rank >= ranks || id == 0 || id > registry().ids)
    return refuse(ncclInvalidArgument, kWho, fmt::format("rank {} of {}", rank, ranks));
  std::shared_ptr<World>& world = registry().worlds[id];
  if (!world) world = std::make_shared<World>(ranks);
  if (world->ranks != ranks)
    return refuse(ncclInvalidArgument, kWho,
                  fmt::format("rank {} counts {} ranks, others {}", rank, ranks, world->ranks));
  const int device = hooks::current_device();
  for (int other = 0; other < ranks; ++other)
    if (other == rank ? world->devices[static_cast<std::size_t>(other)] >= 0
                      : world->devices[static_cast<std::size_t>(other)] == device)
      return refuse(
          ncclInvalidUsage, kWho,
          fmt::format("rank {} on device {}: rank {} is there already", rank, device, other));
  world->devices[static_cast<std::size_t>(rank)] = device;
  *comm = new ncclComm{world, rank, device};
  registry().alive.insert(*comm);
  registry().joined.notify_all();
  return ncclSuccess;
}

ncclResult_t wait_for_ranks(hooks::Lock& lock, const World& world) {
  const auto limit = std::chrono::milliseconds(hooks::deadlock_ms());
  if (registry().joined.wait_for(lock, limit, [&world] { return world.joined(); }))
    return ncclSuccess;
  std::string missing;
  for (int rank = 0; rank < world.ranks; ++rank)
    if (world.devices[static_cast<std::size_t>(rank)] < 0) missing.append(fmt::format(" {}", rank));
  return refuse(ncclSystemError, "ncclCommInitRank",
                fmt::format("of {} ranks these never joined:{}", world.ranks, missing));
}

ncclResult_t destroy(ncclComm_t comm) {
  if (registry().alive.erase(comm) == 0)
    return refuse(ncclInvalidArgument, "ncclCommDestroy", "no such communicator");
  return ncclSuccess;  // the object stays: queued parts name it
}

ncclResult_t call_collective(hooks::Lock& lock, const Collective& collective, const void* send,
                             void* receive, ncclComm_t comm, cudaStream_t stream) {
  if (!alive(comm)) return refuse(ncclInvalidArgument, text(collective), "no such communicator");
  World& world = *comm->world;
  const auto rank = static_cast<std::size_t>(comm->rank);
  const std::string who = fmt::format("{} by rank {}", text(collective), rank);
  if (element_bytes(collective.type) == 0 || collective.root < 0 || collective.root >= world.ranks)
    return refuse(ncclInvalidArgument, who, "no such type or root");
  const Buffers own = buffers(collective, comm->rank, world.ranks, send, receive);
  ncclResult_t result = check_call(who, comm, stream, own);
  if (result == ncclSuccess) result = check_overlap(collective, who, own, comm->rank);
  if (result != ncclSuccess) return result;

  const std::uint64_t number = world.next[rank]++;
  std::shared_ptr<Meeting>& meeting = world.collectives[number];
  if (!meeting) {
    meeting = std::make_shared<Meeting>();
    meeting->collective = collective;
    meeting->parties.resize(static_cast<std::size_t>(world.ranks));
  }
  if (meeting->collective != collective) {
    hooks::fail(cudaErrorLaunchFailure);  // a GPU would hang or mix bytes
    return refuse(
        ncclInvalidUsage, who,
        fmt::format("others call {} as their collective {}", text(meeting->collective), number));
  }
  meeting->parties[rank].buffers = own;
  queue_or_collect(lock, {comm, stream, meeting, rank});
  std::size_t called = 0;
  meeting->parties[rank].called = true;
  for (const Party& party : meeting->parties) called += party.called ? 1 : 0;
  if (called == meeting->parties.size()) world.collectives.erase(number);
  return ncclSuccess;
}

ncclResult_t call_transfer(hooks::Lock& lock, bool sends, void* data, std::size_t count,
                           ncclDataType_t type, int peer, ncclComm_t comm, cudaStream_t stream) {
  const char* who = sends ? "ncclSend" : "ncclRecv";
  if (!alive(comm)) return refuse(ncclInvalidArgument, who, "no such communicator");
  World& world = *comm->world;
  if (element_bytes(type) == 0 || peer < 0 || peer >= world.ranks || peer == comm->rank)
    return refuse(ncclInvalidArgument, who, fmt::format("no such type, or peer {}", peer));
  const std::size_t bytes = count * element_bytes(type);
  const Buffers own = sends ? Buffers{data, nullptr, bytes, 0} : Buffers{nullptr, data, 0, bytes};
  const ncclResult_t result = check_call(who, comm, stream, own);
  if (result != ncclSuccess) return result;

  // The oldest transfer of this pair whose side of ours is open.
  const std::size_t party = sends ? 0 : 1;
  auto& waiting =
      world.transfers[sends ? std::pair(comm->rank, peer) : std::pair(peer, comm->rank)];
  std::shared_ptr<Meeting> meeting;
  if (!waiting.empty() && !waiting.front()->parties[party].called) {
    meeting = waiting.front();
    waiting.pop_front();
    if (meeting->collective.count != count || meeting->collective.type != type) {
      hooks::fail(cudaErrorLaunchFailure);
      return refuse(ncclInvalidUsage, who,
                    fmt::format("{} elements of type {}, where the other side has {} of type {}",
                                count, static_cast<int>(type), meeting->collective.count,
                                static_cast<int>(meeting->collective.type)));
    }
  } else {
    meeting = std::make_shared<Meeting>();
    meeting->transfer = true;
    meeting->collective.count = count;
    meeting->collective.type = type;
    meeting->parties.resize(2);
    waiting.push_back(meeting);
  }
  meeting->parties[party] = {true, false, own};
  queue_or_collect(lock, {comm, stream, meeting, party});
  return ncclSuccess;
}

bool in_group() { return group.depth > 0; }
void begin_group() { ++group.depth; }
void wait_at_group_end(std::shared_ptr<World> world) { group.joining.push_back(std::move(world)); }

ncclResult_t end_group(hooks::Lock& lock) {
  if (group.depth == 0) return refuse(ncclInvalidUsage, "ncclGroupEnd", "no group was begun");
  if (--group.depth > 0) return ncclSuccess;
  for (const auto& world : std::exchange(group.joining, {})) {
    const ncclResult_t result = wait_for_ranks(lock, *world);
    if (result != ncclSuccess) return result;
  }
  // One operation for each rank and stream.
  std::vector<std::vector<Part>> operations;
  for (Part& part : std::exchange(group.parts, {})) {
    std::vector<Part>* same = nullptr;
    for (auto& operation : operations)
      if (operation.front().comm == part.comm && operation.front().stream == part.stream)
        same = &operation;
    if (same == nullptr) same = &operations.emplace_back();
    same->push_back(std::move(part));
  }
  for (auto& operation : operations) queue(lock, std::move(operation));
  return ncclSuccess;
}

}  // namespace gpusim::nccl

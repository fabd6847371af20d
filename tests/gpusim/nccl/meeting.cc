#include "tests/gpusim/nccl/meeting.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "tests/gpusim/runtime/hooks.h"

namespace gpusim::nccl {
namespace {

using Bytes = std::vector<std::byte>;

template <class T>
T combined(T a, T b, ncclRedOp_t operation) {
  switch (operation) {
    case ncclProd:
      return static_cast<T>(a * b);
    case ncclMax:
      return std::max(a, b);
    case ncclMin:
      return std::min(a, b);
    default:
      return static_cast<T>(a + b);
  }
}

template <class T>
void reduce_as(std::byte* into, const void* other, std::size_t count, ncclRedOp_t operation) {
  auto* a = reinterpret_cast<T*>(into);
  const auto* b = static_cast<const T*>(other);
  for (std::size_t i = 0; i < count; ++i) a[i] = combined(a[i], b[i], operation);
}

void reduce(std::byte* into, const void* other, const Collective& c) {
  switch (c.type) {
    case ncclInt8:
      return reduce_as<std::int8_t>(into, other, c.count, c.operation);
    case ncclUint8:
      return reduce_as<std::uint8_t>(into, other, c.count, c.operation);
    case ncclInt32:
      return reduce_as<std::int32_t>(into, other, c.count, c.operation);
    case ncclUint32:
      return reduce_as<std::uint32_t>(into, other, c.count, c.operation);
    case ncclInt64:
      return reduce_as<std::int64_t>(into, other, c.count, c.operation);
    case ncclUint64:
      return reduce_as<std::uint64_t>(into, other, c.count, c.operation);
    case ncclFloat32:
      return reduce_as<float>(into, other, c.count, c.operation);
    case ncclFloat64:
      return reduce_as<double>(into, other, c.count, c.operation);
    default:
      hooks::report(
          "nccl", fmt::format("reductions of type {} are not emulated", static_cast<int>(c.type)));
  }
}

// All ranks' elements [offset, offset + count) as one.
Bytes total(const std::vector<Party>& parties, const Collective& c, std::size_t offset_bytes) {
  const std::size_t bytes = c.count * element_bytes(c.type);
  const std::size_t first = hooks::any_order() % parties.size();
  const auto part = [&](std::size_t i) {
    return static_cast<const std::byte*>(parties[(first + i) % parties.size()].buffers.send) +
           offset_bytes;
  };
  Bytes sum(part(0), part(0) + bytes);
  for (std::size_t i = 1; i < parties.size(); ++i) reduce(sum.data(), part(i), c);
  return sum;
}

void deliver(const Party& party, const Bytes& bytes) {
  std::memcpy(party.buffers.receive, bytes.data(), bytes.size());
  hooks::mark_initialised(party.buffers.receive, bytes.size());
}

void check_written(const Party& party, std::string_view who) {
  const Buffers& b = party.buffers;
  if (b.send_bytes != 0 && hooks::first_uninitialised(b.send, b.send_bytes) != nullptr)
    hooks::report(who, "the send buffer holds bytes that were never written");
}

}  // namespace

std::size_t element_bytes(ncclDataType_t type) {
  switch (type) {
    case ncclInt8:
    case ncclUint8:
      return 1;
    case ncclFloat16:
    case ncclBfloat16:
      return 2;
    case ncclInt32:
    case ncclUint32:
    case ncclFloat32:
      return 4;
    case ncclInt64:
    case ncclUint64:
    case ncclFloat64:
      return 8;
    default:
      return 0;
  }
}

std::string text(const Collective& c) {
  static constexpr const char* kNames[] = {"ncclAllReduce", "ncclReduce", "ncclReduceScatter",
                                           "ncclAllGather", "ncclBroadcast"};
  return fmt::format("{} of {} x type {}, operation {}, root {}",
                     kNames[static_cast<std::size_t>(c.kind)], c.count, static_cast<int>(c.type),
                     static_cast<int>(c.operation), c.root);
}

Buffers buffers(const Collective& c, int rank, int ranks, const void* send, void* receive) {
  const std::size_t part = c.count * element_bytes(c.type);
  const std::size_t whole = part * static_cast<std::size_t>(ranks);
  switch (c.kind) {
    case Kind::kAllReduce:
      return {send, receive, part, part};
    case Kind::kReduce:
      return {send, receive, part, rank == c.root ? part : 0};
    case Kind::kReduceScatter:
      return {send, receive, whole, part};
    case Kind::kAllGather:
      return {send, receive, part, whole};
    case Kind::kBroadcast:
      return {send, receive, rank == c.root ? part : 0, part};
  }
  return {};
}

bool Meeting::complete() const {
  return std::all_of(parties.begin(), parties.end(), [](const Party& p) { return p.arrived; });
}

void Meeting::hold() {
  if (done) return;
  done = true;
  const std::string who = transfer ? "ncclSend" : text(collective);
  for (const Party& party : parties) check_written(party, who);
  const auto bytes_of = [](const Party& party) {
    const auto* p = static_cast<const std::byte*>(party.buffers.send);
    return Bytes(p, p + party.buffers.send_bytes);
  };
  if (transfer) return deliver(parties[1], bytes_of(parties[0]));
  const auto root = static_cast<std::size_t>(collective.root);
  const std::size_t part = collective.count * element_bytes(collective.type);
  switch (collective.kind) {
    case Kind::kAllReduce: {
      const Bytes sum = total(parties, collective, 0);
      for (const Party& party : parties) deliver(party, sum);
      break;
    }
    case Kind::kReduce:
      deliver(parties[root], total(parties, collective, 0));
      break;
    case Kind::kReduceScatter: {
      std::vector<Bytes> sums;  // all before any is delivered: buffers may be in place
      for (std::size_t r = 0; r < parties.size(); ++r)
        sums.push_back(total(parties, collective, r * part));
      for (std::size_t r = 0; r < parties.size(); ++r) deliver(parties[r], sums[r]);
      break;
    }
    case Kind::kAllGather: {
      Bytes all;
      for (const Party& party : parties) {
        const Bytes own = bytes_of(party);
        all.insert(all.end(), own.begin(), own.end());
      }
      for (const Party& party : parties) deliver(party, all);
      break;
    }
    case Kind::kBroadcast: {
      const Bytes sent = bytes_of(parties[root]);
      for (const Party& party : parties) deliver(party, sent);
      break;
    }
  }
}

bool World::joined() const {
  return std::none_of(devices.begin(), devices.end(), [](int device) { return device < 0; });
}

}  // namespace gpusim::nccl

// NCCL: right results by groups and by threads on any number of devices, and the mistakes that hang
// or corrupt on a GPU.
#include <fmt/format.h>
#include <nccl.h>

#include <array>
#include <cstdint>
#include <thread>
#include <vector>

#include "tests/gpusim/host/case.h"

namespace gpusim::host {
namespace {

constexpr std::size_t kCount = 100;  // elements a rank

struct Rank {
  int index = 0;
  ncclComm_t comm = nullptr;
  cudaStream_t stream = nullptr;
  std::int64_t *send = nullptr, *receive = nullptr;  // ranks * kCount elements
};

int device_count() {
  int count = 0;
  MUST(cudaGetDeviceCount(&count));
  return count;
}

// Element i of rank r's send buffer.
std::int64_t sent(int r, std::size_t i) { return 1000 * (r + 1) + static_cast<std::int64_t>(i); }

void give_memory(Rank& rank, int ranks) {
  MUST(cudaSetDevice(rank.index));
  MUST(cudaStreamCreateWithFlags(&rank.stream, cudaStreamNonBlocking));
  const std::size_t count = kCount * static_cast<std::size_t>(ranks);
  std::vector<std::int64_t> values(count);
  for (std::size_t i = 0; i < count; ++i) values[i] = sent(rank.index, i);
  MUST(cudaMalloc(&rank.send, count * sizeof(std::int64_t)));
  MUST(cudaMalloc(&rank.receive, count * sizeof(std::int64_t)));
  MUST(cudaMemcpyAsync(rank.send, values.data(), count * sizeof(std::int64_t),
                       cudaMemcpyHostToDevice, rank.stream));
}

// All ranks of this process, one a device.
std::vector<Rank> make_ranks() {
  const int ranks = device_count();
  std::vector<ncclComm_t> comms(static_cast<std::size_t>(ranks));
  MUST(ncclCommInitAll(comms.data(), ranks, nullptr));
  std::vector<Rank> all;
  for (int r = 0; r < ranks; ++r) {
    all.push_back({.index = r, .comm = comms[static_cast<std::size_t>(r)]});
    give_memory(all.back(), ranks);
  }
  return all;
}

template <class Check>
bool received(const Rank& rank, std::size_t count, Check want) {
  MUST(cudaSetDevice(rank.index));
  std::vector<std::int64_t> values(count);
  MUST(cudaMemcpyAsync(values.data(), rank.receive, count * sizeof(std::int64_t),
                       cudaMemcpyDeviceToHost, rank.stream));
  for (std::size_t i = 0; i < count; ++i)
    if (values[i] != want(i)) return false;
  return true;
}

std::int64_t sum_at(int ranks, std::size_t i) {
  std::int64_t sum = 0;
  for (int r = 0; r < ranks; ++r) sum += sent(r, i);
  return sum;
}

// One collective after another by all ranks, each checked: `together(step)` has every rank do it.
template <class Together>
int collectives(std::vector<Rank>& ranks, Together together) {
  const int n = static_cast<int>(ranks.size());
  const auto whole = kCount * ranks.size();
  bool right = true;
  together([](const Rank& r) {
    MUST(ncclAllReduce(r.send, r.receive, kCount, ncclInt64, ncclSum, r.comm, r.stream));
  });
  for (const Rank& r : ranks)
    right = right && received(r, kCount, [&](std::size_t i) { return sum_at(n, i); });
  together([](const Rank& r) {
    MUST(ncclReduceScatter(r.send, r.receive, kCount, ncclInt64, ncclSum, r.comm, r.stream));
  });
  for (const Rank& r : ranks)
    right = right && received(r, kCount, [&](std::size_t i) {
              return sum_at(n, static_cast<std::size_t>(r.index) * kCount + i);
            });
  together([](const Rank& r) {
    MUST(ncclAllGather(r.send, r.receive, kCount, ncclInt64, r.comm, r.stream));
  });
  for (const Rank& r : ranks)
    right = right && received(r, whole, [&](std::size_t i) {
              return sent(static_cast<int>(i / kCount), i % kCount);
            });
  together([n](const Rank& r) {
    MUST(ncclBroadcast(r.send, r.receive, kCount, ncclInt64, n - 1, r.comm, r.stream));
  });
  for (const Rank& r : ranks)
    right = right && received(r, kCount, [&](std::size_t i) { return sent(n - 1, i); });
  return right ? kRight : kWrongBytes;
}

int by_group() {
  std::vector<Rank> ranks = make_ranks();
  return collectives(ranks, [&ranks](auto step) {
    MUST(ncclGroupStart());
    for (const Rank& rank : ranks) {
      MUST(cudaSetDevice(rank.index));
      step(rank);
    }
    MUST(ncclGroupEnd());
  });
}

int by_threads() {
  std::vector<Rank> ranks(static_cast<std::size_t>(device_count()));
  ncclUniqueId id;
  MUST(ncclGetUniqueId(&id));
  const auto all = [&ranks](auto step) {
    std::vector<std::thread> threads;
    for (Rank& rank : ranks)
      threads.emplace_back([&rank, step] {
        MUST(cudaSetDevice(rank.index));
        step(rank);
        if (rank.stream != nullptr) MUST(cudaStreamSynchronize(rank.stream));
      });
    for (std::thread& thread : threads) thread.join();
  };
  for (std::size_t r = 0; r < ranks.size(); ++r) ranks[r].index = static_cast<int>(r);
  const int n = static_cast<int>(ranks.size());
  all([n, id](Rank& rank) {
    MUST(ncclCommInitRank(&rank.comm, n, id, rank.index));
    give_memory(rank, n);
  });
  return collectives(ranks, all);
}

// Everybody sends to the next rank and receives from the one before.
int ring() {
  std::vector<Rank> ranks = make_ranks();
  const int n = static_cast<int>(ranks.size());
  MUST(ncclGroupStart());
  for (const Rank& r : ranks) {
    MUST(cudaSetDevice(r.index));
    MUST(ncclSend(r.send, kCount, ncclInt64, (r.index + 1) % n, r.comm, r.stream));
    MUST(ncclRecv(r.receive, kCount, ncclInt64, (r.index + n - 1) % n, r.comm, r.stream));
  }
  MUST(ncclGroupEnd());
  for (const Rank& r : ranks)
    if (!received(r, kCount, [&](std::size_t i) { return sent((r.index + n - 1) % n, i); }))
      return kWrongBytes;
  return kRight;
}

int report(ncclResult_t result) {
  fmt::print("got {}\n", ncclGetErrorString(result));
  return kRight;
}

ncclResult_t all_reduce(const Rank& r, std::size_t count = kCount) {
  MUST(cudaSetDevice(r.index));
  return ncclAllReduce(r.send, r.receive, count, ncclInt64, ncclSum, r.comm, r.stream);
}

int no_group() {
  const std::vector<Rank> ranks = make_ranks();
  report(all_reduce(ranks[0]));
  return report(all_reduce(ranks[1]));
}

int mismatch() {
  const std::vector<Rank> ranks = make_ranks();
  MUST(ncclGroupStart());
  report(all_reduce(ranks[0]));
  report(all_reduce(ranks[1], kCount / 2));
  report(ncclGroupEnd());
  return say(cudaStreamSynchronize(ranks[0].stream));
}

int lonely() {
  const std::vector<Rank> ranks = make_ranks();
  report(all_reduce(ranks[0]));
  return say(cudaStreamSynchronize(ranks[0].stream));
}

int never_joins() {
  ncclUniqueId id;
  MUST(ncclGetUniqueId(&id));
  ncclComm_t comm = nullptr;
  return report(ncclCommInitRank(&comm, 2, id, 0));
}

int same_device_twice() {
  const std::array<int, 2> devices = {0, 0};
  std::array<ncclComm_t, 2> comms;
  return report(ncclCommInitAll(comms.data(), 2, devices.data()));
}

int wrong_device_current() {
  const std::vector<Rank> ranks = make_ranks();
  MUST(cudaSetDevice(1));
  const Rank& r = ranks[0];
  return report(ncclAllReduce(r.send, r.receive, kCount, ncclInt64, ncclSum, r.comm, r.stream));
}

int host_buffer() {
  const std::vector<Rank> ranks = make_ranks();
  std::vector<std::int64_t> host(kCount);
  MUST(cudaSetDevice(0));
  return report(ncclAllReduce(host.data(), ranks[0].receive, kCount, ncclInt64, ncclSum,
                              ranks[0].comm, ranks[0].stream));
}

int overlap() {
  const std::vector<Rank> ranks = make_ranks();
  const Rank& r = ranks[0];
  MUST(cudaSetDevice(0));
  return report(ncclAllReduce(r.send, r.send + 1, kCount, ncclInt64, ncclSum, r.comm, r.stream));
}

int transfer_mismatch() {
  const std::vector<Rank> ranks = make_ranks();
  MUST(ncclGroupStart());
  MUST(cudaSetDevice(0));
  report(ncclSend(ranks[0].send, kCount, ncclInt64, 1, ranks[0].comm, ranks[0].stream));
  MUST(cudaSetDevice(1));
  report(ncclRecv(ranks[1].receive, kCount - 1, ncclInt64, 0, ranks[1].comm, ranks[1].stream));
  return report(ncclGroupEnd());
}

int send_without_receive() {
  const std::vector<Rank> ranks = make_ranks();
  MUST(cudaSetDevice(0));
  report(ncclSend(ranks[0].send, kCount, ncclInt64, 1, ranks[0].comm, ranks[0].stream));
  return say(cudaStreamSynchronize(ranks[0].stream));
}

int unwritten_buffer() {
  std::vector<Rank> ranks = make_ranks();
  MUST(cudaSetDevice(1));
  MUST(cudaMalloc(&ranks[1].send, kCount * sizeof(std::int64_t)));
  MUST(ncclGroupStart());
  for (const Rank& rank : ranks) report(all_reduce(rank));
  MUST(ncclGroupEnd());
  return say(cudaStreamSynchronize(ranks[1].stream));
}

constexpr std::array kCases = {
    Case{"nccl_by_group", by_group},
    Case{"nccl_by_threads", by_threads},
    Case{"nccl_ring", ring},
    Case{"nccl_no_group", no_group},
    Case{"nccl_mismatch", mismatch},
    Case{"nccl_lonely", lonely},
    Case{"nccl_never_joins", never_joins},
    Case{"nccl_same_device_twice", same_device_twice},
    Case{"nccl_wrong_device_current", wrong_device_current},
    Case{"nccl_host_buffer", host_buffer},
    Case{"nccl_overlap", overlap},
    Case{"nccl_transfer_mismatch", transfer_mismatch},
    Case{"nccl_send_without_receive", send_without_receive},
    Case{"nccl_unwritten_buffer", unwritten_buffer},
};

}  // namespace

std::span<const Case> nccl_cases() { return kCases; }

}  // namespace gpusim::host

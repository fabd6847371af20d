// A whole server in one thread on a simulated disk and a manual clock: the real intake, spool,
// engine and stores, without sockets. Tests hold the network, the disk and the time in their hands.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/simulated_storage.h"
#include "server/engine.h"

namespace muster::sim {

/// ingest::Service without threads: what the receiver and the committer do, when the test says so.
class DirectService final : public ingest::Service {
 public:
  DirectService(ingest::Spool& spool, ingest::SlotPool& slots, const ingest::NodeSecret& secret,
                BoundedQueue<ingest::Arrival>& arrivals, const Clock& clock, Stats& stats);

  void serve() override {}
  void open_round(ingest::RoundSpec spec, std::vector<ingest::RecordHeader> recovered) override;
  void close_round(TaskId task, RoundNumber round) override;
  void remember_sealed(TaskId task, const std::string& task_name,
                       ingest::SealedRound round) override;
  void forget_round(TaskId task, RoundNumber round) override;
  void release_round(TaskId task, RoundNumber round) override;
  void disconnect(const ingest::PublicKey&) override {}
  void drain() override {}
  void stop() override {}
  std::vector<std::string> endpoints() const override { return {}; }

  ingest::Verdict receive(const ingest::Peer& peer, std::span<const ConstBytes> frames);
  /// One group commit of everything admitted since the last; the receipts it allowed.
  Result<std::vector<ingest::Reply>> commit();
  /// First failure of the spool outside commit().
  const Status& failure() const { return failure_; }

 private:
  ingest::Spool& spool_;
  ingest::SlotPool& slots_;
  ingest::Intake intake_;
  BoundedQueue<ingest::Arrival>& arrivals_;
  const Clock& clock_;
  std::vector<ingest::SlotIndex> pending_;
  Status failure_;
};

struct SimOptions {
  server::Config config;
  std::string backend = "cpu";
  std::size_t backend_bytes = std::size_t{8} << 20;  ///< CUDA: memory of each device
  double hang_seconds = 600;                         ///< CUDA; an emulated device is slow
  kernels::CpuLevel level = kernels::detect_cpu_level();
  std::size_t threads = 1;
  std::size_t slots = 64;
  std::size_t slot_bytes = 4096;
};

/// One boot of a server; destroy it to "kill" it, make another on the same storage to restart.
class SimNode {
 public:
  static Result<std::unique_ptr<SimNode>> boot(Storage& storage, const SimOptions& options,
                                               const Clock& clock);
  /// A message of device number `device` (an enrolled key of its own). The direct reply, if any.
  std::optional<ingest::Reply> send(std::uint32_t device, const wire::Message& message,
                                    ConstBytes payload = {});
  Result<std::vector<ingest::Reply>> commit() { return service_->commit(); }
  /// Lets the engine work until nothing is left to do.
  Status settle();
  server::Engine& engine() { return *engine_; }
  kernels::Backend& backend() { return *backend_; }
  Stats& stats() { return stats_; }
  server::ControlStore& control() { return *control_; }
  server::Task& task() { return *engine_->tasks().begin()->second; }
  /// SHA-256 of a released model file, as indexed.
  Result<Sha256> model_hash(ModelVersion version);

 private:
  SimNode() = default;
  Stats stats_;
  std::unique_ptr<server::ControlStore> control_;
  std::optional<privacy::MasterKeys> masters_;
  ingest::RoundKeys round_keys_;
  std::unique_ptr<server::ModelStore> models_;
  std::unique_ptr<kernels::Backend> backend_;
  kernels::Buffer slab_;  ///< page-locked where there is a device; goes with the backend
  std::unique_ptr<ingest::SlotPool> slots_;
  std::unique_ptr<ingest::Spool> spool_;
  ingest::KeyRing keys_;
  std::unique_ptr<BoundedQueue<ingest::Arrival>> arrivals_;
  std::unique_ptr<DirectService> service_;
  std::unique_ptr<server::Engine> engine_;
  server::Config config_;
};

/// An update of a device, encoded for an assignment's chunk plan: random int8 blocks.
struct SimUpdate {
  std::uint64_t nonce = 0;
  std::vector<std::vector<std::byte>> chunks;
};
SimUpdate random_update(const ingest::RoundSpec& plan, std::uint64_t seed);
wire::Message submit_message(const wire::Assignment& assignment, const SimUpdate& update,
                             std::uint32_t chunk, std::uint32_t weight = 1);

}  // namespace muster::sim

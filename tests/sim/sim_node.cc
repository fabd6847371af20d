#include "tests/sim/sim_node.h"

#include <cmath>
#include <cstring>
#include <random>

#include "base/limits.h"
#include "server/secrets.h"

namespace muster::sim {

DirectService::DirectService(ingest::Spool& spool, ingest::SlotPool& slots,
                             const ingest::NodeSecret& secret,
                             BoundedQueue<ingest::Arrival>& arrivals, const Clock& clock,
                             Stats& stats)
    : spool_(spool),
      slots_(slots),
      intake_(slots, secret, stats),
      arrivals_(arrivals),
      clock_(clock) {}

void DirectService::open_round(ingest::RoundSpec spec,
                               std::vector<ingest::RecordHeader> recovered) {
  intake_.open_round(std::move(spec), recovered);
}

void DirectService::close_round(TaskId task, RoundNumber round) {
  if (!intake_.close_round(task, round)) return;
  ingest::Arrival drained;
  drained.kind = ingest::Arrival::Kind::kRoundDrained;
  drained.header.task = task;
  drained.header.round = round;
  arrivals_.try_push(drained);
}

void DirectService::remember_sealed(TaskId task, const std::string& task_name,
                                    ingest::SealedRound round) {
  intake_.remember_sealed(task, task_name, std::move(round));
}
void DirectService::forget_round(TaskId task, RoundNumber round) {
  intake_.forget_round(task, round);
}
void DirectService::release_round(TaskId task, RoundNumber round) {
  Status status = spool_.release_round(task, round);
  if (failure_.ok()) failure_ = std::move(status);
}

ingest::Verdict DirectService::receive(const ingest::Peer& peer,
                                       std::span<const ConstBytes> frames) {
  ingest::Verdict verdict = intake_.on_message(peer, frames, clock_.now(), {});
  if (verdict.slot != ingest::kNoSlot) pending_.push_back(verdict.slot);
  return verdict;
}

Result<std::vector<ingest::Reply>> DirectService::commit() {
  std::vector<ingest::PendingRecord> records;
  for (const auto slot : pending_) records.push_back({slots_.bytes(slot), {}});
  std::vector<ingest::Reply> replies;
  if (records.empty()) return replies;
  MUSTER_TRY(spool_.commit(records));
  for (std::size_t i = 0; i < pending_.size(); ++i) {
    ingest::Arrival arrival;
    arrival.slot = pending_[i];
    std::memcpy(&arrival.header, records[i].slot.data(), sizeof arrival.header);
    arrival.location = records[i].location;
    arrivals_.try_push(arrival);
  }
  std::vector<std::pair<TaskId, RoundNumber>> drained;
  intake_.on_durable(pending_, clock_.now(), replies, drained);
  pending_.clear();
  for (const auto& [task, round] : drained) {
    ingest::Arrival marker;
    marker.kind = ingest::Arrival::Kind::kRoundDrained;
    marker.header.task = task;
    marker.header.round = round;
    arrivals_.try_push(marker);
  }
  return replies;
}

Result<std::unique_ptr<SimNode>> SimNode::boot(Storage& storage, const SimOptions& options,
                                               const Clock& clock) {
  std::unique_ptr<SimNode> node(new SimNode);
  node->config_ = options.config;
  const std::string dir = options.config.data_dir;
  MUSTER_TRY(storage.make_directory(dir + "/spool"));
  MUSTER_ASSIGN(node->control_, server::ControlStore::open(storage, dir + "/control.db"));
  MUSTER_ASSIGN(node->masters_, server::open_master_keys(storage, node->config_, *node->control_));
  MUSTER_TRY(server::load_round_keys(*node->masters_, *node->control_, node->round_keys_));
  node->models_ = std::make_unique<server::ModelStore>(storage, dir);
  kernels::BackendOptions backend;
  backend.kind = options.backend;
  if (options.backend == "cuda") {
    backend.memory_bytes = options.backend_bytes;
    backend.host_bytes = options.slots * options.slot_bytes;
    backend.hang_seconds = options.hang_seconds;
  }
  backend.level = options.level;
  backend.threads = options.threads;
  MUSTER_ASSIGN(node->backend_, kernels::create_backend(backend, nullptr));
  MUSTER_ASSIGN(node->slab_, node->backend_->allocate_host(options.slots * options.slot_bytes));
  node->slots_ = std::make_unique<ingest::SlotPool>(
      MutableBytes(node->slab_.data, node->slab_.bytes), options.slot_bytes);
  server::RecoveredRounds recovered;
  ingest::SpoolOptions spool;
  spool.directory = dir + "/spool";
  spool.segment_bytes = 256 * 1024;
  spool.low_water_bytes = 0;
  spool.keys = &node->round_keys_;
  ingest::RecoveryReport report;
  MUSTER_ASSIGN(node->spool_,
                ingest::Spool::open(
                    storage, spool, node->stats_,
                    [&](const ingest::RecordHeader& header, ingest::RecordLocation where) {
                      recovered[{header.task, header.round}].push_back({header, where});
                    },
                    &report));
  node->arrivals_ =
      std::make_unique<BoundedQueue<ingest::Arrival>>(options.slots + 2 * limits::kMaxTasks);
  node->service_ =
      std::make_unique<DirectService>(*node->spool_, *node->slots_, node->control_->node_secret(),
                                      *node->arrivals_, clock, node->stats_);
  MUSTER_TRY(server::load_keys(*node->control_, node->keys_));
  node->engine_ = std::make_unique<server::Engine>(
      server::TaskParts{storage, *node->control_, *node->models_, *node->backend_, *node->spool_,
                        *node->slots_, *node->service_, clock, node->stats_, *node->masters_,
                        node->round_keys_, node->config_.spool.encrypt == "all"},
      *node->arrivals_, node->keys_, node->config_);
  MUSTER_TRY(node->engine_->start(std::move(recovered)));
  MUSTER_TRY(node->settle());
  return node;
}

std::optional<ingest::Reply> SimNode::send(std::uint32_t device, const wire::Message& message,
                                           ConstBytes payload) {
  ingest::Peer peer;
  peer.routing_id = "device-" + std::to_string(device);
  peer.user_id.assign(32, '\0');
  std::memcpy(peer.user_id.data(), &device, sizeof device);
  peer.key = {ingest::KeyState::kEnrolled, ingest::KeyRole::kDevice};
  const auto header = wire::build_header(message);
  std::vector<ConstBytes> frames = {header};
  if (wire::has_payload(message.body)) frames.push_back(payload);
  return service_->receive(peer, frames).reply;
}

Status SimNode::settle() {
  do {
    MUSTER_TRY(engine_->turn(0));
    MUSTER_TRY(service_->failure());
  } while (arrivals_->size() > 0);
  return {};
}

Result<Sha256> SimNode::model_hash(ModelVersion version) {
  MUSTER_ASSIGN(const auto models, control_->models(task().row().id));
  for (const auto& model : models)
    if (model.version == version) return model.hash;
  return Status(Code::kNotFound, "model_unknown", "no such version");
}

SimUpdate random_update(const ingest::RoundSpec& plan, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  SimUpdate update;
  update.nonce = random() | 1;
  for (std::uint32_t c = 0; c < plan.chunk_count; ++c) {
    const std::size_t d = plan.coordinates_of(c);
    std::vector<std::byte> payload(payload_bytes(plan.format, d));
    const std::size_t scales = scale_count(plan.format, d);
    for (std::size_t b = 0; b < scales; ++b)
      store(payload, 4 * b, static_cast<float>(1 + random() % 1000) * 1e-5f);
    for (std::size_t k = 4 * scales; k < payload.size(); ++k)
      payload[k] = static_cast<std::byte>(static_cast<int>(random() % 255) - 127);
    update.chunks.push_back(std::move(payload));
  }
  return update;
}

wire::Message submit_message(const wire::Assignment& assignment, const SimUpdate& update,
                             std::uint32_t chunk, std::uint32_t weight) {
  wire::Submit submit;
  submit.task = assignment.task;
  submit.round = assignment.round;
  submit.model_version = assignment.model_version;
  submit.nonce = update.nonce;
  submit.weight = weight;
  submit.dimension = assignment.dimension;
  submit.chunk = chunk;
  submit.chunk_count = static_cast<std::uint32_t>(update.chunks.size());
  const std::uint64_t first = std::uint64_t{chunk} * assignment.chunk_coordinates;
  submit.coordinates = static_cast<std::uint32_t>(
      std::min<std::uint64_t>(assignment.chunk_coordinates, assignment.dimension - first));
  submit.codec = static_cast<std::uint8_t>(assignment.format.codec);
  submit.log2_block = assignment.format.log2_block;
  submit.payload_bytes = static_cast<std::uint32_t>(update.chunks[chunk].size());
  submit.checksum = checksum(update.chunks[chunk]);
  submit.terms = assignment.terms;
  wire::Message message;
  message.request = chunk + 1;
  message.body = submit;
  return message;
}

}  // namespace muster::sim

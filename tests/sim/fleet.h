// A fleet of the simulated server: fixed updates, receipts remembered, resends of what has none.
#pragma once

#include <algorithm>
#include <random>
#include <vector>

#include "tests/sim/sim_node.h"

namespace muster::sim {

inline constexpr std::uint32_t kDevices = 12;
inline constexpr std::uint64_t kSeed = 20'261'123;

inline ingest::RoundSpec chunk_plan() {
  ingest::RoundSpec plan;
  plan.dimension = 1000;
  plan.chunk_coordinates = 384;
  plan.chunk_count = 3;
  plan.format = {Codec::kI8B, 6};
  return plan;
}

/// A fleet that remembers its receipts, and resends what has none.
class Fleet {
 public:
  /// Device d claims a weight of 1 + d % weights. The node knows it as d + first.
  explicit Fleet(std::uint32_t weights = 4, std::uint32_t first = 0)
      : weights_(weights), first_(first) {
    for (std::uint32_t i = 0; i < kDevices; ++i)
      updates_.push_back(random_update(chunk_plan(), kSeed + i));
  }
  /// What a device is going to send.
  SimUpdate& update(std::uint32_t device) { return updates_.at(device); }

  /// Sends every chunk without a receipt in an order drawn from `random`, committing now and then.
  /// Stops after `limit` messages without a last commit.
  Status submit(SimNode& node, std::mt19937_64& random, std::size_t limit = ~std::size_t{0}) {
    std::vector<std::pair<std::uint32_t, std::uint32_t>> todo;
    for (std::uint32_t device = 0; device < kDevices; ++device)
      if (!receipts_[device])
        for (std::uint32_t chunk = 0; chunk < 3; ++chunk) todo.emplace_back(device, chunk);
    std::shuffle(todo.begin(), todo.end(), random);
    for (const auto& [device, chunk] : todo) {
      if (limit-- == 0) return {};
      const auto assignment = check_in(node, device);
      if (!assignment) continue;
      auto reply =
          node.send(first_ + device,
                    submit_message(*assignment, updates_[device], chunk, 1 + device % weights_),
                    updates_[device].chunks[chunk]);
      if (reply) note(*reply);
      if (random() % 4 == 0) MUSTER_TRY(commit(node));
    }
    MUSTER_TRY(commit(node));
    return node.settle();
  }

  Status commit(SimNode& node) {
    MUSTER_ASSIGN(const auto replies, node.commit());
    for (const auto& reply : replies) note(reply);
    return node.settle();
  }

  std::size_t receipts() const {
    return static_cast<std::size_t>(std::count(receipts_.begin(), receipts_.end(), true));
  }

 private:
  std::optional<wire::Assignment> check_in(SimNode& node, std::uint32_t device) {
    if (assignment_) return assignment_;
    wire::Message message;
    message.body = wire::CheckIn{"t", 0};
    const auto reply = node.send(first_ + device, message);
    if (reply && std::holds_alternative<wire::Assignment>(reply->message.body))
      assignment_ = std::get<wire::Assignment>(reply->message.body);
    return assignment_;
  }
  void note(const ingest::Reply& reply) {
    if (!std::holds_alternative<wire::Receipt>(reply.message.body)) return;
    receipts_.at(std::stoul(reply.routing_id.substr(7)) - first_) = true;
  }

  std::uint32_t weights_, first_;
  std::vector<SimUpdate> updates_;
  std::vector<bool> receipts_ = std::vector<bool>(kDevices, false);
  std::optional<wire::Assignment> assignment_;
};

}  // namespace muster::sim

#include "tests/learning/run.h"

#include <fmt/format.h>

#include <algorithm>

#include "client/random.h"
#include "tests/learning/network.h"

namespace muster::learning {
namespace {

constexpr std::uint32_t kEvaluations = 5;

/// The clients' half: who holds which pictures, and each client's momentum.
class Clients {
 public:
  Clients(const Settings& settings, const Cell& cell, const Data& data)
      : settings_(settings),
        cell_(cell),
        data_(data),
        honest_(cell.attack == Attack::kNone ? kClients : kClients - kHostile),
        hands_(deal(data.train.labels, honest_, cell.split, settings.seed)),
        random_(client::mix(settings.seed, 1)),
        momenta_(kClients, std::vector<float>(kDimension)),
        mimic_(settings.rounds / 10) {
    // Hostile clients have seen everything: a copy of the whole, however honest data are split.
    std::vector<std::uint32_t> all(data.train.count());
    for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<std::uint32_t>(i);
    hands_.resize(kClients, all);
  }

  /// The deltas of all clients from `model`, hostile ones last.
  Rows updates(std::span<const float> model) {
    batch_.clear();
    for (std::size_t c = 0; c < kClients; ++c)
      for (std::size_t b = 0; b < settings_.batch; ++b) draw(c);
    gradients_.resize(kClients);
    network_.gradients(model, batch_, gradients_);
    for (std::size_t c = 0; c < kClients; ++c) {
      const auto keep = static_cast<float>(cell_.momentum);
      for (std::size_t k = 0; k < kDimension; ++k)
        momenta_[c][k] = keep * momenta_[c][k] - (1 - keep) * gradients_[c][k];
    }
    Rows rows(momenta_.begin(), momenta_.begin() + static_cast<std::ptrdiff_t>(honest_));
    if (honest_ == kClients) return rows;
    const Rows own(momenta_.begin() + static_cast<std::ptrdiff_t>(honest_), momenta_.end());
    Rows hostile = hostile_rows(cell_.attack, rows, own, kHostile, mimic_);
    for (auto& row : hostile) rows.push_back(std::move(row));
    return rows;
  }

 private:
  void draw(std::size_t client) {
    const auto& hand = hands_[client];
    const std::uint32_t i = hand[random_.below(hand.size())];
    std::uint8_t label = data_.train.labels[i];
    if (client >= honest_ && cell_.attack == Attack::kLabelFlip)
      label = static_cast<std::uint8_t>(kClasses - 1 - label);
    batch_.add(data_.train.picture(i), label);
  }

  const Settings& settings_;
  const Cell& cell_;
  const Data& data_;
  const std::size_t honest_;
  std::vector<std::vector<std::uint32_t>> hands_;
  client::Random random_;
  Rows momenta_, gradients_;
  MimicTarget mimic_;
  Network network_;
  Batch batch_;
};

}  // namespace

std::string_view split_name(Split split) { return split == Split::kIid ? "iid" : "sorted"; }

std::string Cell::name() const {
  return fmt::format("{}, momentum {}, {}, {}", split_name(split), momentum, attack_name(attack),
                     recipe.name());
}

Result<double> learn(const Settings& settings, const Cell& cell, const Data& data) {
  MUSTER_ASSIGN(Server server, Server::create(cell.recipe, settings.codec, settings.learning_rate,
                                              initial_model(client::mix(settings.seed, 2))));
  Clients clients(settings, cell, data);
  Network network;
  const std::uint32_t spacing = std::max(1U, settings.rounds / (10 * kEvaluations));
  double sum = 0;
  std::uint32_t evaluated = 0;
  for (std::uint32_t round = 0; round < settings.rounds; ++round) {
    MUSTER_TRY(
        server.round(clients.updates(server.model()), client::mix(settings.seed, 3 + round)));
    const std::uint32_t left = settings.rounds - 1 - round;
    if (left % spacing == 0 && left / spacing < kEvaluations) {
      sum += network.accuracy(server.model(), data.held_out);
      ++evaluated;
    }
  }
  return sum / evaluated;
}

}  // namespace muster::learning

#include "loadtest/fleet.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <thread>
#include <utility>

#include "client/random.h"

namespace muster::loadtest {
namespace {

/// Seeds of one phone's draws, apart from one another.
enum Purpose : std::uint64_t { kTraining = 1, kRounding = 2, kConnection = 3 };

std::uint64_t seed_for(std::uint64_t seed, std::size_t phone, Purpose purpose,
                       std::uint64_t round) {
  return client::mix(client::mix(client::mix(seed, purpose), phone), round);
}

}  // namespace

struct Fleet::Phone {
  client::Identity identity;
  std::unique_ptr<client::Client> client;
};

/// What a phone has to say in a round, and to whom.
struct Fleet::Errand {
  wire::Assignment assignment;
  std::vector<float> delta;
};

std::uint32_t RoundReport::refused() const {
  std::uint32_t sum = 0;
  for (const auto& [reason, phones] : refusals) sum += phones;
  return sum;
}

bool is_hostile(std::size_t index, std::size_t n, std::size_t f) {
  return (index + 1) * f / n != index * f / n;
}

Fleet::Fleet(const FleetOptions& options, const Corpus& corpus)
    : options_(options), corpus_(corpus), transport_(std::make_unique<client::Transport>()) {
  for (std::size_t i = 0; i < corpus.shards.size(); ++i) {
    phones_.push_back(std::make_unique<Phone>());
    phones_.back()->identity = client::new_identity();
  }
  for (std::uint32_t i = 0; i < std::max(options.threads, 1U); ++i)
    trainers_.emplace_back(options.shape, options.training.batch);
}

Fleet::~Fleet() = default;

std::vector<std::string> Fleet::public_keys() const {
  std::vector<std::string> keys;
  for (const auto& phone : phones_) keys.push_back(phone->identity.public_key);
  return keys;
}

Status Fleet::connect(const std::string& endpoint, const std::string& server_key) {
  for (std::size_t i = 0; i < phones_.size(); ++i) {
    client::ClientOptions options;
    options.endpoint = endpoint;
    options.server_key = server_key;
    options.identity = phone(i).identity;
    options.seed = seed_for(options_.seed, i, kConnection, 0);
    options.transport = transport_.get();
    MUSTER_ASSIGN(phone(i).client, client::Client::connect(options));
  }
  return {};
}

Result<Fleet::Errand> Fleet::learn(std::size_t index, Trainer& trainer, const std::string& task,
                                   bool flips_labels) {
  if (stopped()) return Status(Code::kClosed, "interrupted", "the fleet was stopped");
  Errand errand;
  MUSTER_ASSIGN(errand.assignment, phone(index).client->join(task, options_.patience));
  MUSTER_ASSIGN(const std::vector<float> model, phone(index).client->fetch(errand.assignment));
  if (model.size() != options_.shape.dimension())
    return Status(Code::kInvalid, "wrong_dimension", "the task's model is not the phones'");
  errand.delta = model;
  TrainOptions training = options_.training;
  training.flips_labels = flips_labels;
  trainer.train(errand.delta, corpus_.shards[index], training,
                seed_for(options_.seed, index, kTraining, errand.assignment.round));
  bool finite = true;
  for (std::size_t i = 0; i < model.size(); ++i) {
    errand.delta[i] -= model[i];
    finite = finite && std::isfinite(errand.delta[i]);
  }
  // A model beyond all bounds teaches nothing; the phone says so.
  if (!finite) std::fill(errand.delta.begin(), errand.delta.end(), 0.0F);
  return errand;
}

Status Fleet::submit(std::size_t index, const Errand& errand) {
  MUSTER_ASSIGN(const client::EncodedUpdate update,
                client::encode(errand.assignment, errand.delta,
                               seed_for(options_.seed, index, kRounding, errand.assignment.round)));
  return phone(index).client->submit(errand.assignment, update, 1).status();
}

Status Fleet::take_part(std::size_t index, Trainer& trainer, const RoundPlan& plan, bool hostile) {
  const bool flips_labels = hostile && plan.attack == Attack::kLabelFlip;
  MUSTER_ASSIGN(Errand errand, learn(index, trainer, plan.task, flips_labels));
  if (hostile && !flips_labels) flip_sign(errand.delta);
  return submit(index, errand);
}

void Fleet::collude(const std::vector<std::size_t>& members, std::size_t attackers,
                    const RoundPlan& plan, BoundedQueue<Status>& outcomes) {
  std::vector<std::optional<Errand>> errands(phones_.size());
  for_each(members, [&](std::size_t index, Trainer& trainer) {
    auto learned = learn(index, trainer, plan.task);
    if (learned.ok())
      errands[index] = std::move(learned).value();
    else
      outcomes.push(learned.status());
  });
  std::vector<std::span<const float>> deltas;
  for (const auto& errand : errands)
    if (errand) deltas.emplace_back(errand->delta);
  if (deltas.empty()) return;
  const std::vector<float> common =
      little_is_enough(deltas, little_is_enough_z(phones_.size(), attackers));
  for_each(members, [&](std::size_t index, Trainer&) {
    if (!errands[index]) return;
    errands[index]->delta = common;
    outcomes.push(submit(index, *errands[index]));
  });
}

void Fleet::for_each(const std::vector<std::size_t>& indices,
                     const std::function<void(std::size_t, Trainer&)>& body) {
  std::atomic<std::size_t> next{0};
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < std::min(trainers_.size(), indices.size()); ++t)
    threads.emplace_back([&, t] {
      for (std::size_t i = next++; i < indices.size(); i = next++) body(indices[i], trainers_[t]);
    });
  for (auto& thread : threads) thread.join();
}

RoundReport Fleet::run_round(const RoundPlan& plan,
                             const std::function<void(std::size_t)>& progress) {
  const std::size_t n = phones_.size();
  const auto f = static_cast<std::size_t>(plan.hostile_share * static_cast<double>(n) + 1e-9);
  std::vector<std::size_t> colluders;
  std::vector<std::size_t> loners;
  std::size_t attackers = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const bool hostile = is_hostile(i, n, f);
    attackers += hostile;
    const bool colludes = hostile && (plan.attack == Attack::kLittleIsEnough ||
                                      (plan.attack == Attack::kMixed && attackers % 2 == 0));
    (colludes ? colluders : loners).push_back(i);
  }
  BoundedQueue<Status> outcomes(n);
  std::thread work([&] {
    if (!colluders.empty()) collude(colluders, f, plan, outcomes);
    for_each(loners, [&](std::size_t index, Trainer& trainer) {
      outcomes.push(take_part(index, trainer, plan, is_hostile(index, n, f)));
    });
    outcomes.close();
  });
  RoundReport report;
  std::vector<Status> batch;
  for (;;) {
    batch.clear();
    outcomes.pop_many(batch, n, kSecond);
    if (batch.empty() && outcomes.closed()) break;
    for (const Status& status : batch) {
      if (status.ok())
        ++report.submitted;
      else
        ++report.refusals[std::string(status.reason())];
    }
    progress(report.submitted + report.refused());
  }
  work.join();
  return report;
}

}  // namespace muster::loadtest

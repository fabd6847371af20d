#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>
#include <ostream>
#include <random>
#include <thread>

#include "cli/commands.h"
#include "cli/key_file.h"

namespace muster::cli {
namespace {

using nlohmann::json;

/// Largest coordinate of a random update: small beside any sensible model.
constexpr double kRandomScale = 0.01;

struct DeviceOptions {
  std::string endpoint, server_key, key_file, public_key, secret_key, task, update = "random";
  std::uint32_t rounds = 1, patience_s = 60;
  std::uint64_t seed = 0;
};

constexpr const char* kDefaultEndpoint = "tcp://127.0.0.1:7400";
constexpr auto kSameRoundWait = std::chrono::milliseconds(50);

/// A key pair without a server key: the server of this machine is meant, and it says who it is.
Status ask_server(const Session& session, DeviceOptions& options) {
  const bool has_pair = !options.key_file.empty() || !options.secret_key.empty();
  if (has_pair && options.server_key.empty()) {
    MUSTER_ASSIGN(const json status, session.admin().get("/v1/status"));
    options.server_key = status.value("server_key", "");
    const json endpoints = status.value("endpoints", json::array());
    if (options.endpoint.empty() && !endpoints.empty() && endpoints[0].is_string())
      options.endpoint = endpoints[0].get<std::string>();
  }
  if (options.endpoint.empty()) options.endpoint = kDefaultEndpoint;
  return {};
}

Result<client::Identity> identity_of(const DeviceOptions& options) {
  if (options.server_key.empty()) return client::Identity{};  // plain
  if (!options.key_file.empty()) return read_key_file(options.key_file);
  if (options.public_key.empty() || options.secret_key.empty())
    return Status(Code::kInvalid, "usage",
                  "a device needs its key pair\nName it with --key-file FILE, or --public and "
                  "--secret.");
  MUSTER_ASSIGN(std::string public_key, parse_key(options.public_key));
  MUSTER_ASSIGN(std::string secret_key, parse_key(options.secret_key));
  return client::Identity{std::move(public_key), std::move(secret_key)};
}

/// The same for the same seed, round and dimension on every machine.
std::vector<float> make_update(const DeviceOptions& options, const wire::Assignment& assignment) {
  std::vector<float> delta(assignment.dimension, 0.0F);
  if (options.update == "zero") return delta;
  std::mt19937_64 generator(options.seed * 0x9E3779B97F4A7C15U + assignment.round);
  for (float& value : delta) {
    const double unit = std::ldexp(static_cast<double>(generator() >> 11), -52) - 1.0;  // [-1, 1)
    value = static_cast<float>(kRandomScale * unit);
  }
  return delta;
}

std::string hex(const Hash128& hash) { return fmt::format("{:016x}{:016x}", hash.high, hash.low); }

/// Work in a round after `last`: until that one is closed the server gives the same assignment.
Result<wire::Assignment> join_next(client::Client& device, const DeviceOptions& options,
                                   RoundNumber last) {
  const SystemClock clock;
  const Nanoseconds end = clock.now() + Nanoseconds{options.patience_s} * kSecond;
  while (true) {
    const Nanoseconds left = std::max<Nanoseconds>(end - clock.now(), 0);
    MUSTER_ASSIGN(const wire::Assignment assignment, device.join(options.task, left));
    if (assignment.round > last) return assignment;
    if (left == 0) return Status(Code::kUnavailable, "timeout", "no new round was opened in time");
    std::this_thread::sleep_for(kSameRoundWait);
  }
}

Result<client::Receipt> take_part(client::Client& device, const DeviceOptions& options,
                                  RoundNumber last) {
  MUSTER_ASSIGN(const wire::Assignment assignment, join_next(device, options, last));
  MUSTER_ASSIGN(const std::vector<float> model, device.fetch(assignment));
  MUSTER_ASSIGN(const client::EncodedUpdate update,
                client::encode(assignment, make_update(options, assignment), options.seed));
  return device.submit(assignment, update, /*weight=*/1);
}

Status run_device(Session& session, DeviceOptions options) {
  MUSTER_TRY(ask_server(session, options));
  client::ClientOptions connection;
  connection.endpoint = options.endpoint;
  if (!options.server_key.empty()) {
    MUSTER_ASSIGN(connection.server_key, parse_key(options.server_key));
  }
  MUSTER_ASSIGN(connection.identity, identity_of(options));
  MUSTER_ASSIGN(const auto device, client::Client::connect(connection));
  json receipts = json::array();
  RoundNumber last = 0;
  client::LedgerWatch ledger;
  for (std::uint32_t done = 0; done < options.rounds; ++done) {
    session.say(fmt::format("waiting for a round of {} at {}", options.task, options.endpoint));
    MUSTER_ASSIGN(const client::Receipt receipt, take_part(*device, options, last));
    last = receipt.round;
    json said = {{"task", options.task}, {"round", receipt.round}, {"update", hex(receipt.update)}};
    if (receipt.ledger) said["ledger"] = client::anchor_text(*receipt.ledger);
    receipts.push_back(std::move(said));
    if (!session.json) {
      session.out() << "round " << receipt.round << ": update " << hex(receipt.update)
                    << " is durable and counted\n"
                    << std::flush;
      if (receipt.ledger)
        session.out() << "  privacy ledger " << client::anchor_text(*receipt.ledger) << '\n'
                      << std::flush;
    }
    MUSTER_TRY(ledger.note(receipt));
  }
  session.show({{"receipts", std::move(receipts)}}, [](std::ostream&) {});
  return Status();
}

}  // namespace

void add_device(CLI::App& app, Session& session) {
  CLI::App& verb = add_verb(app, "device", "Take part in rounds as one device, to try a server",
                            "muster device --task keyboard --key-file phone7.key --rounds 3");
  auto options = std::make_shared<DeviceOptions>();
  verb.add_option("--endpoint", options->endpoint, "Server (this machine's)")
      ->option_text("ADDRESS");
  verb.add_option("--server-key", options->server_key, "Its public key (this machine's)")
      ->option_text("KEY");
  verb.add_option("--key-file", options->key_file, "Key pair from 'muster keys new'")
      ->option_text("FILE");
  verb.add_option("--public", options->public_key, "Public key, instead of a file")
      ->option_text("KEY");
  verb.add_option("--secret", options->secret_key, "Secret key (others may see it in ps)")
      ->option_text("KEY");
  verb.add_option("--task", options->task, "Name of the task (required)")
      ->required()
      ->option_text("TASK");
  verb.add_option("--rounds", options->rounds, "How many rounds (default 1)")
      ->check(CLI::PositiveNumber)
      ->option_text("N");
  verb.add_option("--update", options->update, "random (default) or zero")
      ->check(CLI::IsMember({"random", "zero"}))
      ->option_text("KIND");
  verb.add_option("--seed", options->seed, "Seed of random updates (default 0)")->option_text("N");
  verb.add_option("--patience", options->patience_s, "Wait so long for a round (60)")
      ->option_text("SECONDS");
  on_run(verb, session, [&session, options] { return run_device(session, *options); });
}

}  // namespace muster::cli

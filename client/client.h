// The device library: join, fetch, submit. One Client is one connection, used by one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "wire/message.h"

namespace muster::client {

/// A CURVE key pair as ZeroMQ writes it (Z85, 40 characters each).
struct Identity {
  std::string public_key;
  std::string secret_key;
};
/// A fresh pair.
Identity new_identity();

/// I/O threads that several clients of a process share; outlives them all. One thread moves about a
/// gigabyte a second.
class Transport {
 public:
  explicit Transport(int io_threads = 1);
  ~Transport();
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;
  void* context() const { return context_; }  ///< libzmq's

 private:
  void* context_;
};

struct ClientOptions {
  std::string endpoint = "tcp://127.0.0.1:7400";
  std::string server_key;    ///< Z85; empty: plain (loopback servers that allow it)
  Identity identity;         ///< CURVE; ignored in plain mode
  std::uint64_t device = 0;  ///< device number behind a gateway; 0: the connection itself
  Nanoseconds reply_timeout = 5 * kSecond;   ///< silence after which a request is sent again
  int attempts = 8;                          ///< sends of one request before giving up
  Nanoseconds back_off = 50 * kMillisecond;  ///< first wait; doubles with jitter
  Nanoseconds back_off_limit = 10 * kSecond;
  std::uint64_t seed = 0;                ///< of jitter and nonces; 0: from the system's generator
  const Transport* transport = nullptr;  ///< null: one of its own
};

/// An encoded update: one payload per chunk, as the assignment asks for.
struct EncodedUpdate {
  std::vector<std::vector<std::byte>> chunks;
};

/// `delta` clipped to the assignment's clip norm (if any) and encoded with stochastic rounding for
/// the integer codecs (unbiased; docs/rules.md). `delta` has `dimension` finite values; values
/// beyond value_bound are clamped to it.
Result<EncodedUpdate> encode(const wire::Assignment& assignment, std::span<const float> delta,
                             std::uint64_t seed);

/// The durable answer to an update.
struct Receipt {
  RoundNumber round = 0;
  UpdateId update;
  /// Private tasks: the server's privacy ledger when the round opened.
  std::optional<LedgerHead> ledger{};
};

/// What a device keeps of a private task, across restarts if it can: it shows a ledger that was put
/// back, which would let a server spend the budget a second time.
class LedgerWatch {
 public:
  LedgerWatch() = default;
  LedgerWatch(RoundNumber round, LedgerHead newest) : round_(round), newest_(newest) {}

  /// "ledger_went_back" where the ledger of a later round is shorter than one seen before or
  /// another one of the same length; the update counts all the same, and what was seen before is
  /// kept. A ledger that was replaced by a longer one does not show here: compare anchors with a
  /// copy of it
  /// (`muster ledger verify`).
  Status note(const Receipt& receipt);
  RoundNumber round() const { return round_; }
  const std::optional<LedgerHead>& newest() const { return newest_; }

 private:
  RoundNumber round_ = 0;
  std::optional<LedgerHead> newest_;
};

/// "BYTES:CHAIN", as `muster ledger` takes and prints it.
std::string anchor_text(const LedgerHead& head);

/// Errors carry the server's reason token (wire/reason.h), or "timeout", "connection" (the server
/// refused the connection: key not enrolled or revoked), "protocol" (it answered nonsense).
class Client {
 public:
  /// "endpoint" and "key_malformed" at once; whether anybody answers shows with the first request.
  static Result<std::unique_ptr<Client>> connect(const ClientOptions& options);
  virtual ~Client() = default;

  /// Asks for work until there is some or `patience` is over ("no_open_round", "cohort_full", ...
  /// of the last RetryAfter). Honours the server's waits.
  virtual Result<wire::Assignment> join(const std::string& task, Nanoseconds patience) = 0;
  /// The model the assignment trains from. Chunks are verified by checksum and fetched in a window.
  virtual Result<std::vector<float>> fetch(const wire::Assignment& assignment) = 0;
  /// Sends every chunk and waits for the receipt; after silence or a reconnect asks which chunks
  /// are missing and sends only those. Safe to call again with the same nonce: the server counts
  /// the update once. nonce 0: a fresh one.
  virtual Result<Receipt> submit(const wire::Assignment& assignment, const EncodedUpdate& update,
                                 std::uint32_t weight, std::uint64_t nonce = 0) = 0;
};

}  // namespace muster::client

// The thread that owns the ROUTER and the Intake: reads messages, sends replies, carries out what
// the server asks for between two of them.
#pragma once

#include <zmq.h>

#include <array>
#include <atomic>
#include <functional>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/queue.h"
#include "ingest/arrival.h"
#include "ingest/committer.h"
#include "ingest/guard.h"
#include "ingest/intake.h"
#include "ingest/keys.h"
#include "ingest/pace.h"
#include "ingest/socket.h"
#include "ingest/wake.h"

namespace muster::ingest {

struct ReceiverParts {
  Intake& intake;
  Committer& committer;
  const SlotPool& slots;
  const KeyRing& keys;
  BoundedQueue<Arrival>& arrivals;
  Guard& guard;
  WakeUp& wake;
  const Clock& clock;
  Stats& stats;
  std::function<void()> on_alive = {};  ///< as in ServiceOptions
  std::uint32_t messages_per_peer = 4;  ///< libzmq holds at most
  Nanoseconds slot_patience = kSecond;  ///< as in ServiceOptions
};

class Receiver {
 public:
  /// `router` is bound. Without `curve` the routing id is the identity, and may speak for others.
  Receiver(Socket router, bool curve, const ReceiverParts& parts);
  ~Receiver();

  /// Runs `command` on the receiver's thread, in the order of the calls; not at all once stopped.
  void post(std::function<void()> command);
  /// The receiver's thread only (from a command).
  void announce_drained(TaskId task, RoundNumber round);
  /// The receiver's thread only (from a command). Messages are read from now on.
  void serve() { serving_ = true; }
  void drain() { draining_ = true; }
  /// No more messages; waits for the receipts of what was admitted, then ends. Idempotent.
  void stop();

 private:
  void run();
  /// Whether anything was there to be done.
  bool cycle();
  void sleep();
  /// Waits a little for a slot: what is in the kernel's buffers costs less there than refused.
  void catch_breath();
  /// Whether all that libzmq may hold back for the peers there are is no more than the slab. Then
  /// their messages wait there for slots; of more peers they would fill memory.
  bool pipes_are_small() const;
  bool read_message();
  void handle_message();
  void look_up_peer(zmq_msg_t* frame);
  void handle_durable();
  void send(Reply& reply);
  Pressure pressure() const;
  void every_second();

  Socket router_;
  const bool curve_;
  ReceiverParts parts_;
  Counter& replies_dropped_;
  Gauge& inflight_;
  Gauge& backpressure_;

  BoundedQueue<std::function<void()>> commands_;
  std::atomic<bool> draining_{false};
  std::atomic<bool> stopping_{false};

  bool serving_ = false;
  // A message being read; kept between messages so that nothing is allocated for one.
  std::array<zmq_msg_t, 3> frames_;
  std::array<ConstBytes, 3> contents_;
  std::size_t content_count_ = 0;
  Peer peer_;
  std::string user_text_;

  Pressure pressure_;
  RetryPace pace_;
  Nanoseconds now_ = 0;
  Nanoseconds ticked_ = 0;
  Nanoseconds had_slots_ = 0;    ///< when there was one free last
  std::size_t outstanding_ = 0;  ///< chunks admitted and not durable yet
  std::vector<Admitted> admitted_;
  std::vector<SlotIndex> durable_;
  std::vector<Reply> replies_;
  std::vector<std::pair<TaskId, RoundNumber>> drained_;
  std::vector<std::function<void()>> running_;
  std::thread thread_;
};

}  // namespace muster::ingest

#include "ingest/service.h"

#include "base/limits.h"
#include "base/log.h"
#include "ingest/committer.h"
#include "ingest/guard.h"
#include "ingest/receiver.h"
#include "ingest/socket.h"
#include "ingest/zap.h"

namespace muster::ingest {
namespace {

GuardLimits guard_limits(const ServiceOptions& options) {
  GuardLimits limits;
  limits.connections = options.max_connections;
  limits.connections_per_address = options.max_connections_per_address;
  // libzmq stops reading a peer at its high water; then there is one message it is in the middle
  // of, and one for all the framing.
  limits.bytes_in_flight = (static_cast<std::uint64_t>(options.receive_high_water) + 2) *
                           (limits::kHeaderBytes + limits::kPayloadBytes);
  return limits;
}

// Members end in the reverse order of their making: receiver, committer, ZAP handler, context.
class ServiceThreads final : public Service {
 public:
  ServiceThreads(const ServiceOptions& options, SlotPool& slots, const NodeSecret& secret,
                 Stats& stats)
      : guard_(guard_limits(options), stats),
        context_(open_context(options.io_threads)),
        intake_(slots, secret, stats) {}
  ~ServiceThreads() override { stop(); }

  Status begin(const ServiceOptions& options, Spool& spool, SlotPool& slots, KeyRing& keys,
               BoundedQueue<Arrival>& arrivals, const Clock& clock, Stats& stats,
               std::function<void(Status)> on_fault) {
    if (options.curve) zap_ = std::make_unique<ZapHandler>(context_.get(), keys, stats);
    Socket router = open_router(context_.get(), options);
    MUSTER_ASSIGN(BoundTo bound, bind_all(context_.get(), router.get(), options.endpoints));
    guard_.guard_listeners(bound.descriptors);
    endpoints_ = std::move(bound.endpoints);
    committer_ =
        std::make_unique<Committer>(spool, slots, arrivals, wake_,
                                    CommitOptions{options.commit_window, options.commit_bytes,
                                                  CommitOptions().disk_full_patience},
                                    stats, std::move(on_fault));
    receiver_ = std::make_unique<Receiver>(
        std::move(router), options.curve,
        ReceiverParts{intake_, *committer_, slots, keys, arrivals, guard_, wake_, clock, stats,
                      options.on_alive, static_cast<std::uint32_t>(options.receive_high_water),
                      options.slot_patience});
    return {};
  }

  void serve() override {
    receiver_->post([this] { receiver_->serve(); });
  }
  void open_round(RoundSpec spec, std::vector<RecordHeader> recovered) override {
    receiver_->post([this, spec = std::move(spec), recovered = std::move(recovered)] {
      intake_.open_round(spec, recovered);
    });
  }
  void close_round(TaskId task, RoundNumber round) override {
    receiver_->post([this, task, round] {
      if (intake_.close_round(task, round)) receiver_->announce_drained(task, round);
    });
  }
  void remember_sealed(TaskId task, const std::string& task_name, SealedRound round) override {
    receiver_->post([this, task, task_name, round = std::move(round)] {
      intake_.remember_sealed(task, task_name, round);
    });
  }
  void forget_round(TaskId task, RoundNumber round) override {
    receiver_->post([this, task, round] { intake_.forget_round(task, round); });
  }
  void release_round(TaskId task, RoundNumber round) override {
    committer_->release_round(task, round);
  }
  void disconnect(const PublicKey& key) override { guard_.disconnect(as_text(key)); }
  bool disk_low() const override { return committer_->disk_low(); }
  void drain() override { receiver_->drain(); }

  void stop() override {
    if (receiver_) receiver_->stop();
    if (committer_) committer_->stop();
  }
  std::vector<std::string> endpoints() const override { return endpoints_; }

 private:
  Guard guard_;  // its listeners' and connections' descriptors are closed with the context
  Context context_;
  std::unique_ptr<ZapHandler> zap_;
  Intake intake_;
  WakeUp wake_;
  std::unique_ptr<Committer> committer_;
  std::unique_ptr<Receiver> receiver_;
  std::vector<std::string> endpoints_;
};

}  // namespace

Result<std::unique_ptr<Service>> Service::start(const ServiceOptions& options, Spool& spool,
                                                SlotPool& slots, KeyRing& keys,
                                                const NodeSecret& secret,
                                                BoundedQueue<Arrival>& arrivals, const Clock& clock,
                                                Stats& stats,
                                                std::function<void(Status)> on_fault) {
  MUSTER_TRY(check_endpoints(options));
  MUSTER_CHECK_OP(arrivals.capacity(), >=, slots.count());
  if (!options.curve && options.allow_plain_anywhere)
    log_warning("plain_anywhere",
                "connections are not authenticated: anyone who reaches the port "
                "is whoever he says he is");
  auto service = std::make_unique<ServiceThreads>(options, slots, secret, stats);
  MUSTER_TRY(
      service->begin(options, spool, slots, keys, arrivals, clock, stats, std::move(on_fault)));
  return std::unique_ptr<Service>(std::move(service));
}

}  // namespace muster::ingest

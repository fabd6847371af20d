// P1: durable ingest against its own parts, a bare ROUTER drain of the same messages and a bare
// fdatasync'd append of the same bytes. P5: the same with the mean folded in, against without.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/uio.h>
#include <unistd.h>
#include <zmq.h>

#include <atomic>
#include <cstring>
#include <fstream>
#include <thread>

#include "base/check.h"
#include "base/limits.h"
#include "ingest/service.h"
#include "server/cohort.h"
#include "server/metered_backend.h"
#include "tests/bench/bench.h"
#include "tests/bench/process.h"
#include "tests/bench/traffic.h"

namespace muster::bench {
namespace {

struct Load {
  std::size_t bytes = 0, count = 0;
  bool curve = false;
  std::string self, folder;
  std::size_t window() const {
    return std::max<std::size_t>(4, std::min<std::size_t>(2048, (std::size_t{8} << 20) / bytes));
  }
  double total() const { return static_cast<double>(bytes * count); }
};

struct Keys {
  ingest::KeyPair server = ingest::new_key_pair();
  std::vector<ingest::KeyPair> senders;
  std::string file = "-";
};

Keys make_keys(const Load& load) {
  Keys keys;
  if (!load.curve) return keys;
  keys.file = load.folder + "/keys";
  std::ofstream file(keys.file);
  file << ingest::key_text(keys.server.public_key) << "\n";
  for (std::size_t i = 0; i < kConnections; ++i) {
    keys.senders.push_back(ingest::new_key_pair());
    file << ingest::key_text(keys.senders.back().public_key) << " "
         << ingest::key_text(keys.senders.back().secret_key) << "\n";
  }
  return keys;
}

std::vector<std::string> sender_arguments(const char* mode, const std::string& endpoint,
                                          const Load& load, const Keys& keys) {
  return {"--sender",
          mode,
          endpoint,
          std::to_string(load.bytes),
          std::to_string(load.count),
          std::to_string(load.window()),
          keys.file};
}

Sample sample_since(const Cost& start, double items) {
  const Cost end = Cost::now();
  return {items, end.wall - start.wall, end.cpu - start.cpu};
}

/// A ROUTER read by one thread that throws the messages away.
Sample bare_drain(const Load& load) {
  const Keys keys = make_keys(load);
  void* const context = zmq_ctx_new();
  void* const router = zmq_socket(context, ZMQ_ROUTER);
  const int none = 0, one = 1, high_water = 4;
  zmq_setsockopt(router, ZMQ_LINGER, &none, sizeof none);
  zmq_setsockopt(router, ZMQ_RCVHWM, &high_water, sizeof high_water);
  if (load.curve) {
    zmq_setsockopt(router, ZMQ_CURVE_SERVER, &one, sizeof one);
    zmq_setsockopt(router, ZMQ_CURVE_SECRETKEY, keys.server.secret_key.data(), 32);
  }
  MUSTER_CHECK(zmq_bind(router, "tcp://127.0.0.1:*") == 0);
  char endpoint[256];
  std::size_t length = sizeof endpoint;
  zmq_getsockopt(router, ZMQ_LAST_ENDPOINT, endpoint, &length);
  HelperProcess sender(load.self, sender_arguments("blast", endpoint, load, keys));
  zmq_msg_t message;
  zmq_msg_init(&message);
  for (std::size_t i = 0; i < kConnections; ++i) {  // greetings
    char id[256];
    const int size = zmq_recv(router, id, sizeof id, 0);
    MUSTER_CHECK(size > 0 && zmq_msg_recv(&message, router, 0) >= 0);
    zmq_send(router, id, static_cast<std::size_t>(size), ZMQ_SNDMORE);
    zmq_send(router, "hello", 5, 0);
  }
  MUSTER_CHECK(sender.hear() == 'r');
  const Cost start = Cost::now();
  sender.tell('g');
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < load.count; ++i) {
    for (int frame = 0; frame < 3; ++frame) MUSTER_CHECK(zmq_msg_recv(&message, router, 0) >= 0);
    bytes += zmq_msg_size(&message);
  }
  const Sample sample = sample_since(start, load.total());
  MUSTER_CHECK_OP(bytes, ==, load.bytes * load.count);
  sender.tell('x');
  zmq_msg_close(&message);
  zmq_close(router);
  zmq_ctx_term(context);
  return sample;
}

/// The same bytes into one preallocated file, synced every 4 MiB.
Sample bare_append(const Load& load) {
  const std::string path = load.folder + "/append";
  const int fd = ::open(path.c_str(), O_CREAT | O_RDWR | O_TRUNC, 0600);
  MUSTER_CHECK(fd >= 0);
  MUSTER_CHECK(::posix_fallocate(fd, 0, static_cast<off_t>(load.bytes * load.count)) == 0);
  ::fsync(fd);
  const std::size_t group = std::max<std::size_t>(1, (std::size_t{4} << 20) / load.bytes);
  std::vector<std::byte> memory(group * load.bytes, std::byte{7});
  const Cost start = Cost::now();
  for (std::size_t at = 0; at < load.count; at += group) {
    const std::size_t records = std::min(group, load.count - at);
    std::vector<iovec> pieces;
    for (std::size_t i = 0; i < records; ++i)
      pieces.push_back({memory.data() + i * load.bytes, load.bytes});
    off_t offset = static_cast<off_t>(at * load.bytes);
    for (std::size_t i = 0; i < pieces.size(); i += 512) {
      const auto n = static_cast<int>(std::min<std::size_t>(512, pieces.size() - i));
      const ssize_t written = ::pwritev(fd, &pieces[i], n, offset);
      MUSTER_CHECK(written == static_cast<ssize_t>(static_cast<std::size_t>(n) * load.bytes));
      offset += written;
    }
    MUSTER_CHECK(::fdatasync(fd) == 0);
  }
  const Sample sample = sample_since(start, load.total());
  ::close(fd);
  ::unlink(path.c_str());
  return sample;
}

/// Received, verified, checksummed, spooled, synced, acknowledged; with `fold` also decoded and
/// added by the mean. Ends when the fleet holds every receipt.
Sample durable_ingest(const Load& load, bool fold, bool sealed = false) {
  const Keys keys = make_keys(load);
  SystemClock clock;
  Stats stats;
  PosixStorage storage;
  kernels::BackendOptions backend_options;
  backend_options.kind = "cpu";
  backend_options.threads = 1;
  auto backend = kernels::create_backend(backend_options, nullptr).value();
  const std::size_t slot_bytes = ingest::record_bytes(load.bytes);
  const std::size_t slots_wanted = 2 * kConnections * load.window();
  auto slab = backend->allocate(slots_wanted * slot_bytes).value();
  ingest::SlotPool slots({slab.data, slab.bytes}, slot_bytes);
  ingest::SpoolOptions spool_options;
  spool_options.directory = load.folder + "/spool";
  MUSTER_CHECK(storage.make_directory(spool_options.directory).ok());
  ingest::RoundKeys round_keys;
  spool_options.keys = &round_keys;
  ingest::RoundSpec round = traffic_round(load.bytes, load.count);
  round.sealed = sealed;
  MUSTER_CHECK(round_keys.put(round.task, round.round, ingest::random_secret()).ok());
  ingest::RecoveryReport report;
  auto spool = ingest::Spool::open(
                   storage, spool_options, stats, [](const auto&, auto) {}, &report)
                   .value();
  ingest::KeyRing ring;
  for (const auto& pair : keys.senders) ring.enroll(pair.public_key, ingest::KeyRole::kGateway);
  BoundedQueue<ingest::Arrival> arrivals(slots.count() + 2 * limits::kMaxTasks);
  ingest::ServiceOptions options;
  options.endpoints = {"tcp://127.0.0.1:*"};
  options.curve = load.curve;
  options.server_key = keys.server;
  auto service = ingest::Service::start(
                     options, *spool, slots, ring, ingest::random_secret(), arrivals, clock, stats,
                     [](const Status& status) {
                       check_failed("spool", __FILE__, __LINE__, status.to_string());
                     })
                     .value();
  service->open_round(std::move(round), {});
  service->serve();

  server::MeteredBackend metered(*backend, stats);
  robust::Plan plan;
  std::unique_ptr<server::CohortBuilder> cohort;
  if (fold) {
    robust::PlanRequest request;
    request.rule = robust::Mean{};
    request.dimension = load.bytes;
    request.chunk_coordinates = static_cast<std::uint32_t>(load.bytes);
    request.format = {Codec::kI8S, 8};
    request.max_updates = static_cast<std::uint32_t>(load.count + 16);
    plan = robust::make_plan(request, metered).value();
    cohort = server::CohortBuilder::create(
                 {metered, *spool, slots, plan, {}, traffic_round(load.bytes, 1).scale_exponents})
                 .value();
  }
  std::atomic<bool> done{false};
  std::thread engine([&] {
    std::vector<ingest::Arrival> batch;
    while (!done) {
      batch.clear();
      arrivals.pop_many(batch, 512, 5 * kMillisecond);
      for (const auto& arrival : batch) {
        if (fold)
          MUSTER_CHECK(cohort->add(arrival).ok());
        else
          slots.give_back(arrival.slot);
      }
      if (fold && batch.empty()) cohort->flush();
    }
  });
  HelperProcess sender(load.self, sender_arguments("submit", service->endpoints()[0], load, keys));
  MUSTER_CHECK(sender.hear() == 'r');
  const Cost start = Cost::now();
  sender.tell('g');
  MUSTER_CHECK(sender.hear() == 'd');
  const Sample sample = sample_since(start, load.total());
  sender.tell('x');
  service->stop();
  done = true;
  engine.join();
  cohort.reset();
  service.reset();
  spool.reset();
  const auto names = storage.list(spool_options.directory).value();
  for (const auto& name : names) (void)storage.remove(spool_options.directory + "/" + name);
  return sample;
}

/// The same with every counter and histogram of the server standing still.
Sample uncounted_ingest(const Load& load, bool fold) {
  stats_counting = false;
  const Sample sample = durable_ingest(load, fold);
  stats_counting = true;
  return sample;
}

}  // namespace

void add_ingest(std::vector<Pair>& pairs, const Options& options) {
  const std::vector<std::pair<std::size_t, std::size_t>> sizes = {
      {4096, 96'000}, {65'536, 16'000}, {1'048'576, 1'024}};
  for (const bool curve : {false, true}) {
    for (const auto& [bytes, count] : sizes) {
      Load load{bytes, options.smoke ? 64 : (curve ? count / 2 : count), curve, options.self,
                options.folder};
      pairs.push_back(
          {"P1",
           fmt::format("durable ingest {} KiB {}", bytes / 1024, curve ? "CURVE" : "plain"),
           "GB/s",
           1e9,
           true,
           [load] { return durable_ingest(load, false); },
           {{"ROUTER drain", [load] { return bare_drain(load); }},
            {"synced append", [load] { return bare_append(load); }}}});
      pairs.push_back(
          {"P1",
           fmt::format("encrypted ingest {} KiB {}", bytes / 1024, curve ? "CURVE" : "plain"),
           "GB/s",
           1e9,
           true,
           [load] { return durable_ingest(load, false, true); },
           {{"not encrypted", [load] { return durable_ingest(load, false); }}}});
    }
  }
  // What the metrics cost: processor time, since the disk's part of the wall clock varies more.
  for (const bool fold : {false, true}) {
    const std::size_t bytes = fold ? 65'536 : 4096;
    const std::size_t updates = options.smoke ? 64 : fold ? 16'000 : 192'000;
    Load load{bytes, updates, false, options.self, options.folder};
    pairs.push_back({"O6",
                     fmt::format("{} {} KiB plain, counted", fold ? "ingest with mean," : "ingest",
                                 bytes / 1024),
                     "GB/s",
                     1e9,
                     false,
                     [load, fold] { return durable_ingest(load, fold); },
                     {{"counting off", [load, fold] { return uncounted_ingest(load, fold); }}}});
  }
  for (const std::size_t bytes : {std::size_t{65'536}, std::size_t{262'144}}) {
    Load load{bytes, options.smoke ? 64 : (std::size_t{512} << 20) / bytes, false, options.self,
              options.folder};
    pairs.push_back({"P5",
                     fmt::format("ingest with mean, {} KiB plain", bytes / 1024),
                     "GB/s",
                     1e9,
                     true,
                     [load] { return durable_ingest(load, true); },
                     {{"spool only", [load] { return durable_ingest(load, false); }}}});
  }
}

}  // namespace muster::bench

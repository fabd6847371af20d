#include "client/client.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "tests/client/fake_server.h"

namespace muster::client {
namespace {

/// 10 chunks of 100 coordinates and one of 1, f32.
FakeServer::Script script() {
  FakeServer::Script script;
  auto& a = script.assignment;
  a.task = 3;
  a.round = 7;
  a.model_version = 6;
  a.dimension = 1001;
  a.chunk_coordinates = 100;
  a.value_bound = 16;
  script.model.resize(1001);
  std::iota(script.model.begin(), script.model.end(), 0.5F);
  return script;
}

ClientOptions options(const FakeServer& server) {
  ClientOptions options;
  options.endpoint = server.endpoint();
  options.reply_timeout = 150 * kMillisecond;
  options.back_off = kMillisecond;
  options.attempts = 5;
  options.seed = 42;
  return options;
}

struct Outcome {
  std::vector<float> model;
  Receipt receipt;
};

/// Join, fetch, submit of what was fetched divided by 100.
Result<Outcome> take_part(Client& client, std::uint64_t nonce = 0) {
  Outcome outcome;
  MUSTER_ASSIGN(const wire::Assignment assignment, client.join("task", 2 * kSecond));
  MUSTER_ASSIGN(outcome.model, client.fetch(assignment));
  std::vector<float> delta = outcome.model;
  for (float& x : delta) x /= 100;
  MUSTER_ASSIGN(const EncodedUpdate update, encode(assignment, delta, 1));
  MUSTER_ASSIGN(outcome.receipt, client.submit(assignment, update, 1, nonce));
  return outcome;
}

TEST(Client, JoinsFetchesAndSubmits) {
  FakeServer server(script());
  auto client = Client::connect(options(server));
  ASSERT_TRUE(client.ok());
  const auto outcome = take_part(**client);
  ASSERT_TRUE(outcome.ok()) << outcome.status().to_string();
  EXPECT_EQ(outcome->model, script().model);
  EXPECT_EQ(outcome->receipt.round, 7U);
  const auto seen = server.seen();
  EXPECT_EQ(seen.chunks.size(), 11U);
  EXPECT_EQ(seen.nonces.size(), 1U);
  EXPECT_FALSE(seen.nonces.contains(0));
  EXPECT_EQ(seen.completed, 1);
  EXPECT_TRUE(seen.payloads_intact);
}

TEST(Client, GoesOnAskingWhileTheServerPutsItOff) {
  auto plan = script();
  plan.put_off = 3;
  FakeServer server(plan);
  auto client = Client::connect(options(server));
  EXPECT_TRUE((*client)->join("task", 5 * kSecond).ok());
  EXPECT_EQ(server.seen().check_ins, 4);
}

TEST(Client, GivesTheServersReasonWhenPatienceEnds) {
  auto plan = script();
  plan.put_off = 1'000'000;
  FakeServer server(plan);
  auto client = Client::connect(options(server));
  const auto joined = (*client)->join("task", 30 * kMillisecond);
  EXPECT_EQ(joined.status().reason(), "no_open_round");
}

TEST(Client, HonoursTheServersWaitEvenWhenItIsLongerThanPatience) {
  auto plan = script();
  plan.put_off = 1'000'000;
  plan.put_off_ms = 60'000;
  FakeServer server(plan);
  auto client = Client::connect(options(server));
  const auto joined = (*client)->join("task", 100 * kMillisecond);
  EXPECT_EQ(joined.status().reason(), "no_open_round");
  EXPECT_EQ(server.seen().check_ins, 1);
}

TEST(Client, SendsTheGreetingAgainAfterSilence) {
  auto plan = script();
  plan.silent_hellos = 1;
  FakeServer server(plan);
  auto client = Client::connect(options(server));
  EXPECT_TRUE((*client)->join("task", kSecond).ok());
  EXPECT_EQ(server.seen().hellos, 2);
}

TEST(Client, FetchesADamagedChunkAgain) {
  auto plan = script();
  plan.damaged_chunks = 2;
  FakeServer server(plan);
  auto client = Client::connect(options(server));
  const auto assignment = (*client)->join("task", kSecond);
  const auto model = (*client)->fetch(*assignment);
  ASSERT_TRUE(model.ok()) << model.status().to_string();
  EXPECT_EQ(*model, plan.model);
}

TEST(Client, AsksAgainWhenTheReceiptIsLost) {
  auto plan = script();
  plan.lost_receipts = 1;
  FakeServer server(plan);
  auto client = Client::connect(options(server));
  const auto outcome = take_part(**client);
  ASSERT_TRUE(outcome.ok()) << outcome.status().to_string();
  const auto seen = server.seen();
  EXPECT_GE(seen.queries, 1);
  EXPECT_EQ(seen.chunks.size(), 11U) << "nothing was missing, nothing is sent again";
  EXPECT_EQ(seen.nonces.size(), 1U);
}

TEST(Client, SubmitsTwiceUnderOneNonceWithoutHarm) {
  FakeServer server(script());
  auto client = Client::connect(options(server));
  const auto first = take_part(**client, 99);
  const auto second = take_part(**client, 99);
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_EQ(first->receipt.update, second->receipt.update);
  EXPECT_EQ(server.seen().nonces, std::set<std::uint64_t>{99});
}

TEST(Client, SendsOnlyTheMissingChunksAgain) {
  auto plan = script();
  plan.lose_once = {2, 5};
  FakeServer server(plan);
  auto client = Client::connect(options(server));
  const auto outcome = take_part(**client);
  ASSERT_TRUE(outcome.ok()) << outcome.status().to_string();
  const auto chunks = server.seen().chunks;
  ASSERT_EQ(chunks.size(), 13U);
  EXPECT_EQ((std::vector<std::uint32_t>{chunks.end() - 2, chunks.end()}),
            (std::vector<std::uint32_t>{2, 5}));
}

TEST(Client, ChecksWhatArrivedAfterEveryBurstOfALargeUpdate) {
  auto plan = script();
  plan.assignment.chunk_coordinates = 10;
  plan.lose_once = {0, 40, 100};
  FakeServer server(plan);
  auto client = Client::connect(options(server));
  const auto outcome = take_part(**client);
  ASSERT_TRUE(outcome.ok()) << outcome.status().to_string();
  const auto seen = server.seen();
  EXPECT_EQ(seen.chunks.size(), 101U + 3U);
  EXPECT_GE(seen.queries, 3);
}

TEST(Client, WaitsAndRetriesWhenTheSlabIsFull) {
  auto plan = script();
  plan.refuse_once = {{3, wire::Reason::kSlabFull}, {4, wire::Reason::kSlabFull}};
  FakeServer server(plan);
  auto client = Client::connect(options(server));
  const auto outcome = take_part(**client);
  ASSERT_TRUE(outcome.ok()) << outcome.status().to_string();
  auto chunks = server.seen().chunks;
  EXPECT_EQ(chunks.size(), 13U);
  EXPECT_EQ(std::count(chunks.begin(), chunks.end(), 3U), 2);
}

TEST(Client, TakesADuplicateRefusalOfAChunkForProgress) {
  auto plan = script();
  plan.lost_receipts = 1;
  plan.refuse_once = {{1, wire::Reason::kSlabFull}};
  FakeServer server(plan);
  auto client = Client::connect(options(server));
  EXPECT_TRUE(take_part(**client).ok());
}

TEST(Client, CarriesTheTokenOfARefusal) {
  auto plan = script();
  plan.refuse_all = wire::Reason::kRoundClosed;
  FakeServer server(plan);
  auto client = Client::connect(options(server));
  const auto outcome = take_part(**client);
  EXPECT_EQ(outcome.status().reason(), "round_closed");
}

TEST(Client, GivesUpOnAServerThatStaysSilent) {
  auto plan = script();
  plan.silent_hellos = 1'000'000;
  FakeServer server(plan);
  auto quick = options(server);
  quick.reply_timeout = 5 * kMillisecond;
  quick.attempts = 3;
  auto client = Client::connect(quick);
  EXPECT_EQ((*client)->join("task", kSecond).status().reason(), "timeout");
  EXPECT_LE(server.seen().hellos, 3);
}

TEST(Client, SurvivesARestartOfTheServer) {
  auto first = std::make_unique<FakeServer>(script());
  auto client = Client::connect(options(*first));
  ASSERT_TRUE((*client)->join("task", kSecond).ok());
  const std::string endpoint = first->endpoint();
  first.reset();
  FakeServer second(script(), endpoint);
  const auto outcome = take_part(**client);
  ASSERT_TRUE(outcome.ok()) << outcome.status().to_string();
  EXPECT_EQ(second.seen().completed, 1);
  EXPECT_GE(second.seen().hellos, 1) << "a new connection is greeted anew";
}

TEST(Client, RefusesBadOptionsAtOnce) {
  ClientOptions bad;
  bad.endpoint = "nonsense";
  EXPECT_EQ(Client::connect(bad).status().reason(), "endpoint");
  bad = {};
  bad.server_key = "short";
  EXPECT_EQ(Client::connect(bad).status().reason(), "key_malformed");
}

/// A CURVE server whose ZAP handler lets nobody in.
class ClosedDoor {
 public:
  ClosedDoor() {
    zap_ = zmq_socket(context_, ZMQ_REP);
    MUSTER_CHECK(zmq_bind(zap_, "inproc://zeromq.zap.01") == 0);
    socket_ = zmq_socket(context_, ZMQ_ROUTER);
    const int yes = 1;
    zmq_setsockopt(socket_, ZMQ_CURVE_SERVER, &yes, sizeof yes);
    zmq_setsockopt(socket_, ZMQ_CURVE_SECRETKEY, identity_.secret_key.c_str(), 41);
    MUSTER_CHECK(zmq_bind(socket_, "tcp://127.0.0.1:*") == 0);
    char endpoint[128];
    std::size_t size = sizeof endpoint;
    MUSTER_CHECK(zmq_getsockopt(socket_, ZMQ_LAST_ENDPOINT, endpoint, &size) == 0);
    endpoint_ = endpoint;
    thread_ = std::thread([this] { serve(); });
  }
  ~ClosedDoor() {
    stopping_ = true;
    thread_.join();
    zmq_close(socket_);
    zmq_close(zap_);
    zmq_ctx_term(context_);
  }
  const std::string& endpoint() const { return endpoint_; }
  const std::string& key() const { return identity_.public_key; }

 private:
  void serve() {
    while (!stopping_) {
      zmq_pollitem_t item = {zap_, 0, ZMQ_POLLIN, 0};
      if (zmq_poll(&item, 1, 5) <= 0) continue;
      std::vector<std::string> frames;
      for (int more = 1; more != 0;) {
        char frame[256];
        const int size = zmq_recv(zap_, frame, sizeof frame, 0);
        MUSTER_CHECK(size >= 0);
        frames.emplace_back(frame, static_cast<std::size_t>(size));
        std::size_t more_size = sizeof more;
        zmq_getsockopt(zap_, ZMQ_RCVMORE, &more, &more_size);
      }
      const std::string answer[] = {"1.0", frames[1], "400", "no", "", ""};
      for (const std::string& frame : answer)
        zmq_send(zap_, frame.data(), frame.size(), &frame == &answer[5] ? 0 : ZMQ_SNDMORE);
    }
  }

  Identity identity_ = new_identity();
  void* context_ = zmq_ctx_new();
  void* zap_;
  void* socket_;
  std::string endpoint_;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

TEST(Client, SaysThatItsKeyIsNotLetIn) {
  const ClosedDoor door;
  ClientOptions options;
  options.endpoint = door.endpoint();
  options.server_key = door.key();
  options.identity = new_identity();
  auto client = Client::connect(options);
  ASSERT_TRUE(client.ok());
  EXPECT_EQ((*client)->join("task", kSecond).status().reason(), "connection");
  EXPECT_EQ((*client)->join("task", kSecond).status().reason(), "connection");
}

TEST(Identity, IsAFreshPairOfZ85Keys) {
  const Identity a = new_identity();
  const Identity b = new_identity();
  EXPECT_EQ(a.public_key.size(), 40U);
  EXPECT_EQ(a.secret_key.size(), 40U);
  EXPECT_NE(a.public_key, b.public_key);
}

Receipt private_receipt(RoundNumber round, std::uint64_t bytes, unsigned char chain) {
  return {round, {}, LedgerHead{bytes, {std::byte{chain}}}};
}

TEST(LedgerWatch, NotesALedgerThatWentBack) {
  LedgerWatch watch;
  EXPECT_TRUE(watch.note({1, {}, {}}).ok()) << "a task that is not private";
  EXPECT_FALSE(watch.newest());
  EXPECT_TRUE(watch.note(private_receipt(3, 100, 1)).ok());
  EXPECT_TRUE(watch.note(private_receipt(3, 100, 1)).ok());
  EXPECT_TRUE(watch.note(private_receipt(4, 100, 1)).ok()) << "an abandoned round charged nothing";
  EXPECT_TRUE(watch.note(private_receipt(5, 300, 2)).ok());
  EXPECT_TRUE(watch.note(private_receipt(3, 100, 1)).ok()) << "an earlier round's, come late";
  // What a device kept over a restart.
  LedgerWatch kept(watch.round(), *watch.newest());
  const std::string zeros(62, '0');
  EXPECT_EQ(kept.note(private_receipt(6, 200, 3)).to_string(),
            "ledger_went_back: the server's privacy ledger was at 300:02" + zeros +
                " in round 5 and at 200:03" + zeros +
                " in round 6: what was spent may be spent again. Ask the operator before taking "
                "part again");
  EXPECT_EQ(kept.note(private_receipt(6, 300, 3)).reason(), "ledger_went_back");
  EXPECT_EQ(kept.newest(), watch.newest()) << "what was seen first stays";
  EXPECT_TRUE(kept.note(private_receipt(6, 300, 2)).ok());
}

}  // namespace
}  // namespace muster::client

#include "tests/server/control_store_lifecycle.h"

#include <algorithm>
#include <sstream>

#include "base/hex.h"

namespace muster::server {
namespace {

void print(std::ostream& out, const RoundRow& row) {
  out << "round " << row.task << ' ' << row.round << ' ' << round_state_name(row.state) << " from "
      << row.model_version << ' ' << hex(row.secret) << ' ' << hex(row.sealed_hash) << ' '
      << hex(row.model_hash) << ' ' << row.record << ' ' << row.opened_ms << ' ' << row.closed_ms;
  for (const UpdateId& id : row.sealed) out << ' ' << id.high << '.' << id.low;
  out << '\n';
}

}  // namespace

ingest::PublicKey test_key(std::uint8_t number) {
  ingest::PublicKey key{};
  key.fill(std::byte{number});
  return key;
}

Sha256 test_hash(std::uint8_t number) {
  Sha256 hash{};
  hash.fill(std::byte{number});
  return hash;
}

RoundRow test_round(TaskId task, RoundNumber number) {
  RoundRow row;
  row.task = task;
  row.round = number;
  row.model_version = number - 1;
  row.secret.fill(static_cast<std::byte>(0x40 + number));
  row.opened_ms = 1000 + static_cast<std::int64_t>(number);
  row.spool_key.emplace().fill(static_cast<std::byte>(0x50 + number));
  return row;
}

std::vector<UpdateId> test_ids(std::size_t count) {
  std::vector<UpdateId> ids;
  for (std::size_t i = 0; i < count; ++i) ids.push_back({i + 1, i / 7});
  std::sort(ids.begin(), ids.end());
  return ids;
}

std::vector<LifecycleStep> lifecycle() {
  std::vector<LifecycleStep> steps;
  auto add = [&](std::string name, std::function<Status(ControlStore&)> run) {
    steps.push_back({std::move(name), std::move(run)});
  };
  add("enroll", [](ControlStore& store) {
    return store.enroll({{test_key(1), ingest::KeyRole::kDevice, false, "phone", 1},
                         {test_key(2), ingest::KeyRole::kGateway, false, "relay", 2},
                         {test_key(3), ingest::KeyRole::kDevice, false, "", 3}});
  });
  add("first task", [](ControlStore& store) {
    return store.create_task("first", "name = \"first\"", 10).status();
  });
  add("second task", [](ControlStore& store) {
    return store.create_task("second", std::string(6000, 'x'), 11).status();
  });
  add("model 0", [](ControlStore& store) {
    return store.add_model({1, 0, "models/first/0", test_hash(9), 20});
  });
  for (RoundNumber number = 1; number <= 2; ++number) {
    const auto byte = static_cast<std::uint8_t>(number);
    add("open", [=](ControlStore& store) { return store.open_round(test_round(1, number)); });
    add("seal", [=](ControlStore& store) {
      // The second does not fit a page, nor ten.
      return store.seal_round(1, number, test_ids(number == 1 ? 3 : 3000), test_hash(byte), 30);
    });
    add("aggregate", [=](ControlStore& store) {
      return store.aggregate_round(1, number, test_hash(byte), R"({"n":3})");
    });
    add("release", [=](ControlStore& store) {
      return store.release_round(
          1, number, {1, number, "models/first/" + std::to_string(number), test_hash(byte), 40});
    });
    add("shred", [=](ControlStore& store) { return store.shred_round(1, number); });
  }
  add("open for nothing", [](ControlStore& store) { return store.open_round(test_round(2, 1)); });
  add("abandon", [](ControlStore& store) { return store.abandon_round(2, 1, R"({"cohort":0})"); });
  add("remove model", [](ControlStore& store) { return store.remove_model(1, 1); });
  add("wrap anew", [](ControlStore& store) {
    return store.put_wrapped_keys(
        {{0, 0, KeyPurpose::kMasterCheck, {}}, {1, 2, KeyPurpose::kNoise, {}}});
  });
  add("revoke", [](ControlStore& store) { return store.revoke(test_key(1)); });
  return steps;
}

std::string show(ControlStore& store) {
  std::ostringstream out;
  const auto keys = store.keys();
  const auto tasks = store.tasks();
  if (!keys.ok() || !tasks.ok())
    return keys.status().to_string() + " " + tasks.status().to_string();
  for (const KeyRow& key : *keys)
    out << "key " << hex(key.key) << ' ' << static_cast<int>(key.role) << ' ' << key.revoked << ' '
        << key.label << ' ' << key.enrolled_ms << '\n';
  for (const TaskRow& task : *tasks) {
    out << "task " << task.id << ' ' << task.name << ' ' << task.text << ' ' << task.created_ms
        << '\n';
    const auto rounds = store.rounds(task.id, 100);
    const auto models = store.models(task.id);
    if (!rounds.ok() || !models.ok())
      return rounds.status().to_string() + " " + models.status().to_string();
    for (const RoundRow& brief : *rounds) {
      const auto row = store.round(task.id, brief.round);
      if (!row.ok() || !*row) return row.status().to_string();
      print(out, **row);
    }
    for (const ModelRow& model : *models)
      out << "model " << model.version << ' ' << model.file << ' ' << hex(model.hash) << ' '
          << model.created_ms << '\n';
  }
  const auto wrapped = store.wrapped_keys();
  if (!wrapped.ok()) return wrapped.status().to_string();
  for (const WrappedKey& key : *wrapped)
    out << "wrapped " << key.task << ' ' << key.round << ' ' << static_cast<int>(key.purpose) << ' '
        << hex(key.wrapped) << '\n';
  return out.str();
}

}  // namespace muster::server

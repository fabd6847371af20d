// The tasks an Intake knows: open and ending rounds, rounds known by their sealed ids only, and the
// model that is served.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ingest/intake_table.h"

namespace muster::ingest {

/// The model version that devices fetch, cut as the round's updates are.
class ServedModel {
 public:
  ServedModel() = default;
  explicit ServedModel(const RoundSpec& spec);

  const std::shared_ptr<const PublishedModel>& model() const { return model_; }
  std::uint32_t chunk_count() const { return static_cast<std::uint32_t>(checksums_.size()); }
  ConstBytes chunk(std::uint32_t index) const;
  /// Computed on first use.
  const Hash128& checksum_of(std::uint32_t index);

 private:
  std::shared_ptr<const PublishedModel> model_;
  std::uint32_t chunk_coordinates_ = 0;
  std::vector<std::optional<Hash128>> checksums_;
};

struct TaskBook {
  TaskId id = 0;
  std::string name;
  RoundNumber newest = 0;  ///< highest round heard of
  std::vector<std::unique_ptr<RoundTable>> rounds;
  std::vector<SealedRound> sealed;
  ServedModel served;
  bool buffered = false;

  RoundTable* find(RoundNumber round);
  /// The round that takes updates, if there is one.
  RoundTable* open();
  /// The round known by its ids only that the update was counted in; null: none.
  const SealedRound* counted(const UpdateId& update) const;
  /// Buffered tasks: where an update of `device`, trained in `trained_in`, is or may go. Null: it
  /// was counted already, is too late, or no round is open.
  RoundTable* find_place(RoundNumber trained_in, const DeviceHash& device, const UpdateId& update);
  void remove(RoundNumber round);
};

/// At most limits::kMaxTasks, so a search is a short scan.
class TaskBooks {
 public:
  TaskBook* find(TaskId id);
  TaskBook* find(std::string_view name);
  TaskBook& get(TaskId id, const std::string& name);

 private:
  std::vector<std::unique_ptr<TaskBook>> books_;
};

}  // namespace muster::ingest

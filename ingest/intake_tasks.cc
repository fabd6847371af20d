#include "ingest/intake_tasks.h"

#include <algorithm>

#include "base/check.h"
#include "base/limits.h"

namespace muster::ingest {

bool SealedRound::contains(const UpdateId& id) const {
  return std::binary_search(ids.begin(), ids.end(), id);
}

ServedModel::ServedModel(const RoundSpec& spec)
    : model_(spec.model),
      chunk_coordinates_(spec.chunk_coordinates),
      checksums_(spec.chunk_count) {}

ConstBytes ServedModel::chunk(std::uint32_t index) const {
  const std::span values(model_->values);
  const std::size_t first = std::size_t{index} * chunk_coordinates_;
  return std::as_bytes(
      values.subspan(first, std::min<std::size_t>(chunk_coordinates_, values.size() - first)));
}

const Hash128& ServedModel::checksum_of(std::uint32_t index) {
  if (!checksums_[index]) checksums_[index] = checksum(chunk(index));
  return *checksums_[index];
}

RoundTable* TaskBook::find(RoundNumber round) {
  for (const auto& table : rounds)
    if (table->spec().round == round) return table.get();
  return nullptr;
}

RoundTable* TaskBook::open() {
  for (const auto& table : rounds)
    if (!table->closed) return table.get();
  return nullptr;
}

const SealedRound* TaskBook::counted(const UpdateId& update) const {
  for (const SealedRound& known : sealed)
    if (known.contains(update)) return &known;
  return nullptr;
}

RoundTable* TaskBook::find_place(RoundNumber trained_in, const DeviceHash& device,
                                 const UpdateId& update) {
  for (const auto& table : rounds) {
    const auto place = table->find(device);
    if (!place || table->entry(*place).id != update) continue;
    // What was half-sent when its round closed is not in that round and may come again.
    if (!table->closed || table->entry(*place).admitted == table->spec().chunk_count)
      return table.get();
  }
  if (counted(update) != nullptr) return nullptr;
  RoundTable* const now = open();
  return now != nullptr && now->spec().takes(trained_in) ? now : nullptr;
}

void TaskBook::remove(RoundNumber round) {
  std::erase_if(rounds, [&](const auto& table) { return table->spec().round == round; });
}

TaskBook* TaskBooks::find(TaskId id) {
  for (const auto& book : books_)
    if (book->id == id) return book.get();
  return nullptr;
}

TaskBook* TaskBooks::find(std::string_view name) {
  for (const auto& book : books_)
    if (book->name == name) return book.get();
  return nullptr;
}

TaskBook& TaskBooks::get(TaskId id, const std::string& name) {
  if (TaskBook* const known = find(id)) return *known;
  MUSTER_CHECK_OP(books_.size(), <, std::size_t{limits::kMaxTasks});
  auto book = std::make_unique<TaskBook>();
  book->id = id;
  book->name = name;
  books_.push_back(std::move(book));
  return *books_.back();
}

}  // namespace muster::ingest

#include "server/noise_keys.h"

#include <fmt/format.h>

#include "privacy/keys.h"
#include "server/secrets.h"

namespace muster::server {

Result<privacy::Secret> NoiseKeys::find(RoundNumber round, KeyPurpose purpose) const {
  MUSTER_ASSIGN(const auto kept, control_.wrapped_keys());
  for (const WrappedKey& each : kept)
    if (each.task == task_ && each.round == round && each.purpose == purpose) {
      MUSTER_ASSIGN(auto opened, masters_.open(each.wrapped, key_context(each)));
      return std::move(opened.key);
    }
  return Status(Code::kCorrupt, "noise_key_missing",
                fmt::format("the noise key of round {} of task {} is needed to take its noise back "
                            "and is not in the control store; restore that from its volume",
                            round, name_));
}

Result<privacy::Secret> NoiseKeys::draw(const RoundRow& round, bool remembers) {
  auto kept = find(round.round, KeyPurpose::kNoise);
  if (kept.ok() || kept.status().reason() != "noise_key_missing") return kept;
  MUSTER_ASSIGN(
      privacy::Secret key,
      privacy::noise_key(masters_.first(),
                         {task_, round.round, std::span<const std::byte, 32>(round.secret),
                          std::span<const std::byte, 32>(round.sealed_hash)}));
  std::vector<WrappedKey> wrapped;
  const auto add = [&](const privacy::Secret& secret, KeyPurpose purpose) {
    WrappedKey& each = wrapped.emplace_back(WrappedKey{task_, round.round, purpose, {}});
    each.wrapped = masters_.wrap(secret, key_context(each));
  };
  add(key, KeyPurpose::kNoise);
  if (remembers) {
    MUSTER_ASSIGN(const privacy::Secret memory, privacy::memory_key(key));
    add(memory, KeyPurpose::kNoiseMemory);
  }
  MUSTER_TRY(control_.put_wrapped_keys(wrapped));
  return key;
}

Status NoiseKeys::drop(KeyPurpose purpose, std::span<const RoundNumber> keep) {
  return control_.drop_keys(task_, purpose, keep);
}

}  // namespace muster::server

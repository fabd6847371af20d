#include "server/backend_choice.h"

#include <algorithm>
#include <map>
#include <optional>

#include "base/log.h"

namespace muster::server {
namespace {

/// Of a failure note: a word and a sentence.
constexpr std::size_t kNoteBytes = 4096;

kernels::CpuLevel cpu_level(const std::string& name) {
  if (name == "baseline") return kernels::CpuLevel::kBaseline;
  if (name == "avx2") return kernels::CpuLevel::kAvx2;
  if (name == "avx512") return kernels::CpuLevel::kAvx512;
  return kernels::detect_cpu_level();
}

struct GpuFailure {
  std::string error_class, sentence;
};

/// What the run before noted; once.
Result<std::optional<GpuFailure>> take_note(Storage& storage, const std::string& path) {
  if (!storage.exists(path)) return std::optional<GpuFailure>();
  MUSTER_ASSIGN(const auto bytes, read_file(storage, path, kNoteBytes));
  MUSTER_TRY(storage.remove(path));
  MUSTER_TRY(storage.sync_directory(parent_directory(path)));
  const std::string_view text = as_text(bytes);
  const std::size_t line = std::min(text.find('\n'), text.size());
  GpuFailure failure{std::string(text.substr(0, line)), std::string(text.substr(line))};
  std::erase(failure.sentence, '\n');
  return std::optional(std::move(failure));
}

/// By class: the words of kernels/cuda/device.h, and of a start that found a GPU it could not use.
using ErrorCounters = std::map<std::string, Counter*, std::less<>>;
ErrorCounters error_counters(Stats& stats) {
  ErrorCounters counters;
  for (const char* error_class :
       {"cublas", "driver", "hang", "hardware", "kernel", "memory", "nccl", "unavailable"})
    counters[error_class] = &stats.counter("muster_gpu_errors_total", {{"class", error_class}});
  return counters;
}

}  // namespace

Result<BackendChoice> choose_backend(const Config& config, std::size_t slab_bytes, Storage& storage,
                                     Stats& stats) {
  const auto& wish = config.backend;
  const std::string note = config.data_dir + "/gpu-failure";
  kernels::BackendOptions options;
  options.kind = wish.kind;
  options.threads = wish.threads;
  options.memory_bytes = wish.memory_bytes;
  options.host_bytes = slab_bytes;
  options.devices = wish.devices;
  options.hang_seconds = static_cast<double>(wish.gpu_deadline) / kSecond;
  options.level = cpu_level(wish.cpu_level);
  options.on_failure = [&storage, note](std::string_view error_class, std::string_view sentence) {
    const std::string text = std::string(error_class) + "\n" + std::string(sentence) + "\n";
    // The process ends whether the note is there or not.
    [[maybe_unused]] const Status ignored = write_file(storage, note, as_bytes(text));
  };
  Counter& fallbacks = stats.counter("muster_backend_fallbacks_total");
  const auto errors = error_counters(stats);
  const bool may_fall_back = wish.gpu_fallback == "allow";

  MUSTER_ASSIGN(const auto failure, take_note(storage, note));
  if (failure) {
    if (const auto found = errors.find(failure->error_class); found != errors.end())
      found->second->add();
    log_warning("gpu_failed", "in the run before this one " + failure->sentence,
                {{"class", failure->error_class}});
  }
  const bool spared = failure && wish.kind == "auto" && may_fall_back;
  if (spared) options.kind = "cpu";
  kernels::Fallback fallback;
  BackendChoice choice;
  MUSTER_ASSIGN(choice.backend, kernels::create_backend(options, &fallback));
  if (spared) {
    fallbacks.add();
    log_warning("backend_cpu",
                "the GPU failed in the run before: the CPU backend serves this run, the next one "
                "tries the GPU again");
  } else if (fallback.cause.empty()) {
    return choice;
  } else if (!fallback.gpu_found && !failure) {
    log_info("backend_cpu", "no usable GPU: the CPU backend serves", {{"cause", fallback.cause}});
  } else {
    fallbacks.add();
    errors.find("unavailable")->second->add();
    if (may_fall_back) {
      log_warning("backend_cpu", "there is a GPU, but it cannot be used: the CPU backend serves",
                  {{"cause", fallback.cause}});
    } else {
      choice.unready = "gpu_unusable";
      log_error(
          "gpu_unusable",
          "there is a GPU, it cannot be used, and gpu_fallback is \"forbid\": not ready until "
          "a start that can; the CPU backend keeps what devices were promised",
          {{"cause", fallback.cause}});
    }
  }
  return choice;
}

}  // namespace muster::server

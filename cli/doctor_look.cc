// Looks at the machine for `muster doctor`.
#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timex.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/clock.h"
#include "base/storage.h"
#include "cli/admin_client.h"
#include "cli/doctor_checks.h"
#include "cli/server_program.h"

namespace muster::cli {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

constexpr std::size_t kTrialBytes = std::size_t{1} << 20;
constexpr int kTrials = 5;
constexpr long kQuickSeconds = 2;

std::uint64_t hard_limit(__rlimit_resource_t resource) {
  rlimit limit{};
  if (::getrlimit(resource, &limit) != 0) return 0;
  return limit.rlim_max == RLIM_INFINITY ? ~std::uint64_t{0} : limit.rlim_max;
}

/// The folder itself or the nearest one above it that is there.
std::string existing_folder(const std::string& path) {
  std::error_code ignored;
  fs::path folder = fs::absolute(path, ignored);
  while (!fs::is_directory(folder, ignored) && folder.has_parent_path() &&
         folder != folder.parent_path())
    folder = folder.parent_path();
  return folder.string();
}

Result<double> sync_milliseconds(PosixStorage& storage, const std::string& folder) {
  const std::string path = folder + "/.muster-doctor-" + std::to_string(::getpid());
  MUSTER_ASSIGN(auto file, storage.open(path, OpenMode::kOpenOrCreate));
  const std::vector<std::byte> data(kTrialBytes, std::byte{0x5a});
  const ConstBytes piece(data);
  std::array<double, kTrials> took{};
  Status status;
  for (int i = 0; i < kTrials && status.ok(); ++i) {
    const auto begin = std::chrono::steady_clock::now();
    status = file->write_at(static_cast<std::uint64_t>(i) * kTrialBytes, {&piece, 1});
    if (status.ok()) status = file->sync();
    took[static_cast<std::size_t>(i)] =
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
  }
  file.reset();
  const Status removed = storage.remove(path);
  MUSTER_TRY(std::move(status));
  MUSTER_TRY(removed);
  std::sort(took.begin(), took.end());
  return took[kTrials / 2];
}

void look_at_disk(DoctorFacts& facts, const std::string& data_dir) {
  PosixStorage storage;
  const std::string folder = existing_folder(data_dir);
  const auto free = storage.free_bytes(folder);
  if (free.ok()) facts.free_bytes = *free;
  const auto sync = sync_milliseconds(storage, folder);
  if (sync.ok())
    facts.sync_ms = *sync;
  else
    facts.disk_problem = sync.status().message();
  if (!free.ok()) facts.disk_problem = free.status().message();
}

void look_at_gpu(DoctorFacts& facts, const std::string& directory) {
  std::error_code ignored;
  facts.gpu_there = fs::exists("/dev/nvidiactl", ignored) || fs::exists("/dev/nvidia0", ignored);
  for (const std::string& path :
       {directory + "/libmuster_cuda.so", directory + "/../lib/muster/libmuster_cuda.so"})
    facts.plugin_there = facts.plugin_there || fs::exists(path, ignored);
  void* const driver = ::dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (driver == nullptr) {
    facts.gpu_problem = "the NVIDIA driver (libcuda.so.1) is not installed";
    return;
  }
  using Init = int (*)(unsigned);
  using Count = int (*)(int*);
  const auto init = reinterpret_cast<Init>(::dlsym(driver, "cuInit"));
  const auto count = reinterpret_cast<Count>(::dlsym(driver, "cuDeviceGetCount"));
  int devices = 0;
  if (init == nullptr || count == nullptr)
    facts.gpu_problem = "libcuda.so.1 is no CUDA driver";
  else if (const int error = init(0); error != 0)
    facts.gpu_problem = "the driver does not start: CUDA error " + std::to_string(error);
  else if (count(&devices) != 0 || devices == 0)
    facts.gpu_problem = "the driver finds no device";
}

/// Whether HOST:PORT can be bound now; the reason where not.
std::string bind_problem(const std::string& address) {
  const std::size_t colon = address.rfind(':');
  if (colon == std::string::npos) return "no port";
  std::string host = address.substr(0, colon), port = address.substr(colon + 1);
  if (port == "*") port = "0";
  if (host.size() > 1 && host.front() == '[') host = host.substr(1, host.size() - 2);
  addrinfo hints{}, *list = nullptr;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  hints.ai_socktype = SOCK_STREAM;
  if (const int error =
          ::getaddrinfo(host == "*" ? nullptr : host.c_str(), port.c_str(), &hints, &list);
      error != 0)
    return ::gai_strerror(error);
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> found(list, &::freeaddrinfo);
  const int fd = ::socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return std::strerror(errno);
  const int on = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const bool bound = ::bind(fd, found->ai_addr, found->ai_addrlen) == 0 && ::listen(fd, 1) == 0;
  const std::string problem = bound ? "" : std::strerror(errno);
  ::close(fd);
  return problem;
}

void look_at_ports(DoctorFacts& facts) {
  std::istringstream endpoints(facts.config["ingest.listen"]);
  for (std::string endpoint; endpoints >> endpoint;)
    if (endpoint.starts_with("tcp://"))
      facts.ports.push_back({endpoint.substr(6), bind_problem(endpoint.substr(6))});
  const std::string& metrics = facts.config["monitoring.listen"];
  if (!metrics.empty() && !metrics.starts_with("unix:"))
    facts.ports.push_back({metrics, bind_problem(metrics)});
}

void look_at_secrets(DoctorFacts& facts, const std::string& data_dir) {
  std::vector<std::string> paths = {data_dir + "/control.db", data_dir + "/master.key"};
  std::istringstream masters(facts.config["secrets.master"]);
  for (std::string path; masters >> path;)
    if (!path.starts_with("credential:")) paths.push_back(path);
  for (const std::string& path : paths) {
    struct stat found {};
    if (::stat(path.c_str(), &found) == 0) facts.secret_modes[path] = found.st_mode & 0777;
  }
}

}  // namespace

DoctorFacts look(const std::string& directory, const std::string& config_file) {
  DoctorFacts facts;
  const auto outcome =
      run_server_program(directory + "/musterd",
                         {"--check", config_file.empty() ? "/dev/null" : config_file, "--values"});
  facts.config_exit = outcome.ok() ? outcome->exit_code : kExitUnavailable;
  facts.config_text = outcome.ok() ? outcome->text : std::string(outcome.status().message());
  if (facts.config_exit == 0) {
    const json values = json::parse(outcome->text, nullptr, false);
    if (values.is_object())
      for (const auto& [key, value] : values.items())
        if (value.is_string()) facts.config[key] = value.get<std::string>();
  }
  const std::string data_dir =
      facts.config["data_dir"].empty() ? "muster-data" : facts.config["data_dir"];
  const std::string socket = facts.config["admin.socket"].empty() ? data_dir + "/admin.sock"
                                                                  : facts.config["admin.socket"];
  facts.server_running = AdminClient(socket, kQuickSeconds).get("/v1/config").ok();
  facts.descriptors = hard_limit(RLIMIT_NOFILE);
  facts.memlock_bytes = hard_limit(RLIMIT_MEMLOCK);
  look_at_disk(facts, data_dir);
  timex clock{};
  facts.clock_synchronised = ::adjtimex(&clock) != TIME_ERROR;
  facts.wall_ms = SystemClock().wall_ms();
  look_at_gpu(facts, directory);
#if defined(__x86_64__)
  facts.avx2 = __builtin_cpu_supports("avx2") != 0;
  facts.sse42 = __builtin_cpu_supports("sse4.2") != 0;
#else
  facts.avx2 = facts.sse42 = true;
#endif
  look_at_secrets(facts, data_dir);
  look_at_ports(facts);
  return facts;
}

}  // namespace muster::cli

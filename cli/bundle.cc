// `muster bundle`: one archive for whoever helps. Nothing goes in but what is named here.
#include <archive.h>
#include <archive_entry.h>
#include <fmt/format.h>
#include <sys/utsname.h>

#include <array>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <ostream>

#include "base/clock.h"
#include "base/log.h"
#include "cli/commands.h"
#include "cli/doctor_checks.h"

namespace muster::cli {
namespace {

using nlohmann::json;

constexpr long kScrapeSeconds = 10;
constexpr int kRounds = 50;

/// File name in the archive -> contents.
using Files = std::map<std::string, std::string>;

/// Those fields of `object` that are on the list: what a later server adds stays out.
json only(const json& object, std::initializer_list<const char*> fields) {
  json kept = json::object();
  for (const char* field : fields)
    if (object.contains(field)) kept[field] = object[field];
  return kept;
}

std::string pretty(const json& document) {
  return document.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

json machine() {
  json facts = json::object();
  utsname name{};
  if (::uname(&name) == 0)
    facts["kernel"] = fmt::format("{} {} {}", name.sysname, name.release, name.machine);
  for (const char* file : {"/proc/loadavg", "/proc/pressure/cpu", "/proc/pressure/io",
                           "/proc/pressure/memory", "/proc/self/limits", "/proc/meminfo"}) {
    std::ifstream stream(file);
    const std::string text{std::istreambuf_iterator<char>(stream), {}};
    if (!text.empty()) facts[file] = text;
  }
  return facts;
}

json doctor(const DoctorFacts& facts) {
  json checks = json::array();
  for (const CheckResult& result : judge(facts))
    checks.push_back({{"check", result.name},
                      {"finding", static_cast<int>(result.finding)},
                      {"what", result.what}});
  return checks;
}

/// Paths of secrets are told apart from secrets by nobody in a hurry: they stay out as well.
json config_of(const json& answer) {
  json values = json::object();
  const json all = answer.value("values", json::object());
  for (const auto& [key, value] : all.items())
    values[key] = key.starts_with("secrets.") ? json("(left out)") : value;
  return values;
}

void leave_out(std::string& text, const std::string& word) {
  if (word.empty()) return;
  for (std::size_t at = 0; (at = text.find(word, at)) != std::string::npos;)
    text.replace(at, word.size(), "(left out)");
}

Status collect_rounds(Session& session, const json& status, Files& files) {
  MUSTER_ASSIGN(const json tasks, objects_of(status, "tasks"));
  for (const json& task : tasks) {
    const std::string name = task.value("name", "");
    MUSTER_ASSIGN(const json answer,
                  session.admin().get("/v1/tasks/" + escape(name) +
                                      "/rounds?limit=" + std::to_string(kRounds)));
    MUSTER_ASSIGN(const json rounds, objects_of(answer, "rounds"));
    json kept = json::array();
    for (const json& round : rounds)
      kept.push_back(only(round, {"round", "state", "model_version", "opened_ms", "closed_ms",
                                  "seconds", "cohort", "n", "f", "invalid", "model_sha256"}));
    files["rounds-" + escape(name) + ".json"] = pretty(kept);
  }
  return Status();
}

Result<Files> collect(Session& session, const std::string& config_file) {
  Files files;
  const AdminClient admin = session.admin();
  MUSTER_ASSIGN(const json status, admin.get("/v1/status"));
  MUSTER_ASSIGN(const json logs, admin.get("/v1/logs"));
  MUSTER_ASSIGN(const json config, admin.get("/v1/config"));
  MUSTER_ASSIGN(files["metrics.txt"],
                fetch_text(status.value("metrics", ""), "/metrics", kScrapeSeconds));
  json shown = only(status, {"version", "backend", "endpoints", "metrics", "data_dir", "ready",
                             "causes", "refused", "updates_accepted", "bytes_received",
                             "connections", "spool_bytes", "spool_free_bytes", "slab", "memory"});
  json tasks = json::array();
  for (const json& task : status.value("tasks", json::array()))
    tasks.push_back(only(
        task, {"name", "rule", "codec", "state", "round", "cohort", "target", "minimum",
               "model_version", "rounds_done", "dimension", "deadline_s", "age_s", "privacy"}));
  shown["tasks"] = std::move(tasks);
  files["status.json"] = pretty(shown);
  files["config.json"] = pretty(config_of(config));
  std::string lines;
  for (const json& line : logs.value("lines", json::array()))
    if (line.is_string()) lines += line.get<std::string>() + "\n";
  files["log.jsonl"] = lines;
  files["machine.json"] = pretty(machine());
  files["doctor.json"] = pretty(doctor(look(session.program_directory(), config_file)));
  files["bundle.json"] =
      pretty({{"muster", MUSTER_VERSION}, {"made", utc_text(SystemClock().wall_ms())}});
  MUSTER_TRY(collect_rounds(session, status, files));
  // Even the key that everybody may know, which the log names at each start.
  for (auto& [name, contents] : files) leave_out(contents, status.value("server_key", ""));
  return files;
}

Status failed(archive* target, const std::string& path) {
  return Status(Code::kUnavailable, "file_create",
                "cannot write " + path + ": " + archive_error_string(target));
}

/// A gzipped tar with everything below one folder. An existing file is not replaced.
Status write_archive(const std::string& path, const std::string& folder, const Files& files) {
  if (std::ifstream(path).good())
    return Status(Code::kInvalid, "file_exists", path + " exists\nName another with --out.");
  const std::unique_ptr<archive, decltype(&archive_write_free)> target(archive_write_new(),
                                                                       &archive_write_free);
  archive_write_add_filter_gzip(target.get());
  archive_write_set_format_pax_restricted(target.get());
  if (archive_write_open_filename(target.get(), path.c_str()) != ARCHIVE_OK)
    return failed(target.get(), path);
  const auto now = static_cast<std::time_t>(SystemClock().wall_ms() / 1000);
  for (const auto& [name, contents] : files) {
    const std::unique_ptr<archive_entry, decltype(&archive_entry_free)> entry(archive_entry_new(),
                                                                              &archive_entry_free);
    archive_entry_set_pathname(entry.get(), (folder + "/" + name).c_str());
    archive_entry_set_size(entry.get(), static_cast<la_int64_t>(contents.size()));
    archive_entry_set_filetype(entry.get(), AE_IFREG);
    archive_entry_set_perm(entry.get(), 0600);
    archive_entry_set_mtime(entry.get(), now, 0);
    if (archive_write_header(target.get(), entry.get()) != ARCHIVE_OK ||
        archive_write_data(target.get(), contents.data(), contents.size()) !=
            static_cast<la_ssize_t>(contents.size()))
      return failed(target.get(), path);
  }
  return archive_write_close(target.get()) == ARCHIVE_OK ? Status() : failed(target.get(), path);
}

Status make_bundle(Session& session, const std::string& config_file, std::string path) {
  const std::string folder = "muster-bundle-" + utc_text(SystemClock().wall_ms()).substr(0, 19);
  if (path.empty()) path = folder + ".tar.gz";
  MUSTER_ASSIGN(const Files files, collect(session, config_file));
  MUSTER_TRY(write_archive(path, folder, files));
  json names = json::array();
  for (const auto& [name, contents] : files) names.push_back(name);
  session.show({{"file", path}, {"contents", std::move(names)}}, [&](std::ostream& out) {
    out << path << '\n';
    session.say("Look through it before you send it: it names tasks, addresses and paths.");
  });
  return Status();
}

}  // namespace

void add_bundle(CLI::App& app, Session& session) {
  CLI::App& verb = add_verb(app, "bundle", "Collect what support needs; no keys, no updates",
                            "muster bundle --out case-17.tar.gz");
  auto path = std::make_shared<std::string>(), file = std::make_shared<std::string>();
  verb.add_option("-o,--out", *path, "The archive to make")->option_text("FILE");
  verb.add_option("-c,--config", *file, "For the doctor's part")->option_text("FILE");
  on_run(verb, session, [&session, path, file] { return make_bundle(session, *file, *path); });
}

}  // namespace muster::cli

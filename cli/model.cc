#include <unistd.h>

#include <filesystem>
#include <memory>
#include <ostream>
#include <system_error>

#include "cli/commands.h"
#include "cli/table.h"

namespace muster::cli {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

struct ModelOptions {
  std::string task, file, version;
  bool force = false;
};

std::string model_path(const std::string& task) { return "/v1/tasks/" + escape(task) + "/model"; }

/// Copies through a neighbour and a rename, so that `to` is never half a model.
Status copy_model(const fs::path& from, const fs::path& to, bool force) {
  std::error_code error;
  if (!force && fs::exists(fs::symlink_status(to, error)))
    return Status(Code::kDuplicate, "file_exists",
                  to.string() + " exists already\nChoose another name, or add --force.");
  if (::access(from.c_str(), R_OK) != 0)
    return Status(Code::kForbidden, "model_unreadable",
                  "cannot read the server's file " + from.string() +
                      "\nRun this on the server's machine, as its user or group.");
  const fs::path partial = to.string() + ".partial";
  fs::copy_file(from, partial, fs::copy_options::overwrite_existing, error);
  if (!error) fs::rename(partial, to, error);
  if (!error) return Status();
  const std::string why = error.message();
  fs::remove(partial, error);
  return Status(Code::kUnavailable, "file_create", "cannot write " + to.string() + ": " + why);
}

Status export_model(Session& session, const ModelOptions& options) {
  std::string path = model_path(options.task);
  if (!options.version.empty()) path += "?version=" + escape(options.version);
  MUSTER_ASSIGN(json model, session.admin().get(path));
  MUSTER_TRY(copy_model(word(model, "file"), options.file, options.force));
  model["out"] = options.file;
  const std::string sentence = "wrote " + options.file + ": version " + word(model, "version") +
                               ", sha256 " + word(model, "sha256") +
                               (model.contains("privacy") && model["privacy"].is_object()
                                    ? ", " + word(model["privacy"], "statement")
                                    : "");
  session.show(std::move(model), [&](std::ostream& out) { out << printable(sentence) << '\n'; });
  return Status();
}

Status import_model(Session& session, const ModelOptions& options) {
  std::error_code error;
  if (!fs::is_regular_file(options.file, error))
    return Status(Code::kNotFound, "file_missing", "there is no file " + options.file);
  MUSTER_ASSIGN(json model, session.admin().post(model_path(options.task),
                                                 {{"file", fs::absolute(options.file).string()}}));
  std::string sentence = "imported " + options.file + " as version " + word(model, "version");
  if (model.contains("sha256")) sentence += ", sha256 " + word(model, "sha256");
  session.show(std::move(model), [&](std::ostream& out) { out << printable(sentence) << '\n'; });
  return Status();
}

}  // namespace

void add_model(CLI::App& app, Session& session) {
  CLI::App& model = add_group(app, "model", "Export and import models (safetensors)",
                              "muster model export keyboard --out keyboard.safetensors");

  CLI::App& out = add_verb(model, "export", "Copy a released model to a file",
                           "muster model export keyboard --version 12 --out v12.safetensors");
  auto exported = std::make_shared<ModelOptions>();
  out.add_option("TASK", exported->task, "Name of the task")->required()->option_text(" ");
  out.add_option("--version", exported->version, "Which one (default: the newest)")
      ->check(CLI::NonNegativeNumber)
      ->option_text("V");
  out.add_option("--out", exported->file, "Where to (required)")->required()->option_text("FILE");
  out.add_flag("--force", exported->force, "Replace the file if it exists");
  on_run(out, session, [&session, exported] { return export_model(session, *exported); });

  CLI::App& in = add_verb(model, "import", "Make a file the task's newest model",
                          "muster model import keyboard pretrained.safetensors");
  auto imported = std::make_shared<ModelOptions>();
  in.add_option("TASK", imported->task, "Name of the task")->required()->option_text(" ");
  in.add_option("FILE", imported->file, "A safetensors file")->required()->option_text(" ");
  on_run(in, session, [&session, imported] { return import_model(session, *imported); });
}

}  // namespace muster::cli

#include <filesystem>
#include <memory>
#include <ostream>

#include "base/limits.h"
#include "cli/commands.h"
#include "cli/key_file.h"
#include "cli/table.h"
#include "cli/task_table.h"

namespace muster::cli {
namespace {

using nlohmann::json;

struct CreateOptions {
  std::string file, model;
};

Status create(Session& session, const CreateOptions& options) {
  MUSTER_ASSIGN(const std::string toml, read_text(options.file, limits::kDocumentBytes));
  const std::string model =
      options.model.empty() ? "" : std::filesystem::absolute(options.model).string();
  MUSTER_ASSIGN(json task,
                session.admin().post("/v1/tasks",
                                     {{"toml", toml}, {"file", options.file}, {"model", model}}));
  const std::string sentence = "created task " + word(task, "name") + " (" + word(task, "rule") +
                               ", " + word(task, "dimension") + " coordinates)";
  session.show(std::move(task), [&](std::ostream& out) { out << printable(sentence) << '\n'; });
  return Status();
}

Status list_tasks(Session& session) {
  MUSTER_ASSIGN(json answer, session.admin().get("/v1/tasks"));
  MUSTER_ASSIGN(const json tasks, objects_of(answer, "tasks"));
  session.show(std::move(answer),
               [&](std::ostream& out) { print_tasks(out, tasks, session.bold()); });
  return Status();
}

Status show_task(Session& session, const std::string& name) {
  MUSTER_ASSIGN(const json task, session.admin().get("/v1/tasks/" + escape(name)));
  session.show(task, [&task](std::ostream& out) {
    print_facts(out, {{"task", word(task, "name")},
                      {"rule", word(task, "rule")},
                      {"state", word(task, "state")},
                      {"round", word(task, "round")},
                      {"cohort", word(task, "cohort") + " of " + word(task, "target") +
                                     " (minimum " + word(task, "minimum") + ")"},
                      {"model", "version " + word(task, "model_version")},
                      {"released", word(task, "rounds_done") + " rounds"},
                      {"dimension", word(task, "dimension")},
                      {"codec", word(task, "codec")},
                      {"terms", word(task, "terms")}});
    if (task.contains("stopped")) out << "\nstopped\n" << word(task, "stopped") << '\n';
    if (const auto found = task.find("privacy"); found != task.end() && found->is_object()) {
      const json& privacy = *found;
      out << "\nprivacy\n";
      print_facts(out, {{"population", word(privacy, "population")},
                        {"mechanism", word(privacy, "mechanism")},
                        {"spent", "epsilon " + word(privacy, "epsilon_spent") + " of " +
                                      word(privacy, "epsilon_limit") + " at delta " +
                                      word(privacy, "delta")},
                        {"releases", word(privacy, "releases")},
                        {"ledger", word(privacy, "ledger")}});
    }
    if (task.contains("plan")) out << "\nplan\n" << word(task, "plan") << '\n';
    if (task.contains("toml")) out << "\nconfiguration\n" << word(task, "toml") << '\n';
  });
  return Status();
}

}  // namespace

void print_tasks(std::ostream& out, const json& tasks, bool bold) {
  Table table({{"TASK"},
               {"RULE"},
               {"STATE"},
               {"ROUND", true},
               {"COHORT", true},
               {"TARGET", true},
               {"MINIMUM", true},
               {"MODEL", true},
               {"RELEASED", true}});
  for (const json& task : tasks)
    table.add({word(task, "name"), word(task, "rule"), word(task, "state"), word(task, "round"),
               word(task, "cohort"), word(task, "target"), word(task, "minimum"),
               word(task, "model_version"), word(task, "rounds_done")});
  table.print(out, bold);
}

void add_task(CLI::App& app, Session& session) {
  CLI::App& task =
      add_group(app, "task", "Create, list and show tasks", "muster task create keyboard.toml");

  CLI::App& create_verb = add_verb(task, "create", "Create a task from a TOML file",
                                   "muster task create keyboard.toml --model keyboard.safetensors");
  auto options = std::make_shared<CreateOptions>();
  create_verb.add_option("FILE", options->file, "The task (TOML)")->required()->option_text(" ");
  create_verb.add_option("--model", options->model, "Start from this safetensors file")
      ->option_text("FILE");
  on_run(create_verb, session, [&session, options] { return create(session, *options); });

  CLI::App& list = add_verb(task, "ls", "List tasks and their rounds", "muster task ls");
  on_run(list, session, [&session] { return list_tasks(session); });

  CLI::App& show = add_verb(task, "show", "Show a task: state, plan, configuration",
                            "muster task show keyboard");
  auto name = std::make_shared<std::string>();
  show.add_option("TASK", *name, "Name of the task")->required()->option_text(" ");
  on_run(show, session, [&session, name] { return show_task(session, *name); });
}

}  // namespace muster::cli

// The verbs of `muster`, one file each, and the program around them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cli/session.h"

namespace muster::cli {

void add_keys(CLI::App& app, Session& session);
void add_task(CLI::App& app, Session& session);
void add_round(CLI::App& app, Session& session);
void add_model(CLI::App& app, Session& session);
void add_status(CLI::App& app, Session& session);
void add_metrics(CLI::App& app, Session& session);
void add_check_config(CLI::App& app, Session& session);
void add_spool(CLI::App& app, Session& session);
void add_top(CLI::App& app, Session& session);
void add_doctor(CLI::App& app, Session& session);
void add_bundle(CLI::App& app, Session& session);
void add_device(CLI::App& app, Session& session);
void add_privacy(CLI::App& app, Session& session);
void add_ledger(CLI::App& app, Session& session);
void add_loadtest(CLI::App& app, Session& session);

/// The whole option tree; `session` must outlive it.
std::unique_ptr<CLI::App> build_app(Session& session);

/// `arguments` without the program's name. Returns the exit code.
int run(const std::vector<std::string>& arguments, const Surroundings& surroundings);

}  // namespace muster::cli

// The metric catalogue for people, for scripts, and as the page docs/metrics.md.
#pragma once

#include <string>

#include "cli/session.h"

namespace muster::cli {

void show_catalogue(Session& session);
/// docs/metrics.md, byte for byte.
std::string catalogue_page();

}  // namespace muster::cli

// The page at /status: one document, no outside assets, refreshes itself from /status.json.
#pragma once

#include <string>

namespace muster::monitoring {

/// The whole page. The same for every server: what it shows comes from /status.json.
const std::string& status_page();

}  // namespace muster::monitoring

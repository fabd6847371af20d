#include "cli/load_result.h"
namespace muster::cli {
std::string report_html(const LoadResult& result) { return result.scenario->name; }
}  // namespace muster::cli

#include "tests/gpusim/runtime/traffic.h"

#include <cxxabi.h>

#include <cstdlib>
#include <memory>
#include <nlohmann/json.hpp>

namespace gpusim {
namespace {

using Json = nlohmann::ordered_json;

std::string demangled(const std::string& name) {
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> text(
      abi::__cxa_demangle(name.c_str(), nullptr, nullptr, &status), &std::free);
  return status == 0 ? text.get() : name;
}

void add(Json& json, const Counts& c) {
  json["warp_instructions"] = c.warp_instructions;
  json["lane_instructions"] = c.lane_instructions;
  json["wide_conversions"] = c.wide_conversions;
  json["global_requests"] = c.global_requests;
  json["global_sectors"] = c.global_sectors;
  json["global_bytes"] = c.global_bytes;
  json["uniform_requests"] = c.uniform_requests;
  json["uniform_bytes"] = c.uniform_bytes;
  json["shared_requests"] = c.shared_requests;
  json["shared_cycles"] = c.shared_cycles;
  json["shared_ideal_cycles"] = c.shared_ideal_cycles;
  json["barriers"] = c.barriers;
  json["warp_operations"] = c.warp_operations;
  json["atomics"] = c.atomics;
  json["lanes_active"] = c.lanes_active();
  json["sectors_per_request"] = c.sectors_per_request();
  json["sector_use"] = c.sector_use();
  json["bank_conflicts"] = c.bank_conflicts();
}

}  // namespace

std::string traffic_json(const Machine& machine) {
  Json kernels = Json::array();
  for (const auto& [name, traffic] : machine.traffic()) {
    Json kernel = {{"kernel", name}, {"name", demangled(name)}, {"launches", traffic.launches}};
    add(kernel, traffic.total);
    kernel["lines"] = Json::array();
    for (const auto& [where, counts] : traffic.lines) {
      Json line = {{"file", where.first}, {"line", where.second}};
      add(line, counts);
      kernel["lines"].push_back(std::move(line));
    }
    kernels.push_back(std::move(kernel));
  }
  return Json{{"kernels", std::move(kernels)}}.dump(1);
}

}  // namespace gpusim

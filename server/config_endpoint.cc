#include "server/config_endpoint.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <string>

#include "server/config_text.h"

namespace muster::server {
namespace {

constexpr std::string_view kScheme = "tcp://";
constexpr std::string_view kHostCharacters =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";

Status refuse(std::string_view address, std::string_view why) {
  return {Code::kInvalid, "address", quote_for_people(address).append(" ").append(why)};
}

bool is_host(std::string_view host) {
  if (host.starts_with('[') && host.ends_with(']') && host.size() > 3)
    return host.substr(1, host.size() - 2).find_first_not_of("0123456789abcdefABCDEF:.%") ==
           std::string_view::npos;
  return !host.empty() && host.find_first_not_of(kHostCharacters) == std::string_view::npos;
}

bool is_port(std::string_view port) {
  std::uint16_t number = 0;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  return error == std::errc() && end == port.data() + port.size();
}

}  // namespace

Status check_endpoint(std::string_view endpoint) {
  if (!endpoint.starts_with(kScheme)) return refuse(endpoint, "is not \"tcp://HOST:PORT\"");
  const std::string_view address = endpoint.substr(kScheme.size());
  const std::size_t colon = address.rfind(':');
  if (colon == std::string_view::npos) return refuse(endpoint, "has no port");
  const std::string_view host = address.substr(0, colon), port = address.substr(colon + 1);
  if (host != "*" && !is_host(host))
    return refuse(endpoint, "has no host before the port (IPv6 addresses need brackets)");
  if (port != "*" && !is_port(port)) return refuse(endpoint, "has a port that is not 0 to 65535");
  return {};
}

bool is_loopback(std::string_view endpoint) {
  const std::string_view address = endpoint.substr(kScheme.size());
  const std::string_view host = address.substr(0, address.rfind(':'));
  if (host == "localhost" || host == "[::1]") return true;
  // A name may begin like an address ("127.0.0.1.example.org"), an address has three dots.
  return host.starts_with("127.") && std::count(host.begin(), host.end(), '.') == 3 &&
         host.find_first_not_of("0123456789.") == std::string_view::npos;
}

Status check_host_port(std::string_view address) {
  const std::size_t colon = address.rfind(':');
  if (colon == std::string_view::npos) return refuse(address, "is not \"HOST:PORT\"");
  if (!is_host(address.substr(0, colon)))
    return refuse(address, "has no host before the port (IPv6 addresses need brackets)");
  if (!is_port(address.substr(colon + 1)))
    return refuse(address, "has a port that is not 0 to 65535");
  return {};
}

}  // namespace muster::server

// Addresses as a configuration writes them.
#pragma once

#include <string_view>

#include "base/status.h"

namespace muster::server {

/// "tcp://HOST:PORT" with a name, an IPv4 address, "[IPv6]" or "*" for HOST and 0 to 65535 or "*"
/// for PORT (0 and "*": any free one). "address" where it is not.
Status check_endpoint(std::string_view endpoint);
/// Whether only processes of this machine reach it. `endpoint` is a checked one.
bool is_loopback(std::string_view endpoint);
/// "HOST:PORT" without a scheme and without wildcard ports.
Status check_host_port(std::string_view address);

}  // namespace muster::server

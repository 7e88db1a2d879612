// SPDX-License-Identifier: Apache-2.0
#include "user/control/commands.h"

#include <exception>
#include <new>
#include <system_error>
#include <utility>

#include "user/pipeline/rule_text.h"

namespace shunt {

Commands::Commands(InstanceApi& instance, DaemonInfo daemon)
    : instance_{instance}, daemon_{std::move(daemon)}, methods_{bridge_methods(), port_methods(), flow_methods(),
                                                                cache_methods(),  fdb_methods(),  stats_methods()} {}

std::string Commands::handle(std::string_view line) {
  Json id;
  try {
    const RpcRequest request = parse_request(line, id);
    return format_result(id, call(request));
  } catch (const RpcError& error) {
    return format_error(id, error.code(), error.what());
  } catch (const LineError& error) {
    return format_error(id, RpcCode::kRefused, error.what(), {{"line", error.line()}, {"column", error.column()}});
  } catch (const TextError& error) {
    return format_error(id, RpcCode::kRefused, error.what(), {{"column", error.column()}});
  } catch (const Error& error) {
    return format_error(id, RpcCode::kRefused, error.what());
  } catch (const std::system_error& error) {
    return format_error(id, RpcCode::kRefused, error.what(), {{"errno", error.code().value()}});
  } catch (const std::bad_alloc&) {
    return format_error(id, RpcCode::kRefused, "out of memory");
  } catch (const std::exception& error) {
    return format_error(id, RpcCode::kInternal, fmt::format("internal error: {}", error.what()));
  }
}

std::vector<std::string_view> Commands::method_names() const {
  std::vector<std::string_view> names;
  for (const auto& group : methods_)
    for (const Method& method : group) names.push_back(method.name);
  return names;
}

Json Commands::call(const RpcRequest& request) {
  for (const auto& group : methods_)
    for (const Method& method : group)
      if (method.name == request.method)
        return method.run({instance_, daemon_}, Arguments{method.params, request.params});
  throw RpcError(RpcCode::kMethodNotFound, "unknown method '{}': is the client newer than the daemon?", request.method);
}

}  // namespace shunt

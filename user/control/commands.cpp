// SPDX-License-Identifier: Apache-2.0
#include "user/control/commands.h"

#include <exception>
#include <new>
#include <system_error>
#include <utility>

#include "user/base/of_error.h"
#include "user/pipeline/rule_text.h"
#include "user/state/state_store.h"

namespace shunt {

namespace {

std::array<std::span<const Method>, 17> all_methods() {
  return {bridge_methods(),    port_methods(),   flow_methods(),       group_methods(), meter_methods(),
          table_methods(),     trace_methods(),  cache_methods(),      fdb_methods(),   stats_methods(),
          packet_in_methods(), config_methods(), controller_methods(), top_methods(),   capture_methods(),
          monitor_methods(),   worker_methods()};
}

}  // namespace

Commands::Commands(InstanceApi& instance, DaemonInfo daemon, ControllerApi* controllers)
    : instance_{instance},
      daemon_{std::move(daemon)},
      figures_{instance, daemon_},
      controllers_{controllers},
      methods_{all_methods()} {}

ClientStream& CommandContext::stream() const {
  if (client == nullptr) throw RpcError(RpcCode::kInvalidRequest, "this needs a connection of its own");
  return *client;
}

namespace {

// Where the text is wrong, and what OpenFlow calls it.
Json error_data(std::optional<OfErrorCode> code, std::size_t line, std::size_t column) {
  Json data = Json::object();
  if (code) {
    const OfErrorNumbers numbers = numbers_of(*code);
    data = {{"of_error", numbers.name}, {"type", numbers.type}, {"code", numbers.code}};
  }
  if (line != 0) data["line"] = line;
  if (column != 0) data["column"] = column;
  return data.empty() ? Json(nullptr) : data;
}

// As LineError and TextError say it.
std::string with_place(const OfError& error) {
  if (error.column() == 0)
    return error.line() == 0 ? std::string{error.what()} : fmt::format("line {}: {}", error.line(), error.what());
  if (error.line() == 0) return fmt::format("column {}: {}", error.column(), error.what());
  return fmt::format("line {}, column {}: {}", error.line(), error.column(), error.what());
}

}  // namespace

std::string Commands::handle(std::string_view line, ClientStream* client) {
  Json id;
  try {
    const RpcRequest request = parse_request(line, id);
    const Json result = call(request, client);
    instance_.store_changes();
    return format_result(id, result);
  } catch (const RpcError& error) {
    return format_error(id, error.code(), error.what());
  } catch (const LineError& error) {
    return format_error(id, RpcCode::kRefused, error.what(), error_data(error.code(), error.line(), error.column()));
  } catch (const TextError& error) {
    return format_error(id, RpcCode::kRefused, error.what(), error_data(error.code(), 0, error.column()));
  } catch (const OfError& error) {
    return format_error(id, RpcCode::kRefused, with_place(error),
                        error_data(error.code(), error.line(), error.column()));
  } catch (const NotStored& error) {
    return format_error(id, RpcCode::kNotStored, error.what());
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

std::vector<const Method*> Commands::methods() const {
  std::vector<const Method*> all;
  for (const auto& group : methods_)
    for (const Method& method : group) all.push_back(&method);
  return all;
}

Json Commands::call(const RpcRequest& request, ClientStream* client) {
  for (const auto& group : methods_)
    for (const Method& method : group)
      if (method.name == request.method)
        return method.run({instance_, figures_, daemon_, controllers_, client},
                          Arguments{method.params, request.params});
  throw RpcError(RpcCode::kMethodNotFound, "unknown method '{}': is the client newer than the daemon?", request.method);
}

}  // namespace shunt

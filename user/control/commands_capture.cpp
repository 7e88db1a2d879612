// SPDX-License-Identifier: Apache-2.0
// capture.start, capture.stop, capture.list
#include <array>
#include <bit>
#include <utility>

#include "user/control/commands.h"

namespace shunt {
namespace {

constexpr std::array<std::string_view, SHUNT_STAGE_COUNT> kStages{"before", "after", "drops"};  // by SHUNT_STAGE_*
constexpr std::uint64_t kDefaultRate = 200'000;
constexpr std::uint64_t kDefaultRing = 8;  // MiB
constexpr std::size_t kMebibyte = 1024 * 1024;
constexpr std::uint64_t kMostRate = 1'000'000'000;

Json port_json(const CapturePort& port) { return {{"dp_port", port.dp.value}, {"name", port.name}}; }

Json totals_json(const CaptureTotals& totals) {
  return {{"captured", totals.captured}, {"lost_ring", totals.lost_ring}, {"lost_rate", totals.lost_rate}};
}

CaptureRequest request_of(const Arguments& arguments) {
  CaptureRequest request;
  request.bridge = arguments.text("bridge");
  request.port = arguments.optional_text("port");
  for (std::size_t stage = 0; stage < kStages.size(); ++stage)
    if (arguments.flag(kStages[stage])) request.stages |= 1u << stage;
  if (request.stages == 0)
    throw RpcError(RpcCode::kInvalidParams, "nothing to capture: give 'before', 'after' or 'drops'");
  request.snaplen = static_cast<std::uint32_t>(arguments.integer("snaplen").value_or(SHUNT_CAPTURE_BYTES));
  request.rate = static_cast<std::uint32_t>(arguments.integer("rate").value_or(kDefaultRate));
  request.ring_bytes = std::bit_ceil(arguments.integer("buffer_mib").value_or(kDefaultRing)) * kMebibyte;
  if (const auto filter = arguments.optional_text("filter")) request.filter = parse_filter(*filter);
  return request;
}

// The capture ends with its client.
Json start(const CommandContext& context, const Arguments& arguments) {
  ClientStream& client = context.stream();
  CaptureRequest request = request_of(arguments);
  request.on_port = [&client](const CapturePort& port) {
    client.notify("capture.port", [&port] { return port_json(port); });
  };
  StartedCapture started = context.instance.start_capture(std::move(request));
  client.on_close([&instance = context.instance, id = started.id] { instance.stop_capture(id); });
  client.attach(std::move(started.kernel_ring));
  client.attach(std::move(started.worker_rings));
  Json ports = Json::array();
  for (const CapturePort& port : started.ports) ports.push_back(port_json(port));
  return {{"capture", started.id},
          {"ports", std::move(ports)},
          {"workers", started.workers},
          {"worker_ring_bytes", started.ring_bytes}};
}

Json stop(const CommandContext& context, const Arguments& arguments) {
  const std::uint64_t id = *arguments.integer("capture");
  const auto totals = context.instance.stop_capture(id);
  if (!totals) throw Error("no capture {} runs; 'shunt captures' shows those that do", id);
  return totals_json(*totals);
}

Json list(const CommandContext& context, const Arguments&) {
  Json captures = Json::array();
  for (const CaptureStatus& status : context.instance.captures()) {
    Json stages = Json::array();
    for (std::size_t stage = 0; stage < kStages.size(); ++stage)
      if ((status.stages >> stage & 1) != 0) stages.push_back(kStages[stage]);
    Json json = {{"capture", status.id}, {"bridge", status.bridge}, {"port", nullptr}, {"stages", std::move(stages)}};
    if (status.port) json["port"] = *status.port;
    json.update(totals_json(status.totals));
    captures.push_back(std::move(json));
  }
  return {{"captures", std::move(captures)}};
}

}  // namespace

std::span<const Method> capture_methods() {
  static const std::vector<Method> methods = {
      {"capture.start",
       {{.name = "bridge", .type = ParamType::kInterface, .required = true},
        {.name = "port", .type = ParamType::kInterface},
        {.name = "before", .type = ParamType::kFlag},
        {.name = "after", .type = ParamType::kFlag},
        {.name = "drops", .type = ParamType::kFlag},
        {.name = "snaplen", .type = ParamType::kInteger, .min = 1, .max = SHUNT_CAPTURE_BYTES},
        {.name = "rate", .type = ParamType::kInteger, .min = 1, .max = kMostRate},
        {.name = "buffer_mib", .type = ParamType::kInteger, .min = 1, .max = 1024},
        {.name = "filter", .type = ParamType::kText}},
       start},
      {"capture.stop",
       {{.name = "capture", .type = ParamType::kInteger, .required = true, .min = 1, .max = ~std::uint64_t{0} >> 1}},
       stop},
      {"capture.list", {}, list},
  };
  return methods;
}

}  // namespace shunt

// SPDX-License-Identifier: Apache-2.0
// trace: what the pipeline does with a packet, given by its fields or as a frame.
#include "user/base/reasons.h"
#include "user/control/commands.h"
#include "user/control/packet_text.h"
#include "user/control/text.h"
#include "user/control/trace_json.h"
#include "user/pipeline/action_text.h"

namespace shunt {
namespace {

constexpr std::size_t kMaxFrame = 65'550;  // 64 KiB behind an Ethernet header
constexpr std::size_t kMinFrame = 14;

// The frame's first bytes in hex, and where it came in.
TraceRequest frame_request(const Arguments& arguments, const PortNames& names) {
  TraceRequest request;
  if (!arguments.has("in_port")) throw RpcError(RpcCode::kInvalidParams, "parameter 'in_port' is missing");
  request.in_port = parse_port(arguments.text("in_port"), names, 1);
  try {
    request.frame = parse_hex(arguments.text("frame"));
  } catch (const Error& error) {
    throw RpcError(RpcCode::kInvalidParams, "parameter 'frame': {}", error.what());
  }
  if (request.frame.size() < kMinFrame || request.frame.size() > kMaxFrame)
    throw RpcError(RpcCode::kInvalidParams, "parameter 'frame': {} bytes: frames have {} to {}", request.frame.size(),
                   kMinFrame, kMaxFrame);
  request.length = static_cast<std::uint32_t>(arguments.integer("length").value_or(request.frame.size()));
  if (request.length < request.frame.size())
    throw RpcError(RpcCode::kInvalidParams, "parameter 'length': the frame itself has {} bytes", request.frame.size());
  return request;
}

Json trace(const CommandContext& context, const Arguments& arguments) {
  const std::string& bridge = arguments.text("bridge");
  const PortNames names = context.instance.port_names(bridge);
  if (arguments.has("flow") == arguments.has("frame"))
    throw RpcError(RpcCode::kInvalidParams, "give 'flow' (fields) or 'frame' (hex)");
  TraceRequest request;
  if (arguments.has("frame")) {
    request = frame_request(arguments, names);
  } else {
    const GivenPacket given = parse_packet(arguments.text("flow"), names);
    request.in_port = given.in_port;
    request.key = given.key;
  }
  const TraceAnswer answer = context.instance.trace(bridge, request);
  Json json = {{"bridge", bridge}};
  json.update(trace_json(answer.trace, names, port_places(context.instance)));
  json["where"] = answer.in_kernel ? "kernel" : "userspace";
  json["reason"] = nullptr;
  if (!answer.in_kernel) json["reason"] = name_of(answer.reason);
  return json;
}

}  // namespace

std::span<const Method> trace_methods() {
  static const std::vector<Method> methods = {
      {"trace",
       {{.name = "bridge", .type = ParamType::kInterface, .required = true},
        {.name = "flow", .type = ParamType::kText},
        {.name = "frame", .type = ParamType::kText},
        {.name = "in_port", .type = ParamType::kText},
        {.name = "length", .type = ParamType::kInteger, .min = kMinFrame, .max = 1 << 20}},
       trace},
  };
  return methods;
}

}  // namespace shunt

// SPDX-License-Identifier: Apache-2.0
// packet_in: what `controller` actions have sent since it was last asked.
#include <array>
#include <chrono>

#include "user/control/commands.h"
#include "user/control/text.h"
#include "user/flow/fields.h"
#include "user/pipeline/port_names.h"

namespace shunt {
namespace {

constexpr std::array<std::string_view, 6> kReasons{"no_match",   "action", "invalid_ttl",
                                                   "action_set", "group",  "packet_out"};  // by PacketInReason

std::string_view reason_name(PacketInReason reason) {
  const auto number = static_cast<std::size_t>(reason);
  return number < kReasons.size() ? kReasons[number] : "unknown";
}

// Metadata and registers that are not 0, by name.
Json fields_json(const PipelineFields& fields_then) {
  PipelineKey key{};
  static_cast<PipelineFields&>(key) = fields_then;
  Json json = Json::object();
  for (const Field& f : fields()) {
    const bool whole = f.id < FieldId::kXreg0 && is_pipeline_field(f) && f.format != FieldFormat::kPort;
    if (!whole) continue;
    const FieldBits value = read_field(f, key);
    if (value != 0) json[std::string{f.name}] = fmt::format("{:#x}", static_cast<std::uint64_t>(value));
  }
  return json;
}

Json packet_json(const PacketInRecord& record, TimePoint now, const PortNames& names) {
  const PacketInEvent& event = record.event;
  std::string port;
  append_port(port, event.what.in_port, names);
  Json json = {{"age_s", std::chrono::duration<double>(now - record.when).count()},
               {"reason", reason_name(event.what.action.reason)},
               {"table", event.what.table},
               {"cookie", nullptr},
               {"in_port", port},
               {"controller_id", event.what.action.controller_id},
               {"length", event.length},
               {"userdata", format_hex(event.what.action.userdata)},
               {"fields", fields_json(event.what.fields)},
               {"frame", format_hex(event.frame)}};
  if (event.what.rule != nullptr) json["cookie"] = fmt::format("{:#x}", event.what.rule->cookie);
  return json;
}

Json packet_ins(const CommandContext& context, const Arguments& arguments) {
  const std::string& bridge = arguments.text("bridge");
  const PortNames names = context.instance.port_names(bridge);
  const TimePoint now = Clock::now();
  Json packets = Json::array();
  for (const PacketInRecord& record : context.instance.packet_ins(bridge))
    packets.push_back(packet_json(record, now, names));
  return {{"packets", std::move(packets)}};
}

}  // namespace

std::span<const Method> packet_in_methods() {
  static const std::vector<Method> methods = {
      {"packet_in", {{.name = "bridge", .type = ParamType::kInterface, .required = true}}, packet_ins},
  };
  return methods;
}

}  // namespace shunt

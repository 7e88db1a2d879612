// SPDX-License-Identifier: Apache-2.0
// An instance's groups, meters, tables, traces and packet-ins.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "bpf/datapath/hash.h"
#include "bpf/datapath/parse.h"
#include "user/base/error.h"
#include "user/control/instance_impl.h"
#include "user/control/rule_features.h"
#include "user/pipeline/rule_check.h"

namespace shunt {
namespace {

// How the revalidator reaches ports: what decides where a flow can be served.
PortOutputs outputs_of(const std::map<DpPort, Port>& ports) {
  PortOutputs outputs{};
  for (const auto& [dp, port] : ports)
    if (port.attachment) outputs[dp.value] = port.attachment->output();
  return outputs;
}

// The key that userspace makes of such a packet: of everything that anybody could look at.
FlowKey parse_frame(std::span<const std::uint8_t> bytes, std::uint32_t length, DpPort in_port) {
  std::vector<std::uint8_t> copy{bytes.begin(), bytes.end()};
  shunt_frame frame{copy.data(), static_cast<__u32>(copy.size()), 0, 0};
  FlowKey key{};
  shunt_headers headers{};
  if (shunt_parse(&frame, length, in_port.value, SHUNT_FEATURE_ALL, &key, &headers) != SHUNT_DROP_NONE)
    throw Error("{} bytes: that is less than an Ethernet header", bytes.size());
  return key;
}

const BridgePort& port_of(const BridgeState& bridge, PortNo number) {
  const BridgePort* port = bridge.find(number);
  if (port == nullptr)
    throw Error("bridge '{}' has no port {}: see 'shunt port list {}'", bridge.name, number.value, bridge.name);
  return *port;
}

PortNames names_of(const BridgeState& bridge) {
  std::map<std::string, PortNo> names;
  for (const BridgePort& port : bridge.ports) names.emplace(port.name, port.number);
  return names;
}

}  // namespace

void Instance::group_mod(const std::string& bridge, std::span<const GroupMod> mods) {
  const BridgeId id = impl_->bridge(bridge).id;
  std::uint32_t wanted = 0;
  for (const GroupMod& mod : mods) wanted |= features_of(mod);
  impl_->make(wanted, "a group", [&] { return impl_->sw.apply_group(id, mods, Clock::now()); });
}

void Instance::modify(const std::string& bridge, std::span<const Modification> mods) {
  const BridgeId id = impl_->bridge(bridge).id;
  impl_->make(features_of(mods), "a bundle of rules and groups",
              [&] { return impl_->sw.apply(id, mods, Clock::now()); });
}

std::vector<GroupStatus> Instance::group_list(const std::string& bridge) {
  const BridgeId id = impl_->bridge(bridge).id;
  impl_->revalidator.collect_counters();
  impl_->sw.settle_counters();
  std::vector<GroupStatus> groups;
  const std::map<std::uint32_t, std::uint32_t> references = impl_->sw.group_references(id);
  for (const auto& [number, group] : *impl_->bridge(bridge).groups) groups.push_back({group, references.at(number)});
  return groups;
}

// A meter is in its slot of the map before the state that names it is published (Switch::on_meter).
void Instance::meter_mod(const std::string& bridge, std::span<const MeterMod> mods) {
  const BridgeId id = impl_->bridge(bridge).id;
  impl_->commit(impl_->sw.apply_meter(id, mods, Clock::now()));
}

std::vector<MeterStatus> Instance::meter_list(const std::string& bridge) {
  const BridgeState& state = impl_->bridge(bridge);
  std::vector<MeterStatus> meters;
  for (const auto& [number, meter] : *state.meters) {
    MeterStatus status{meter, read_meter(impl_->datapath.meters.span(), *meter)};
    status.stats.flow_count = impl_->sw.meter_references(state.id, number);
    meters.push_back(std::move(status));
  }
  return meters;
}

void Instance::set_table(const std::string& bridge, std::uint8_t table, const TableConfig& config) {
  impl_->commit(impl_->sw.set_table(impl_->bridge(bridge).id, table, config));
}

void Instance::set_misses_to_old(const std::string& bridge, bool on) {
  impl_->commit(impl_->sw.set_misses_to_old(impl_->bridge(bridge).id, on));
}

std::vector<TableStatus> Instance::table_list(const std::string& bridge) {
  impl_->revalidator.collect_counters();
  const BridgeState& state = impl_->bridge(bridge);
  std::vector<TableStatus> tables;
  for (std::uint8_t number = 0; number < kTableCount; ++number) {
    const auto config = state.table_configs->find(number);
    const std::size_t rules = state.tables[number] == nullptr ? 0 : state.tables[number]->size();
    const TableCounters& counters = (*state.table_counters)[number];
    if (rules == 0 && config == state.table_configs->end() && counters.lookups.packets() == 0) continue;
    TableStatus status;
    status.table = number;
    if (config != state.table_configs->end()) status.config = config->second;
    status.rules = rules;
    status.lookups = counters.lookups.packets();
    status.matches = counters.matches.packets();
    tables.push_back(std::move(status));
  }
  return tables;
}

void Instance::set_openflow(const std::string& bridge, const OpenFlowSettings& settings, bool adapts_rules) {
  const BridgeId id = impl_->bridge(bridge).id;
  if (impl_->listener.on_openflow) impl_->listener.on_openflow(bridge, settings, adapts_rules);
  impl_->openflow[id] = settings;
  if (impl_->recorder) impl_->recorder->set_openflow(id, settings);
}

OpenFlowSettings Instance::openflow(const std::string& bridge) const {
  const auto found = impl_->openflow.find(impl_->bridge(bridge).id);
  return found == impl_->openflow.end() ? OpenFlowSettings{} : found->second;
}

void Instance::set_flood_vlans(const std::string& bridge, const VlanSet& vlans) {
  impl_->commit(impl_->sw.set_flood_vlans(impl_->bridge(bridge).id, vlans));
}

VlanSet Instance::flood_vlans(const std::string& bridge) const { return impl_->bridge(bridge).flood_vlans; }

void Instance::packet_out(const std::string& bridge, PacketOutSpec&& packet) {
  const BridgeState& state = impl_->bridge(bridge);
  check_packet_out({*state.groups, *state.meters}, packet.actions);
  impl_->workers.send_out({state.id, packet.in_port, std::move(packet.actions), std::move(packet.frame),
                           std::move(packet.resumed), packet.fields});
  impl_->packets_sent = true;
}

std::vector<PacketInRecord> Instance::packet_ins(const std::string& bridge) {
  impl_->take_events();
  const auto found = impl_->packet_ins.find(impl_->bridge(bridge).id);
  if (found == impl_->packet_ins.end()) return {};
  std::vector<PacketInRecord> records{std::move_iterator{found->second.begin()},
                                      std::move_iterator{found->second.end()}};
  impl_->packet_ins.erase(found);
  return records;
}

std::uint32_t Instance::dp_hash(const FlowKey& key) const {
  const shunt_config& config = impl_->datapath.config();
  return shunt_dp_hash(&key, config.hash_seed, config.hash_multiplier);
}

TraceAnswer Instance::trace(const std::string& bridge, const TraceRequest& request) {
  const SwitchStateRef state = impl_->sw.state();
  const BridgeState& here = impl_->bridge(bridge);
  const DpPort dp = port_of(here, request.in_port).dp;
  const std::uint32_t length = request.length != 0 ? request.length : static_cast<std::uint32_t>(request.frame.size());
  FlowKey key = request.key ? *request.key : parse_frame(request.frame, length, dp);
  key.in_port = dp.value;
  key.dp_hash = dp_hash(key);
  const PacketView view{request.frame, length};
  TraceAnswer answer;
  answer.trace = trace_packet(*state, key, request.key ? nullptr : &view, names_of(here));
  const Encoded encoded = encode(answer.trace.translation, dp, outputs_of(impl_->ports));
  answer.in_kernel = encoded.in_kernel;
  answer.reason = encoded.reason;
  return answer;
}

std::optional<CacheWhy> Instance::cache_why(const std::string& bridge, const FlowKey& key) {
  const BridgeState& here = impl_->bridge(bridge);
  FlowKey packet = key;
  packet.in_port = port_of(here, PortNo{key.in_port}).dp.value;
  impl_->revalidator.collect_counters();
  std::optional<FlowSnapshot> flow = impl_->revalidator.find(packet);
  if (!flow) return std::nullopt;
  CacheWhy why;
  why.flow = std::move(*flow);
  why.bridge = bridge;
  why.trace = trace_packet(*impl_->sw.state(), packet, nullptr, names_of(here));
  return why;
}

void Instance::listen(InstanceListener listener) {
  impl_->listener = std::move(listener);
  if (impl_->listener.rules != nullptr) impl_->sw.observe_rules(impl_->listener.rules);
}

// Rules that packets asked for go in together: one change in force for all that waited.
void Instance::Impl::take_events() {
  std::vector<TranslationRef> learning;
  for (Event& event : events.drain()) {
    if (auto* packet = std::get_if<PacketInEvent>(&event)) {
      keep(std::move(*packet));
    } else if (auto* learn = std::get_if<LearnEvent>(&event)) {
      learning.push_back(std::move(learn->translation));
    } else if (const auto* mac = std::get_if<MacEvent>(&event)) {
      watchers.mac_changed(*mac);
    } else if (listener.on_sample) {
      listener.on_sample(std::get<SampleEvent>(event));
    }
  }
  if (const std::uint64_t lost = events.macs_lost(); lost != macs_missed)
    watchers.macs_missed(lost - std::exchange(macs_missed, lost));
  learn_rules(once_each(std::move(learning)));
}

void Instance::Impl::keep(PacketInEvent&& event) {
  if (listener.on_packet_in) listener.on_packet_in(event);
  constexpr std::uint16_t kWhole = 0xffff;  // OFPCML_NO_BUFFER
  if (event.what.action.max_len != kWhole && event.frame.size() > event.what.action.max_len)
    event.frame.resize(event.what.action.max_len);
  std::deque<PacketInRecord>& waiting = packet_ins[event.bridge];
  if (waiting.size() == kPacketInsKept) {
    waiting.pop_front();
    ++packet_ins_lost;
  }
  waiting.push_back({std::move(event), Clock::now()});
}

void Instance::Impl::learn_rules(std::span<const TranslationRef> translations) {
  if (translations.empty()) return;
  const TimePoint now = Clock::now();
  std::uint32_t wanted = 0;
  for (const TranslationRef& translation : translations)
    for (const Translation::LearnedRule& learned : translation->follow_ups->learned) wanted |= features_of(learned.mod);
  datapath.request_features(wanted, "a learned rule");
  Change all;
  for (const TranslationRef& translation : translations) {
    if (!translation->bridge) continue;
    for (const Translation::LearnedRule& learned : translation->follow_ups->learned) {
      try {
        merge(all, sw.learn(*translation->bridge, learned.mod, learned.limit, learned.by, learned.delete_learned, now));
      } catch (const Error& error) {  // the table is full, say: the packet was forwarded all the same
        spdlog::debug("a learned rule was refused: {}", error.what());
      }
    }
  }
  commit(all);
}

void Instance::Impl::expire_rules() {
  revalidator.collect_counters();
  commit(sw.expire(Clock::now()));
}

}  // namespace shunt

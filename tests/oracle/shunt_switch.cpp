// SPDX-License-Identifier: Apache-2.0
#include "tests/oracle/shunt_switch.h"

#include <algorithm>
#include <cstring>

#include "user/flow/key_text.h"
#include "user/pipeline/action_text.h"
#include "user/pipeline/group_text.h"
#include "user/pipeline/rule_text.h"
#include "user/worker/credit.h"

namespace shunt::test {
namespace {

constexpr TimePoint kNow{std::chrono::hours{1}};
constexpr std::uint32_t kLocalDp = 100;

PortNo port_of(DpPort port) { return port.value == kLocalDp ? kPortLocal : PortNo{port.value}; }

bool same_actions(const Translation& a, const Translation& b) {
  return a.drop == b.drop && a.needs_packet == b.needs_packet && a.actions.size() == b.actions.size() &&
         (a.actions.empty() ||
          std::memcmp(a.actions.data(), b.actions.data(), a.actions.size() * sizeof(shunt_action)) == 0);
}

std::string hex(const __u8* at, std::size_t size) {
  std::string text;
  for (std::size_t i = 0; i < size; ++i) text += fmt::format("{:02x}", at[i]);
  return text;
}

std::string describe(const DpActions& actions) {
  std::string text;
  for (const shunt_action& action : actions) {
    if (action.type == SHUNT_ACT_OUTPUT)
      text += fmt::format(" output:{}", action.arg);
    else
      text += fmt::format(" type{}(field={},arg={},{}/{})", action.type, action.field, action.arg, hex(action.value, 6),
                          hex(action.mask, 6));
  }
  return text.empty() ? " drop" : text;
}

std::string describe(const Translation& translation) {
  const KeyWords mask = to_words(translation.mask);
  std::string text = fmt::format("actions:{}{} mask:", describe(translation.actions),
                                 translation.actions.empty() ? fmt::format(" reason {}", translation.drop + 0) : "");
  for (std::size_t i = 0; i < mask.size(); ++i)
    if (mask[i] != 0) text += fmt::format(" w{}={}", i, hex(reinterpret_cast<const __u8*>(&mask[i]), 8));
  if (translation.needs_packet) text += " needs the packet";
  return text;
}

bool is_present(const shunt_vlan& tag) { return (tag.tci.host() & SHUNT_VLAN_PRESENT) != 0; }
bool is_empty(const shunt_vlan& tag) { return tag.tci.host() == SHUNT_VLAN_PRESENT; }

bool has_three_labels(const PipelineKey& key) {
  constexpr std::uint32_t kBottom = 0x100;
  const std::uint16_t type = key.eth_type.host();
  return (type == 0x8847 || type == 0x8848) &&
         std::none_of(key.mpls_lse, key.mpls_lse + 2, [](be32 label) { return (label.host() & kBottom) != 0; });
}

}  // namespace

DpPort dp_port(PortNo port) { return DpPort{port == kPortLocal ? kLocalDp : port.value}; }

// Sees each action before it runs.
class ShuntSwitch::Watcher final : public TranslationObserver {
 public:
  explicit Watcher(const Layout& layout) : layout_{layout} {}
  Met met;

  void entered_table(std::uint8_t, const PipelineKey&, const Rule*, unsigned) override {}
  void entered_group(const Group& group, const Bucket*, unsigned) override {
    if (group.type == GroupType::kSelect) begins_anew();
  }
  void note(std::string text, unsigned) override {
    if (text.starts_with("the TTL has run out"))
      met.expired = false;  // seen by the translation: a list ends, and no more
  }
  void before_action(const Action& action, const PipelineKey& key, unsigned) override {
    std::visit([&](const auto& concrete) { before(concrete, key); }, static_cast<const Action::variant&>(action));
  }

 private:
  const Layout& layout_;
  bool set_holds_ = false;

  void begins_anew() { met.learns_then_begins_anew = met.learns_then_begins_anew || met.learn_actions > 0; }

  template <typename Other>
  void before(const Other&, const PipelineKey&) {}
  void before(const PushVlanAction&, const PipelineKey& key) { met.third_tags += is_present(key.vlan[1]) ? 1 : 0; }
  void before(const PushMplsAction&, const PipelineKey& key) {
    met.push_mpls = true;
    met.fourth_label = met.fourth_label || has_three_labels(key);
  }
  void before(const PopMplsAction&, const PipelineKey&) {
    met.pop_mpls = true;
    begins_anew();
  }
  void before(const DecMplsTtlAction&, const PipelineKey&) { met.dec_mpls_ttl = true; }
  void before(const DecTtlAction&, const PipelineKey& key) {
    met.dec_ttl = true;
    const bool is_ip = key.eth_type.host() == 0x0800 || key.eth_type.host() == 0x86dd;
    met.expired = met.expired || (is_ip && key.nw_ttl <= 1);
  }
  void before(const LearnAction&, const PipelineKey&) { met.learn_actions += met.expired ? 0 : 1; }
  void before(const FinTimeoutAction&, const PipelineKey& key) {
    constexpr std::uint16_t kFinOrRst = 0x005;
    met.fin_timeouts += !met.expired && (key.tcp_flags.host() & kFinOrRst) != 0 ? 1 : 0;
    constexpr std::uint8_t kIcmpv6 = 58;
    constexpr std::uint16_t kSolicitation = 135, kAdvertisement = 136;
    met.fin_timeout_of_nd =
        met.fin_timeout_of_nd ||
        (key.nw_proto == kIcmpv6 && (key.tp_src.host() == kSolicitation || key.tp_src.host() == kAdvertisement));
  }
  void before(const WriteActionsAction&, const PipelineKey&) { set_holds_ = true; }
  void before(const ExitAction&, const PipelineKey&) { met.exit_before_set = met.exit_before_set || set_holds_; }
  void before(const OutputAction& output, const PipelineKey& key) {
    if (output.port == kPortNormal) return before_normal(key);
    if (output.max_len == 0) return;
    met.max_len = true;
    met.max_len_unsent = met.max_len_unsent || output.port.value == key.in_port || !takes(output.port, key);
  }
  void before_normal(const PipelineKey& key) {
    met.normal = true;
    met.normals += met.expired ? 0 : 1;
    const PortSetting* ingress = find(PortNo{key.in_port});
    const bool tunnel = ingress != nullptr && ingress->vlan.mode == VlanMode::kDot1qTunnel;
    met.normal_two_tags = met.normal_two_tags || is_present(key.vlan[tunnel ? 0 : 1]);
    met.normal_empty_tag = met.normal_empty_tag || is_empty(key.vlan[0]) || is_empty(key.vlan[1]);
    met.third_tags += tunnel && is_present(key.vlan[1]) ? 1 : 0;
  }
  [[nodiscard]] const PortSetting* find(PortNo number) const {
    for (const PortSetting& port : layout_.ports)
      if (port.number == number) return &port;
    return nullptr;
  }
  [[nodiscard]] bool takes(PortNo number, const PipelineKey& key) const {
    const PortSetting* port = find(number);
    const PortSetting* ingress = find(PortNo{key.in_port});
    return port == nullptr || (port->up && !(port->is_protected && ingress != nullptr && ingress->is_protected));
  }
};

// Takes what is sent, and gives the frames back at once.
struct ShuntSwitch::Sink final : FrameSink {
  Sink(Umem& memory, FrameCache& cache) : umem{memory}, frames{cache} {}
  shunt_drop_reason send(DpPort port, std::span<const XskDescriptor> packet) noexcept override {
    Bytes bytes;
    for (const XskDescriptor& part : packet) {
      const std::byte* at = umem.data(part.address);
      bytes.insert(bytes.end(), at, at + part.length);
      umem.hand(Umem::frame_of(part.address), Hand::kPool);
      frames.give(Umem::frame_of(part.address));
    }
    outputs[port_of(port)].push_back(std::move(bytes));
    return SHUNT_DROP_NONE;
  }
  Umem& umem;
  FrameCache& frames;
  Outputs outputs;
};

ShuntSwitch::ShuntSwitch(std::uint32_t port_count)
    : bridge_{switch_.add_bridge("br0")},
      port_count_{port_count},
      ports_(SHUNT_MAX_PORTS),
      frames_{umem_.pool()},
      executor_{umem_, frames_, ports_} {
  for (shunt_port& port : ports_) port.mtu = 9000;
  for (std::uint32_t i = 0; i <= port_count; ++i) {
    BridgePort port;
    port.number = i == 0 ? kPortLocal : PortNo{i};
    port.dp = dp_port(port.number);
    port.name = OpenVswitch::port_name(port.number);
    switch_.add_port(bridge_, port);
  }
}

void ShuntSwitch::configure(const Layout& layout) {
  layout_ = layout;
  for (const PortSetting& setting : layout.ports) {
    BridgePort port;
    port.number = setting.number;
    port.dp = dp_port(port.number);
    port.name = OpenVswitch::port_name(port.number);
    port.vlan = setting.vlan;
    port.up = setting.up;
    port.flood = setting.flood;
    port.protected_port = setting.is_protected;
    switch_.update_port(bridge_, port);
  }
  VlanSet flood_vlans;
  for (const std::uint16_t vlan : layout.flood_vlans) flood_vlans.set(vlan);
  switch_.set_flood_vlans(bridge_, flood_vlans);
}

void ShuntSwitch::load(const std::vector<std::string>& groups, const std::vector<std::string>& rules) {
  cache_.clear();
  FlowMod all;
  all.command = FlowMod::Command::kDelete;
  switch_.apply(bridge_, std::span{&all, 1}, kNow);
  switch_.apply_group(bridge_, parse_group("group_id=all", GroupMod::Command::kDelete, {}), kNow);
  switch_.find_bridge("br0")->fdb->flush(std::nullopt);
  for (const std::string& group : groups)
    switch_.apply_group(bridge_, parse_group(group, GroupMod::Command::kAdd, {}), kNow);
  std::vector<FlowMod> mods;
  for (const std::string& rule : rules) mods.push_back(parse_flow(rule, FlowMod::Command::kAdd, {}));
  switch_.apply(bridge_, mods, kNow);
  switch_.collect(switch_.version());
}

// False: the parser drops it. The executor holds it then.
bool ShuntSwitch::load_frame(DpPort in_port, const Bytes& frame) {
  Frame held = 0;
  if (!frames_.take(held)) throw Error("the executor loses frames");
  umem_.hand(held, Hand::kBatch);
  const std::uint64_t address = Umem::address_of(held) + 256;
  std::memcpy(umem_.data(address), frame.data(), frame.size());
  const XskDescriptor descriptor{address, static_cast<std::uint32_t>(frame.size()), 0};
  return executor_.load(std::span{&descriptor, 1}, in_port) == SHUNT_DROP_NONE;
}

Outputs ShuntSwitch::run(const Translation& translation) {
  Sink sink{umem_, frames_};
  (void)executor_.run(translation, sink);
  return std::move(sink.outputs);
}

ShuntSwitch::Result ShuntSwitch::send(PortNo in_port, const Bytes& frame) {
  Result result;
  if (!load_frame(dp_port(in_port), frame)) {
    result.explanation = "the parser drops it";
    return result;
  }
  const FlowKey key = executor_.key();
  const Translation fresh = translate_frame(key, frame, result.met);
  result.outputs = run(fresh);
  result.explanation = fmt::format("translated\n    {}", describe(fresh));
  // Any of the cached flows that cover the key would serve it: whichever does, it must make the same of the frame.
  for (const CachedFlow& flow : cache_) {
    if (!equal(key & flow.translation.mask, flow.masked)) continue;
    result.cached = true;
    result.explanation += fmt::format("\n    cached flow\n    {}", describe(flow.translation));
    if (same_actions(flow.translation, fresh)) continue;
    (void)load_frame(dp_port(in_port), frame);
    if (run(flow.translation) != result.outputs) result.fault = "a cached flow covers too much";
  }
  if (!result.cached && !fresh.needs_packet) cache_.push_back({key & fresh.mask, fresh});
  follow_up(fresh, result.met);
  return result;
}

ShuntSwitch::Result ShuntSwitch::packet_out(const Bytes& frame, const std::string& actions) {
  Result result;
  if (!load_frame(DpPort{0}, frame)) {
    result.explanation = "the parser drops it";
    return result;
  }
  const PacketView view{executor_.frame(), executor_.length()};
  Watcher watcher{layout_};
  const ActionList list = parse_actions(actions, Match{}, {});
  const Translation translation =
      translate_actions(*switch_.state(), bridge_, executor_.key(), kPortController, list, &view, &watcher);
  result.met = watcher.met;
  result.outputs = run(translation);
  result.explanation = fmt::format("packet-out {}\n    {}", actions, describe(translation));
  follow_up(translation, result.met);
  return result;
}

std::vector<FlowMod> ShuntSwitch::rules() const {
  std::vector<FlowMod> mods;
  for (const RuleRef& rule : switch_.list(bridge_, FlowMod{})) mods.push_back(flow_mod_of(*rule));
  return mods;
}

Translation ShuntSwitch::translate_frame(const FlowKey& key, const Bytes& frame, Met& met) const {
  const PacketView view{{reinterpret_cast<const std::uint8_t*>(frame.data()), frame.size()},
                        static_cast<std::uint32_t>(frame.size())};
  const SwitchStateRef state = switch_.state();
  Translation translation = translate(*state, key);
  Watcher watcher{layout_};
  const Translation watched = translate(*state, key, translation.needs_packet ? &view : nullptr, &watcher);
  met = watcher.met;
  met.gave_up = watched.drop == SHUNT_DROP_TRANSLATION || watched.drop == SHUNT_DROP_RESUBMIT_LIMIT;
  return watched;
}

// What the revalidator and control do with a packet's translation: MACs and rules are learned, and flows that a change
// touches go.
void ShuntSwitch::follow_up(const Translation& translation, const Met& met) {
  const auto first = [&](const auto& all, std::size_t count) {
    return std::span{all.data(), all.size()}.first(met.expired ? std::min(all.size(), count) : all.size());
  };
  for (const Translation::Learn& learn : first(translation.learns, met.normals)) {
    const auto outcome = switch_.find_bridge("br0")->fdb->learn(learn.key, learn.port, kNow).outcome;
    if (outcome == Fdb::Learned::kAdded || outcome == Fdb::Learned::kMoved)
      std::erase_if(cache_, [&](const CachedFlow& flow) {
        return std::any_of(flow.translation.fdb_dependencies.begin(), flow.translation.fdb_dependencies.end(),
                           [&](const FdbDependency& each) { return each.key == learn.key; });
      });
  }
  for (const Translation::FinTimeout& fin : first(translation.follow_ups->fin_timeouts, met.fin_timeouts)) {
    lower_timeout(fin.rule->idle_timeout, fin.idle_timeout);
    lower_timeout(fin.rule->hard_timeout, fin.hard_timeout);
  }
  for (const Translation::LearnedRule& learned : first(translation.follow_ups->learned, met.learn_actions)) {
    const Change change = switch_.learn(bridge_, learned.mod, learned.limit, learned.by, learned.delete_learned, kNow);
    if (change.empty()) continue;
    std::erase_if(cache_, [&](const CachedFlow& flow) {
      const Dependencies& on = flow.translation.dependencies;
      if (change.all || (change.tags & on.tags) != 0) return true;
      return std::any_of(change.rules.begin(), change.rules.end(), [&](const Change::Rules& rules) {
        if (!on.tables.test(rules.table)) return false;
        Match seen;
        flow_part(seen.mask) = without(flow.translation.mask, *on.rewritten);
        flow_part(seen.value) = flow.masked & flow_part(seen.mask);
        Match changed = rules.match;
        static_cast<PipelineFields&>(changed.mask) = PipelineFields{};
        return seen.overlaps(changed);
      });
    });
  }
}

}  // namespace shunt::test

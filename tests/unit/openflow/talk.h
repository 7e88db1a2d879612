// SPDX-License-Identifier: Apache-2.0
// A controller that talks to a session of bridge br0, on a switch without a kernel.
#pragma once

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "tests/unit/control/fake_instance.h"
#include "user/openflow/session.h"
#include "user/pipeline/rule_walk.h"

namespace shunt::openflow::test {

template <typename Instance>
struct TalkTo {
  Instance instance;
  std::unique_ptr<BridgeAgent> agent;
  std::unique_ptr<Session> session;

  explicit TalkTo(std::optional<Version> version = Version::k13, Session::Kind kind = Session::Kind::kController) {
    instance.add_bridge("br0");
    agent = std::make_unique<BridgeAgent>(instance, BridgeId{1}, "br0");
    session = std::make_unique<Session>(*agent, kind);
    if (version) {
      send(number_of(*version), kHelloType, {});
      replies();
    }
  }

  void send(std::uint8_t version, std::uint8_t type, std::vector<std::uint8_t> body, std::uint32_t xid = 9) {
    Writer out;
    {
      const MessageScope message{out, version, type, xid};
      out.put(body);
    }
    session->feed(out.bytes());
  }
  void send(const Writer& out) { session->feed(out.bytes()); }

  struct Reply {
    Header header;
    std::vector<std::uint8_t> body;
  };
  std::vector<Reply> replies() {
    while (session->process()) {
    }
    return taken();
  }
  // What was written so far.
  std::vector<Reply> taken() {
    const std::vector<std::uint8_t> bytes = session->take_output();
    std::vector<Reply> found;
    for (Bytes left{bytes}; !left.empty();) {
      const Header header = read_header(left);
      found.push_back({header, {left.begin() + 8, left.begin() + header.length}});
      left = left.subspan(header.length);
    }
    return found;
  }
  static std::pair<unsigned, unsigned> error(const Reply& reply) {
    Reader in{reply.body};
    const unsigned type = in.u16();
    return {type, in.u16()};
  }
};
using Talk = TalkTo<shunt::test::FakeInstance>;

// Rules and tables are a real Switch's, and those who follow rules hear of them.
class SwitchInstance : public shunt::test::FakeInstance, private RuleObserver {
 public:
  SwitchInstance() { rules.observe_rules(this); }

  Switch rules;
  BridgeAgent* follower = nullptr;

  void add_bridge(const std::string& name) override {
    FakeInstance::add_bridge(name);
    (void)rules.add_bridge(name);
  }
  void flow_mod(const std::string& bridge, std::span<const FlowMod> mods) override {
    (void)rules.apply(id(bridge), mods, Clock::now());
  }
  void modify(const std::string& bridge, std::span<const Modification> mods) override {
    (void)rules.apply(id(bridge), mods, Clock::now());
  }
  void group_mod(const std::string& bridge, std::span<const GroupMod> mods) override {
    (void)rules.apply_group(id(bridge), mods, Clock::now());
  }
  std::vector<GroupStatus> group_list(const std::string& bridge) override {
    std::vector<GroupStatus> statuses;
    for (const auto& [number, group] : *rules.find_bridge(bridge)->groups) statuses.push_back({group, 0});
    return statuses;
  }
  std::vector<RuleRef> flow_list(const std::string& bridge, const FlowMod& filter) override {
    return rules.list(id(bridge), filter);
  }
  RuleSource flow_walk(const std::string& bridge, const FlowMod& filter) override {
    return [walk = std::make_shared<RuleWalk>(rules, id(bridge), filter)](std::vector<RuleRef>& found) {
      return walk->next(found);
    };
  }
  void set_table(const std::string& bridge, std::uint8_t table, const TableConfig& config) override {
    (void)rules.set_table(id(bridge), table, config);
  }
  std::vector<TableStatus> table_list(const std::string& bridge) override {
    std::vector<TableStatus> statuses;
    const BridgeState& state = *rules.find_bridge(bridge);
    for (std::uint8_t table = 0; table < kTableCount; ++table) {
      TableStatus& status = statuses.emplace_back();
      status.table = table;
      if (const auto config = state.table_configs->find(table); config != state.table_configs->end())
        status.config = config->second;
      if (state.tables[table] != nullptr) status.rules = state.tables[table]->size();
    }
    return statuses;
  }

 private:
  BridgeId id(const std::string& bridge) const { return rules.find_bridge(bridge)->id; }
  void rule_added(BridgeId, const RuleRef& rule) override {
    if (follower != nullptr) follower->rule_added(rule);
  }
  void rule_removed(BridgeId, const Rule& rule, std::optional<RemovedReason> reason) override {
    if (follower != nullptr) follower->rule_removed(rule, reason);
  }
  void rule_touched(BridgeId, const RuleRef&) override {}
};

}  // namespace shunt::openflow::test

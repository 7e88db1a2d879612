// SPDX-License-Identifier: Apache-2.0
// A rule edit: changes to the rules of one bridge at one version, which take place together or not at all.
//
// Until commit() readers see nothing of it; an edit that is destroyed without commit() leaves the tables as they were.
// Thread: control.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "user/base/clock.h"
#include "user/pipeline/rule.h"
#include "user/pipeline/switch.h"

namespace shunt {

class RuleEdit {
 public:
  // Replaced by `modify`: counters pass from the one to the other.
  struct Modified {
    RuleRef old_rule, new_rule;
    std::uint64_t packets, bytes;  // that the new rule started with
  };

  RuleEdit(const BridgeState& bridge, std::uint64_t version, TimePoint now);
  ~RuleEdit();
  RuleEdit(const RuleEdit&) = delete;
  RuleEdit& operator=(const RuleEdit&) = delete;

  void apply(const FlowMod& mod);                // throws Error
  void replace(std::span<const FlowMod> rules);  // throws Error

  [[nodiscard]] bool changed() const { return changed_; }
  // Lets readers of the version see the changes. Returns the bridge with its tables, new ones too.
  BridgeState commit();
  [[nodiscard]] Change change() const;
  [[nodiscard]] const std::vector<Modified>& modified() const { return modified_; }

 private:
  BridgeState bridge_;
  std::uint64_t version_;
  TimePoint now_;
  bool committed_ = false;
  bool changed_ = false;
  Change change_;
  std::vector<Modified> modified_;

  void add(const FlowMod& mod, std::uint8_t table);
  void modify(const FlowMod& mod, std::uint8_t table, const RuleRef& rule);
  void insert(RuleRef rule);
  void remove(const Rule& rule);
  void affects(const Match& match);
  Classifier& table(std::uint8_t number);
};

// The rules of a bridge at a version that a request selects: its match, cookie and out_port, as OpenFlow's non-strict
// commands do; with `strict`, the one rule of its match and priority, if cookie and out_port select it.
std::vector<RuleRef> select_rules(const BridgeState& bridge, const FlowMod& filter, bool strict, std::uint64_t version);

}  // namespace shunt

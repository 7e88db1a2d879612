// SPDX-License-Identifier: Apache-2.0
// A meter edit: changes to a bridge's meters, as part of an edit of the bridge (rule_edit.h); and the slots that meters
// have in the datapath.
//
// A meter that is modified moves to a fresh slot, which is written before anybody can meet it, so that no packet meets
// half a configuration. Its old slot is used again when no program can run over it any more. Thread: control.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "user/pipeline/meter.h"
#include "user/pipeline/rule_edit.h"

namespace shunt {

class MeterSlots {
 public:
  MeterSlots();
  [[nodiscard]] std::uint16_t take();                         // throws OfError: none is left
  void give_back(std::uint16_t slot) { free_.insert(slot); }  // nobody has seen it
  void retire(std::uint16_t slot, std::uint64_t version) {
    retired_.emplace_back(version, slot);
  }                                     // out of use from there
  void collect(std::uint64_t version);  // nobody uses what was retired by `version` any more
  [[nodiscard]] std::size_t free_count() const { return free_.size(); }

 private:
  std::set<std::uint16_t> free_;  // the lowest first, so that what a program touches stays together
  std::vector<std::pair<std::uint64_t, std::uint16_t>> retired_;
};

class MeterEdit {
 public:
  MeterEdit(RuleEdit& edit, MeterSlots& slots);
  ~MeterEdit();  // without commit(): its slots go back
  MeterEdit(const MeterEdit&) = delete;
  MeterEdit& operator=(const MeterEdit&) = delete;

  void apply(const MeterMod& mod);
  // Puts the meters into the edit's bridge and removes the rules whose meters are gone.
  void finish();
  // Meters with a slot to be written before the state is published.
  [[nodiscard]] const std::vector<MeterRef>& fresh() const { return fresh_; }
  void commit();  // the state is published

 private:
  RuleEdit& edit_;
  MeterSlots& slots_;
  std::shared_ptr<std::map<std::uint32_t, MeterRef>> meters_;
  std::vector<MeterRef> fresh_;
  std::vector<std::uint16_t> retired_;
  std::set<std::uint32_t> deleted_;
  bool committed_ = false;

  void put(const MeterConfig& config, TimePoint created);
  void take_out(std::map<std::uint32_t, MeterRef>::iterator meter);
  void apply_unlined(const MeterMod& mod);
};

}  // namespace shunt

// SPDX-License-Identifier: Apache-2.0
// What a rule's text says besides match and actions: priority, table, cookie, timeouts, flags; and the statistics of a
// listing, which are taken back without effect. The part of rule_text.h before the match. Threads: any.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "user/pipeline/port_names.h"
#include "user/pipeline/rule.h"
#include "user/pipeline/rule_text_match.h"

namespace shunt {

class RuleSettings {
 public:
  // Writes to `mod`, whose command says what may be set.
  RuleSettings(FlowMod& mod, const PortNames& names) : mod_{mod}, names_{names} {}

  // False where the token is no setting. Throws TextError.
  bool take(const MatchToken& token);

  struct Setting {
    std::string_view key;
    void (RuleSettings::*set)(const MatchToken&);
    bool has_value;
  };
  static std::span<const Setting> all();

 private:
  void set_priority(const MatchToken& token);
  void set_table(const MatchToken& token);
  void set_cookie(const MatchToken& token);
  void set_out_port(const MatchToken& token);
  void set_out_group(const MatchToken& token);
  void set_timeout(const MatchToken& token);
  void set_importance(const MatchToken& token);
  void set_flag(const MatchToken& token);
  void only_new(const MatchToken& token) const;
  void only_selecting(const MatchToken& token) const;

  FlowMod& mod_;
  const PortNames& names_;
  std::uint32_t given_ = 0;        // settings, by bit
  bool has_plain_cookie_ = false;  // "cookie=V"
};

// "send_flow_rem check_overlap ", with a blank behind each, as ovs-ofctl shows them.
void append_flow_flags(std::string& out, std::uint16_t flags);

}  // namespace shunt

// SPDX-License-Identifier: Apache-2.0
// Actions as text: those of rules in ovs-actions(7)'s syntax, both ways; those of cached flows as ovs-dpctl shows them.
// Threads: any.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "maps/actions.h"
#include "user/base/strong_types.h"
#include "user/pipeline/action.h"
#include "user/pipeline/port_names.h"

namespace shunt {

// Looks for an action while its text is read: by its place in each list around it, the outermost first.
struct WantedAction {
  std::span<const std::size_t> path;
  std::size_t column = 0;  // where it begins; 0: it was not found
};

// The text behind "actions=". Throws TextError; `column` is where `text` begins in what the user gave. `match` is the
// rule's: set_field, load and move are refused unless each packet of it, edited by the actions before, has the field.
// "drop" and an empty text are the same list, of one DropAction.
ActionList parse_actions(std::string_view text, const Match& match, const PortNames& names, std::size_t column = 1);
// The same for a rule of `table`: goto_table goes to later ones. Fields' prerequisites may be left to who made the
// text.
ActionList parse_rule_actions(std::string_view text, const Match& match, std::uint8_t table, const PortNames& names,
                              std::size_t column = 1, WantedAction* wanted = nullptr, bool checks_prerequisites = true);
// An action set, as of a group's bucket: which packets it will meet is not known, so fields need no prerequisites.
// Empty where the text is, or says drop.
ActionList parse_action_set(std::string_view text, const PortNames& names, std::size_t column = 1,
                            WantedAction* wanted = nullptr);

// "push_vlan:0x8100,set_field:4106->vlan_vid,output:2"; "drop" where the list is empty.
std::string format_actions(std::span<const Action> actions, const PortNames& names = {});

// "set(ipv4(ttl=63)),push_vlan(vid=10,pcp=0),2". `name_of` says what to show for a datapath port (its number where it
// is empty).
std::string format_dp_actions(std::span<const shunt_action> actions,
                              const std::function<std::string(DpPort)>& name_of = {});

}  // namespace shunt

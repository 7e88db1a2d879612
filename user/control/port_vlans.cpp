// SPDX-License-Identifier: Apache-2.0
#include "user/control/port_vlans.h"

#include <array>

#include "user/base/error.h"

namespace shunt {
namespace {

constexpr std::array<std::string_view, 5> kModes{"trunk", "access", "native-tagged", "native-untagged", "dot1q-tunnel"};
constexpr std::array<std::string_view, 3> kPriorityTags{"no", "if-nonzero", "always"};

template <typename Enum, std::size_t kSize>
std::optional<Enum> find_word(const std::array<std::string_view, kSize>& words, std::string_view word) {
  for (std::size_t i = 0; i < kSize; ++i)
    if (words[i] == word) return static_cast<Enum>(i);
  return std::nullopt;
}

bool is_native(VlanMode mode) { return mode == VlanMode::kNativeTagged || mode == VlanMode::kNativeUntagged; }
bool has_trunks(VlanMode mode) { return mode == VlanMode::kTrunk || is_native(mode); }

VlanMode mode_after(VlanMode mode, const VlanChange& change) {
  if (change.mode) return *change.mode;
  const bool trunks = change.trunks || change.all_trunks;
  if (change.tag && trunks && !is_native(mode))
    throw Error(
        "'tag' makes an access port and 'trunks' a trunk: give one of them, or a vlan mode that has both "
        "(native-tagged, native-untagged)");
  if (change.tag && mode == VlanMode::kTrunk) return VlanMode::kAccess;
  if (trunks && !has_trunks(mode)) return VlanMode::kTrunk;
  return mode;
}

}  // namespace

VlanConfig change_vlans(VlanConfig vlan, const VlanChange& change) {
  const VlanMode mode = mode_after(vlan.mode, change);
  const std::string_view name = name_of(mode);
  if (change.trunks && change.all_trunks) throw Error("give 'trunks' or 'all_vlans', not both");
  if (mode == VlanMode::kTrunk && change.tag)
    throw Error("a trunk has no 'tag': see native-tagged and native-untagged");
  if (!has_trunks(mode) && (change.trunks || change.all_trunks))
    throw Error("vlan mode {} has no 'trunks': it carries one VLAN", name);
  if (mode != VlanMode::kDot1qTunnel && (change.cvlans || change.qinq_ethtype))
    throw Error("'cvlans' and 'qinq_ethtype' are for vlan mode dot1q-tunnel, and this is {}", name);

  vlan.mode = mode;
  if (change.tag) vlan.tag = change.tag;
  if (change.trunks) vlan.trunks = change.trunks;
  if (change.cvlans) vlan.cvlans = change.cvlans;
  if (change.qinq_ethtype) vlan.qinq_ethtype = *change.qinq_ethtype;
  if (change.priority_tags) vlan.priority_tags = *change.priority_tags;

  const VlanConfig defaults;
  if (mode == VlanMode::kTrunk) vlan.tag.reset();
  if (!has_trunks(mode) || change.all_trunks) vlan.trunks.reset();
  if (mode != VlanMode::kDot1qTunnel) {
    vlan.cvlans.reset();
    vlan.qinq_ethtype = defaults.qinq_ethtype;
  }
  if (mode != VlanMode::kTrunk && !vlan.tag) throw Error("vlan mode {} needs a 'tag'", name);
  return vlan;
}

std::optional<VlanMode> vlan_mode_from(std::string_view word) { return find_word<VlanMode>(kModes, word); }
std::string_view name_of(VlanMode mode) { return kModes[static_cast<std::size_t>(mode)]; }
std::optional<PriorityTags> priority_tags_from(std::string_view word) {
  return find_word<PriorityTags>(kPriorityTags, word);
}
std::string_view name_of(PriorityTags tags) { return kPriorityTags[static_cast<std::size_t>(tags)]; }

}  // namespace shunt

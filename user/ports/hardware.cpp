// SPDX-License-Identifier: Apache-2.0
#include "user/ports/hardware.h"

#include <array>
#include <string_view>
#include <system_error>

#include "user/base/error.h"
#include "user/net/ethtool.h"

namespace shunt {
namespace {

struct Unwanted {
  std::string_view feature;
  std::string_view consequence;
};

constexpr std::array kUnwanted{
    Unwanted{"rx-lro", "frames merged by it are not forwarded"},
    Unwanted{"rx-gro-hw", "frames merged by it are not forwarded"},
    Unwanted{"rx-vlan-hw-parse", "VLAN tags of received frames are lost"},
    Unwanted{"rx-vlan-stag-hw-parse", "VLAN tags of received frames are lost"},
};

void turn_off(const Link& link, const Unwanted& unwanted, Changes& changes, std::vector<std::string>& warnings) {
  const std::string name{unwanted.feature};
  Ethtool ethtool;
  const auto features = ethtool.features(link.name);
  const auto found = features.find(name);
  if (found == features.end()) return;
  const Feature before = found->second;
  if (!before.active && !before.requested) return;
  try {
    if (before.available) ethtool.set_feature(link.name, name, false);
  } catch (const std::system_error&) {
    // It stays active, which is what is told below.
  }
  const Feature now = ethtool.features(link.name).find(name)->second;
  if (now.active) {
    warnings.push_back(fmt::format("{} cannot be turned off: {}", feature_label(name), unwanted.consequence));
  }
  if (before.requested && !now.requested) {
    changes.record(name, fmt::format("{} off", feature_label(name)), link.index, SetFeature{name, true});
  }
}

}  // namespace

std::vector<std::string> cure_hardware(const Link& link, Changes& changes) {
  std::vector<std::string> warnings;
  for (const Unwanted& unwanted : kUnwanted) turn_off(link, unwanted, changes, warnings);
  if (!link.promiscuous) {
    Netlink{}.set_promiscuous(link.index, true);
    changes.record("promiscuous", "promiscuous mode on", link.index, LeavePromiscuous{});
  }
  return warnings;
}

}  // namespace shunt

// SPDX-License-Identifier: Apache-2.0
#include "user/net/ethtool.h"

#include <linux/ethtool.h>
#include <linux/if.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <memory>
#include <utility>

#include "user/base/error.h"
#include "user/base/printable.h"

namespace shunt {
namespace {

// An ethtool command with its tail of `count` elements: the structs end in a flexible array.
template <typename Command, typename Element>
class WithTail {
 public:
  explicit WithTail(std::size_t count)
      : words_((sizeof(Command) + count * sizeof(Element) + sizeof(std::uint64_t) - 1) / sizeof(std::uint64_t)) {}
  [[nodiscard]] Command* get() { return reinterpret_cast<Command*>(words_.data()); }
  Command* operator->() { return get(); }

 private:
  std::vector<std::uint64_t> words_;
};

constexpr std::size_t blocks_of(std::size_t features) { return (features + 31) / 32; }

}  // namespace

Ethtool::Ethtool() : socket_{check(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "ethtool: open")} {}

std::map<std::string, Feature, std::less<>> Ethtool::features(const std::string& interface) {
  const auto& names = feature_names(interface);
  WithTail<ethtool_gfeatures, ethtool_get_features_block> command{blocks_of(names.size())};
  command->cmd = ETHTOOL_GFEATURES;
  command->size = static_cast<std::uint32_t>(blocks_of(names.size()));
  if (int error = request(interface, command.get()))
    throw_errno(error, fmt::format("ethtool: features of '{}'", printable(interface)));
  std::map<std::string, Feature, std::less<>> features;
  for (std::size_t i = 0; i < names.size(); ++i) {
    const auto& block = command->features[i / 32];
    const std::uint32_t bit = 1u << (i % 32);
    if (names[i].empty()) continue;
    features[names[i]] = {(block.active & bit) != 0, (block.requested & bit) != 0,
                          (block.available & ~block.never_changed & bit) != 0};
  }
  return features;
}

bool Ethtool::set_feature(const std::string& interface, std::string_view feature, bool on) {
  const auto& names = feature_names(interface);
  const auto found = std::ranges::find(names, feature);
  if (found == names.end()) throw Error("this kernel has no feature '{}'", feature);
  const auto i = static_cast<std::size_t>(found - names.begin());
  WithTail<ethtool_sfeatures, ethtool_set_features_block> command{blocks_of(names.size())};
  command->cmd = ETHTOOL_SFEATURES;
  command->size = static_cast<std::uint32_t>(blocks_of(names.size()));
  command->features[i / 32].valid = 1u << (i % 32);
  command->features[i / 32].requested = on ? 1u << (i % 32) : 0;
  if (int error = request(interface, command.get())) {
    throw_errno(error, fmt::format("ethtool: turn {} {} on '{}'", feature_label(feature), on ? "on" : "off",
                                   printable(interface)));
  }
  const auto features = this->features(interface);
  const Feature& now = features.find(feature)->second;
  return now.active == on && now.requested == on;
}

std::string Ethtool::driver(const std::string& interface) {
  ethtool_drvinfo info{};
  info.cmd = ETHTOOL_GDRVINFO;
  if (int error = request(interface, &info))
    throw_errno(error, fmt::format("ethtool: driver of '{}'", printable(interface)));
  return {info.driver, ::strnlen(info.driver, sizeof info.driver)};
}

std::optional<Channels> Ethtool::channels(const std::string& interface) {
  ethtool_channels command{};
  command.cmd = ETHTOOL_GCHANNELS;
  const int error = request(interface, &command);
  if (error == EOPNOTSUPP) return std::nullopt;
  if (error != 0) throw_errno(error, fmt::format("ethtool: channels of '{}'", printable(interface)));
  return Channels{command.rx_count, command.tx_count, command.combined_count,
                  command.max_rx,   command.max_tx,   command.max_combined};
}

void Ethtool::set_channels(const std::string& interface, const Channels& channels) {
  ethtool_channels command{};
  command.cmd = ETHTOOL_GCHANNELS;  // keeps the `other` channels as they are
  int error = request(interface, &command);
  if (error == 0) {
    command.cmd = ETHTOOL_SCHANNELS;
    command.rx_count = channels.rx;
    command.tx_count = channels.tx;
    command.combined_count = channels.combined;
    error = request(interface, &command);
  }
  if (error != 0) {
    throw_errno(error, fmt::format("ethtool: set {} receive and {} transmit queues of '{}'", channels.receive(),
                                   channels.transmit(), printable(interface)));
  }
}

std::optional<unsigned> Ethtool::receive_rings(const std::string& interface) {
  ethtool_rxnfc command{};
  command.cmd = ETHTOOL_GRXRINGS;
  const int error = request(interface, &command);
  if (error == EOPNOTSUPP) return std::nullopt;
  if (error != 0) throw_errno(error, fmt::format("ethtool: receive rings of '{}'", printable(interface)));
  return static_cast<unsigned>(command.data);
}

std::optional<Ethtool::Speed> Ethtool::speed(const std::string& interface) {
  // The first request learns how many words the masks have (negative), the second is answered.
  constexpr std::size_t kMasks = 3;
  constexpr std::size_t kMostWords = 127;
  WithTail<ethtool_link_settings, std::uint32_t> command{kMasks * kMostWords};
  command->cmd = ETHTOOL_GLINKSETTINGS;
  if (request(interface, command.get()) != 0 || command->link_mode_masks_nwords >= 0) return std::nullopt;
  command->cmd = ETHTOOL_GLINKSETTINGS;
  command->link_mode_masks_nwords = static_cast<std::int8_t>(-command->link_mode_masks_nwords);
  if (request(interface, command.get()) != 0) return std::nullopt;
  const std::uint32_t speed = command->speed;
  return Speed{speed == static_cast<std::uint32_t>(SPEED_UNKNOWN) ? 0 : speed, command->duplex == DUPLEX_FULL};
}

int Ethtool::request(const std::string& interface, void* command) const {
  ifreq name{};
  if (interface.empty() || interface.size() >= sizeof name.ifr_name) return ENODEV;
  std::ranges::copy(interface, name.ifr_name);
  name.ifr_data = static_cast<char*>(command);
  return ::ioctl(socket_.get(), SIOCETHTOOL, &name) < 0 ? errno : 0;
}

const std::vector<std::string>& Ethtool::feature_names(const std::string& interface) {
  if (!feature_names_.empty()) return feature_names_;
  const std::string what = fmt::format("ethtool: feature names of '{}'", printable(interface));
  WithTail<ethtool_sset_info, std::uint32_t> info{1};
  info->cmd = ETHTOOL_GSSET_INFO;
  info->sset_mask = 1ull << ETH_SS_FEATURES;
  if (int error = request(interface, info.get())) throw_errno(error, what);
  const std::size_t count = info->data[0];
  WithTail<ethtool_gstrings, std::array<char, ETH_GSTRING_LEN>> strings{count};
  strings->cmd = ETHTOOL_GSTRINGS;
  strings->string_set = ETH_SS_FEATURES;
  strings->len = static_cast<std::uint32_t>(count);
  if (int error = request(interface, strings.get())) throw_errno(error, what);
  std::vector<std::string> names;
  for (std::size_t i = 0; i < count; ++i) {
    const auto* text = reinterpret_cast<const char*>(strings->data) + i * ETH_GSTRING_LEN;
    names.emplace_back(text, ::strnlen(text, ETH_GSTRING_LEN));
  }
  feature_names_ = std::move(names);
  return feature_names_;
}

std::string_view feature_label(std::string_view feature) {
  // ethtool(8), -K: the short names it took before features had names of their own.
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 4> kLabels{{
      {"rx-gro", "gro"},
      {"rx-lro", "lro"},
      {"rx-vlan-hw-parse", "rxvlan"},
      {"tx-vlan-hw-insert", "txvlan"},
  }};
  const auto found = std::ranges::find(kLabels, feature, &std::pair<std::string_view, std::string_view>::first);
  return found == kLabels.end() ? feature : found->second;
}

}  // namespace shunt

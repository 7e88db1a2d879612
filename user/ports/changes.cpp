// SPDX-License-Identifier: Apache-2.0
#include "user/ports/changes.h"

#include <algorithm>
#include <exception>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "user/base/error.h"

namespace shunt {
namespace {

using Json = nlohmann::ordered_json;

// The peer as it is reached today: by our end, else where it was.
VethPeer find_again(Ifindex own, const PeerPlace& place) {
  if (const auto link = Netlink{}.find(own); link && link->kind == "veth" && link->peer != Ifindex{})
    return VethPeer::reach(*link);
  return VethPeer::reach(place);
}

struct TakeBack {
  Ifindex own;

  void operator()(const RemoveLink&) const { Netlink{}.remove(link().index); }
  void operator()(const SetDown&) const { Netlink{}.set_up(link().index, false); }
  void operator()(const LeavePromiscuous&) const { Netlink{}.set_promiscuous(link().index, false); }
  void operator()(const SetChannels& undo) const { Ethtool{}.set_channels(link().name, undo.before); }
  void operator()(const SetFeature& undo) const { Ethtool{}.set_feature(link().name, undo.feature, undo.on); }
  void operator()(const SetPeerFeature& undo) const {
    const VethPeer peer = find_again(own, undo.peer);
    peer.run([&](Ethtool& ethtool) { ethtool.set_feature(peer.name(), undo.feature, undo.on); });
  }

  [[nodiscard]] Link link() const {
    auto found = Netlink{}.find(own);
    if (!found) throw Error("the interface with index {} is gone", own.value);
    return std::move(*found);
  }
};

struct ToJson {
  Json& json;

  void operator()(const RemoveLink&) const { json["undo"] = "remove"; }
  void operator()(const SetDown&) const { json["undo"] = "down"; }
  void operator()(const LeavePromiscuous&) const { json["undo"] = "leave-promiscuous"; }
  void operator()(const SetChannels& undo) const {
    json["undo"] = "channels";
    json["rx"] = undo.before.rx;
    json["tx"] = undo.before.tx;
    json["combined"] = undo.before.combined;
  }
  void operator()(const SetFeature& undo) const {
    json["undo"] = "feature";
    json["feature"] = undo.feature;
    json["on"] = undo.on;
  }
  void operator()(const SetPeerFeature& undo) const {
    json["undo"] = "peer-feature";
    json["feature"] = undo.feature;
    json["on"] = undo.on;
    json["peer"] = undo.peer.index.value;
    if (undo.peer.netns) json["netns"] = {undo.peer.netns->device, undo.peer.netns->inode};
  }
};

Undo undo_of(const Json& json) {
  const auto kind = json.at("undo").get<std::string>();
  if (kind == "remove") return RemoveLink{};
  if (kind == "down") return SetDown{};
  if (kind == "leave-promiscuous") return LeavePromiscuous{};
  if (kind == "channels") {
    Channels before;
    before.rx = json.at("rx").get<unsigned>();
    before.tx = json.at("tx").get<unsigned>();
    before.combined = json.at("combined").get<unsigned>();
    return SetChannels{before};
  }
  if (kind == "feature") return SetFeature{json.at("feature").get<std::string>(), json.at("on").get<bool>()};
  if (kind != "peer-feature") throw Error("unknown way to restore: '{}'", kind);
  SetPeerFeature undo{{std::nullopt, Ifindex{json.at("peer").get<std::uint32_t>()}},
                      json.at("feature").get<std::string>(),
                      json.at("on").get<bool>()};
  if (const auto netns = json.find("netns"); netns != json.end())
    undo.peer.netns = NamespaceId{netns->at(0).get<std::uint64_t>(), netns->at(1).get<std::uint64_t>()};
  return undo;
}

}  // namespace

void Changes::record(std::string key, std::string text, Ifindex link, Undo undo) {
  const bool known = std::ranges::any_of(changes_, [&](const Change& change) { return change.key == key; });
  if (!known) changes_.push_back({std::move(key), std::move(text), link, std::move(undo)});
}

std::vector<std::string> Changes::texts() const {
  std::vector<std::string> texts;
  for (const Change& change : changes_) texts.push_back(change.text);
  return texts;
}

void Changes::undo_all() noexcept {
  for (; !changes_.empty(); changes_.pop_back()) {
    try {
      std::visit(TakeBack{changes_.back().link}, changes_.back().undo);
    } catch (const std::exception&) {
      // What was changed has gone, or is no longer ours to change: the other changes are undone all the same.
    }
  }
}

std::string Changes::format() const {
  if (changes_.empty()) return {};
  Json list = Json::array();
  for (const Change& change : changes_) {
    Json json = {{"key", change.key}, {"text", change.text}, {"link", change.link.value}};
    std::visit(ToJson{json}, change.undo);
    list.push_back(std::move(json));
  }
  return list.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Changes Changes::parse(std::string_view text) {
  Changes changes;
  if (text.empty()) return changes;
  try {
    for (const Json& json : Json::parse(text))
      changes.changes_.push_back({json.at("key").get<std::string>(), json.at("text").get<std::string>(),
                                  Ifindex{json.at("link").get<std::uint32_t>()}, undo_of(json)});
  } catch (const Json::exception& error) {
    throw Error("what an interface's settings were: {}", error.what());
  }
  return changes;
}

}  // namespace shunt

// SPDX-License-Identifier: Apache-2.0
#include "user/ports/changes.h"

#include <algorithm>
#include <exception>
#include <utility>

namespace shunt {

void Changes::record(std::string key, std::string text, std::function<void()> undo) {
  const bool known = std::ranges::any_of(changes_, [&](const Change& change) { return change.key == key; });
  if (!known) changes_.push_back({std::move(key), std::move(text), std::move(undo)});
}

void Changes::record(std::string key, std::string text, Ifindex index,
                     std::function<void(Netlink&, const Link&)> undo) {
  record(std::move(key), std::move(text), [index, undo = std::move(undo)] {
    Netlink netlink;
    // Looked up by index: it may have another name by now.
    if (const auto link = netlink.find(index)) undo(netlink, *link);
  });
}

std::vector<std::string> Changes::texts() const {
  std::vector<std::string> texts;
  for (const Change& change : changes_) texts.push_back(change.text);
  return texts;
}

void Changes::undo_all() noexcept {
  for (; !changes_.empty(); changes_.pop_back()) {
    try {
      changes_.back().undo();
    } catch (const std::exception&) {
      // What was changed has gone, or is no longer ours to change: the other changes are undone all the same.
    }
  }
}

}  // namespace shunt

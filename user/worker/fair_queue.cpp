// SPDX-License-Identifier: Apache-2.0
#include "user/worker/fair_queue.h"

#include <algorithm>
#include <utility>

namespace shunt {

FairQueue::FairQueue(std::size_t capacity) : entries_(capacity), free_(capacity) {
  for (std::uint32_t i = 0; i < capacity; ++i) free_[i] = i;
}

bool FairQueue::push(FlowRequest&& request) {
  const bool has_room = !free_.empty();
  if (!has_room) drop_from_longest();
  const std::uint32_t at = free_.back();
  free_.pop_back();
  const auto port = static_cast<std::uint16_t>(request.port.value < lines_.size() ? request.port.value : 0);
  entries_[at] = {std::move(request), kNone};
  Line& line = lines_[port];
  if (line.length++ == 0) {
    line.first = at;
    turns_.push_back(port);
  } else {
    entries_[line.last].next = at;
  }
  line.last = at;
  return has_room;
}

bool FairQueue::pop(FlowRequest& request) {
  if (turns_.empty()) return false;
  const std::uint16_t port = turns_.front();
  turns_.pop_front();
  request = take(lines_[port]);
  if (lines_[port].length != 0) turns_.push_back(port);
  return true;
}

FlowRequest FairQueue::take(Line& line) {
  const std::uint32_t at = line.first;
  line.first = entries_[at].next;
  --line.length;
  free_.push_back(at);
  return std::exchange(entries_[at].request, {});
}

void FairQueue::drop_from_longest() {
  const auto longest = std::ranges::max_element(turns_, {}, [this](std::uint16_t port) { return lines_[port].length; });
  Line& line = lines_[*longest];
  (void)take(line);
  if (line.length == 0) turns_.erase(longest);
}

}  // namespace shunt

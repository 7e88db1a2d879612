// SPDX-License-Identifier: Apache-2.0
#include "user/worker/action_lists.h"

#include <algorithm>
#include <cstring>
#include <iterator>

#include "user/worker/rewrite.h"

namespace shunt {

ActionLists::ActionLists(std::span<shunt_action> elements) : elements_{elements} {}

std::string_view ActionLists::bytes_of(std::span<const shunt_action> actions) {
  return {reinterpret_cast<const char*>(actions.data()), actions.size_bytes()};
}

std::optional<ActionLists::Acquired> ActionLists::acquire(std::span<const shunt_action> actions) {
  if (const auto known = numbers_.find(bytes_of(actions)); known != numbers_.end()) {
    List& list = lists_.at(known->second);
    ++list.references;
    return Acquired{known->second, list.has_rewrite()};
  }
  const auto rewrite = rewrite_of(actions);
  const std::size_t count = actions.size() + (rewrite ? SHUNT_REWRITE_ELEMENTS : 0);
  const auto first = take_run(count);
  if (!first) return std::nullopt;
  const auto end = std::ranges::copy(actions, elements_.begin() + *first).out;
  if (rewrite) std::memcpy(&*end, &*rewrite, sizeof *rewrite);
  lists_[*first] = {actions.size(), count, 1, 0};
  numbers_.emplace(bytes_of(actions), *first);
  return Acquired{*first, rewrite.has_value()};
}

std::uint32_t ActionLists::share(std::uint32_t first) {
  ++lists_.at(first).references;
  return first;
}

void ActionLists::release(std::uint32_t first, std::uint64_t epoch) {
  List& list = lists_.at(first);
  if (--list.references > 0) return;
  list.retired_in = epoch;
  retired_.add(epoch, first);
}

void ActionLists::reclaim(std::uint64_t epoch) {
  retired_.reclaim(epoch, [this](std::uint64_t left, std::uint32_t first) {
    const auto list = lists_.find(first);
    // In use again meanwhile, or left once more in a later epoch.
    if (list == lists_.end() || list->second.references > 0 || list->second.retired_in != left) return;
    const std::size_t count = list->second.count;
    // Of two lists alike, which an earlier daemon may have left, one is known by its actions.
    if (const auto known = numbers_.find(bytes_of(actions(first))); known != numbers_.end() && known->second == first)
      numbers_.erase(known);
    lists_.erase(list);
    free_run(first, count);
  });
}

bool ActionLists::inherit(std::uint32_t first, std::size_t actions, bool has_rewrite) {
  const std::size_t count = actions + (has_rewrite ? SHUNT_REWRITE_ELEMENTS : 0);
  if (actions == 0 || actions > SHUNT_MAX_ACTIONS || first >= elements_.size() || count > elements_.size() - first)
    return false;
  const auto next = lists_.lower_bound(first);
  if (next != lists_.end() && next->first == first) {
    if (next->second.actions != actions || next->second.count != count) return false;
    ++next->second.references;
    return true;
  }
  if (next != lists_.end() && next->first < first + count) return false;
  if (next != lists_.begin() && std::prev(next)->first + std::prev(next)->second.count > first) return false;
  lists_.emplace_hint(next, first, List{actions, count, 1, 0});
  numbers_.emplace(bytes_of(elements_.subspan(first, actions)), first);
  return true;
}

void ActionLists::found_all() {
  end_ = 0;
  for (const auto& [first, list] : lists_) {
    free_run(end_, first - end_);
    end_ = first + static_cast<std::uint32_t>(list.count);
  }
}

// Of its own length, else behind all others, else from a longer one.
std::optional<std::uint32_t> ActionLists::take_run(std::size_t count) {
  if (free_[count].empty() && elements_.size() - end_ >= count) {
    const std::uint32_t first = end_;
    end_ += static_cast<std::uint32_t>(count);
    return first;
  }
  for (std::size_t length = count; length < free_.size(); ++length) {
    if (free_[length].empty()) continue;
    const std::uint32_t first = free_[length].back();
    free_[length].pop_back();
    free_run(first + static_cast<std::uint32_t>(count), length - count);
    return first;
  }
  return std::nullopt;
}

void ActionLists::free_run(std::uint32_t first, std::size_t count) {
  while (count > 0) {
    const std::size_t length = std::min(count, kLongest);
    free_[length].push_back(first);
    first += static_cast<std::uint32_t>(length);
    count -= length;
  }
}

}  // namespace shunt

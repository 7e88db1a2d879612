// SPDX-License-Identifier: Apache-2.0
#include "user/worker/placement.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <numeric>

#include "maps/types.h"
#include "user/base/error.h"

namespace shunt {
namespace {

constexpr unsigned kMostWorkers = 1024;
constexpr std::string_view kNone = "auto";
constexpr std::uint64_t kLittle = 20'000'000;  // ns a second: a worker with less to do needs no help

unsigned parse_number(std::string_view word, unsigned limit, const char* what) {
  unsigned number = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number);
  if (error != std::errc{} || end != word.data() + word.size() || number >= limit)
    throw Error("'{}' is no {}: 0 to {}", word, what, limit - 1);
  return number;
}

std::uint64_t busiest(std::span<const QueueLoad> queues, const std::vector<unsigned>& places, unsigned workers) {
  std::vector<std::uint64_t> load(workers);
  for (std::size_t i = 0; i < queues.size(); ++i) load[places[i]] += queues[i].load;
  return *std::max_element(load.begin(), load.end());
}

}  // namespace

QueueWorkers parse_queue_workers(std::string_view text) {
  QueueWorkers places;
  if (text == kNone) return places;
  while (!text.empty()) {
    const std::string_view pair = text.substr(0, text.find(','));
    text.remove_prefix(std::min(pair.size() + 1, text.size()));
    const std::size_t colon = pair.find(':');
    if (colon == std::string_view::npos) throw Error("'{}' is no QUEUE:WORKER, as in 0:1,1:0", pair);
    const unsigned queue = parse_number(pair.substr(0, colon), SHUNT_MAX_QUEUES, "queue");
    if (!places.emplace(queue, parse_number(pair.substr(colon + 1), kMostWorkers, "worker")).second)
      throw Error("queue {} is placed twice", queue);
  }
  if (places.empty()) throw Error("no QUEUE:WORKER: give some, as in 0:1,1:0, or 'auto'");
  return places;
}

std::string format_queue_workers(const QueueWorkers& places) {
  std::string text;
  for (const auto& [queue, worker] : places) text += fmt::format("{}{}:{}", text.empty() ? "" : ",", queue, worker);
  return text.empty() ? std::string{kNone} : text;
}

std::vector<unsigned> place_queues(std::span<const QueueLoad> queues, unsigned workers) {
  std::vector<unsigned> now, best(queues.size());
  std::vector<std::uint64_t> load(workers);
  std::vector<std::size_t> open;
  for (std::size_t i = 0; i < queues.size(); ++i) {
    const QueueLoad& queue = queues[i];
    const std::optional<unsigned> fixed = queue.fixed(workers);
    now.push_back(fixed.value_or(queue.worker));
    if (!fixed) {
      open.push_back(i);
      continue;
    }
    best[i] = *fixed;
    load[best[i]] += queue.load;
  }
  std::stable_sort(open.begin(), open.end(), [&](auto a, auto b) { return queues[a].load > queues[b].load; });
  for (const std::size_t i : open) {
    // Of workers with equally little to do, the one that has it already.
    const auto least = std::min_element(load.begin(), load.end());
    best[i] = load[queues[i].worker] == *least ? queues[i].worker : static_cast<unsigned>(least - load.begin());
    load[best[i]] += queues[i].load;
  }
  const std::uint64_t most = busiest(queues, now, workers);
  return most > kLittle && busiest(queues, best, workers) <= most / 4 * 3 ? best : now;
}

}  // namespace shunt

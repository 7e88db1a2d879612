// SPDX-License-Identifier: Apache-2.0
#include "user/control/captures.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <exception>
#include <utility>

#include "user/base/error.h"

namespace shunt {
namespace {

// Of a worker: what comes up to it is bounded by the budgets of misses.
constexpr std::size_t kWorkerRingBytes = 1 << 20;

}  // namespace

Captures::Captures(Datapath& datapath, WorkerPool& workers, unsigned worker_count)
    : datapath_{datapath}, workers_{workers}, worker_count_{worker_count}, maps_{datapath} {}

unsigned Captures::free_index() const {
  for (unsigned index = 0; index < SHUNT_MAX_CAPTURES; ++index)
    if (std::ranges::none_of(running_, [&](const auto& entry) { return entry.second.index == index; })) return index;
  throw Error("{} captures run already, and no more can: 'shunt captures' shows them", SHUNT_MAX_CAPTURES);
}

StartedCapture Captures::start(CaptureRequest request, const std::vector<CapturePort>& ports) {
  const unsigned index = free_index();
  StartedCapture started;
  started.workers = worker_count_;
  started.ring_bytes = kWorkerRingBytes;
  started.worker_rings = make_record_memory(worker_count_, kWorkerRingBytes);
  auto worker = std::make_shared<WorkerCapture>();
  worker->snaplen = request.snaplen;
  worker->filter = std::make_shared<const FilterProgram>(request.filter);
  for (unsigned i = 0; i < worker_count_; ++i)
    worker->writers.push_back(std::make_shared<RecordWriter>(started.worker_rings.get(), i, kWorkerRingBytes));

  // The tap first: what cannot be loaded leaves everything as it was.
  datapath_.require_features(SHUNT_FEATURE_CAPTURE, "a capture runs");
  const std::uint64_t id = next_id_++;
  Running& running = running_.emplace(id, Running{index, std::move(request), std::move(worker)}).first->second;
  try {
    const shunt_capture capture{.snaplen = running.request.snaplen,
                                .filter_count = static_cast<__u32>(running.request.filter.size()),
                                .rate = running.request.rate,
                                .zero = 0};
    started.kernel_ring = maps_.start(index, capture, running.request.filter, running.request.ring_bytes);
    for (const CapturePort& port : ports)
      if (!running.request.port || *running.request.port == port.name) {
        started.ports.push_back(port);
        see(running, port.dp, running.request.stages);
      }
    publish();
  } catch (...) {
    stop(id);
    throw;
  }
  started.id = id;
  spdlog::info("capture {} of bridge '{}' started", id, running.request.bridge);
  return started;
}

std::optional<CaptureTotals> Captures::stop(std::uint64_t id) {
  const auto found = running_.find(id);
  if (found == running_.end()) return std::nullopt;
  const Running stopped = std::move(found->second);
  running_.erase(found);
  maps_.stop(stopped.index);
  publish();
  if (running_.empty()) datapath_.release_features(SHUNT_FEATURE_CAPTURE);
  Datapath::wait_grace_period();
  const CaptureTotals sum = totals(stopped);
  spdlog::info("capture {} ended: {} packets, {} lost", id, sum.captured, sum.lost_ring + sum.lost_rate);
  return sum;
}

std::vector<CaptureStatus> Captures::list() const {
  std::vector<CaptureStatus> all;
  for (const auto& [id, running] : running_)
    all.push_back({id, running.request.bridge, running.request.port, running.request.stages, totals(running)});
  return all;
}

CaptureTotals Captures::totals(const Running& running) const {
  const shunt_capture_counts kernel = maps_.counts(running.index);
  CaptureTotals sum{kernel.captured, kernel.lost_ring, kernel.lost_rate};
  for (const auto& writer : running.worker->writers) {
    sum.captured += writer->captured();
    sum.lost_ring += writer->lost();
  }
  return sum;
}

void Captures::see(Running& running, DpPort port, unsigned stages) {
  maps_.set_port(running.index, port, stages);
  auto changed = std::make_shared<WorkerCapture>(*running.worker);
  changed->stages[port.value] = static_cast<std::uint8_t>(stages);
  running.worker = std::move(changed);
}

void Captures::publish() {
  auto captures = std::make_shared<WorkerCaptures>();
  for (const auto& [id, running] : running_) captures->push_back(running.worker);
  workers_.set_captures(captures);
  published_ = std::move(captures);  // so the older ones are freed here
}

void Captures::port_came(const std::string& bridge, const CapturePort& port) {
  bool changed = false;
  for (auto& [id, running] : running_) {
    const CaptureRequest& request = running.request;
    if (request.bridge != bridge || (request.port && *request.port != port.name)) continue;
    see(running, port.dp, request.stages);
    if (request.on_port) request.on_port(port);
    changed = true;
  }
  if (changed) publish();
}

void Captures::port_went(DpPort port) {
  if (running_.empty()) return;
  for (auto& [id, running] : running_) see(running, port, 0);
  publish();
}

}  // namespace shunt

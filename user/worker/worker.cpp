// SPDX-License-Identifier: Apache-2.0
#include "user/worker/worker.h"

#include <algorithm>

#include "user/base/error.h"
#include "user/worker/worker_thread.h"

namespace shunt {

struct WorkerPool::Impl {
  Impl(const Options& options, const Context& shared) : context{shared} {
    const unsigned count = worker_count(options);
    for (unsigned i = 0; i < count; ++i) doorbells.push_back(std::make_unique<Doorbell>());
    std::vector<Inbox*> all;
    for (const auto& doorbell : doorbells) {
      inboxes.push_back(std::make_unique<Inbox>(*doorbell, count));
      all.push_back(inboxes.back().get());
    }
    for (unsigned i = 0; i < count; ++i) {
      WorkerThread::Options worker{i, std::nullopt, options.busy_poll};
      if (!options.cores.empty()) worker.core = options.cores[i];
      workers.push_back(std::make_unique<WorkerThread>(worker, context, *doorbells[i], all));
    }
  }

  // Runs `work(worker)` in each worker's thread, one after the other.
  template <typename Work>
  void in_each(Work work) {
    for (const auto& worker : workers) worker->mailbox().run([&worker = *worker, work] { work(worker); });
  }

  unsigned least_loaded() const {
    const auto less = [](const auto& a, const auto& b) { return a->socket_count() < b->socket_count(); };
    return static_cast<unsigned>(std::min_element(workers.begin(), workers.end(), less) - workers.begin());
  }

  // Gives each socket to a worker; returns the first one's.
  unsigned spread(DpPort port, std::vector<std::unique_ptr<XskSocket>> sockets) {
    unsigned owner = 0;
    for (std::size_t i = 0; i < sockets.size(); ++i) {
      const unsigned number = least_loaded();
      if (i == 0) owner = number;
      WorkerThread& worker = *workers[number];
      // std::function wants what can be copied.
      auto box = std::make_shared<std::unique_ptr<XskSocket>>(std::move(sockets[i]));
      worker.mailbox().run([&worker, port, box] { worker.adopt(port, std::move(*box)); });
    }
    return owner;
  }

  const Context context;
  std::vector<std::unique_ptr<Doorbell>> doorbells;
  std::vector<std::unique_ptr<Inbox>> inboxes;
  std::vector<std::unique_ptr<WorkerThread>> workers;
};

unsigned WorkerPool::worker_count(const Options& options) {
  return std::max(1u, static_cast<unsigned>(options.cores.size()));
}

WorkerPool::WorkerPool(const Options& options, const Context& context)
    : impl_{std::make_unique<Impl>(options, context)} {}

WorkerPool::~WorkerPool() { stop(); }

void WorkerPool::start() {
  for (const auto& worker : impl_->workers) worker->start();
}

void WorkerPool::stop() {
  for (const auto& worker : impl_->workers) worker->stop();
  // No thread runs any more: this one may do what was theirs.
  for (const auto& worker : impl_->workers) worker->serve_inbox();
  for (const auto& worker : impl_->workers) worker->close_sockets();
}

void WorkerPool::add_port(DpPort port, std::vector<std::unique_ptr<XskSocket>> sockets) {
  if (port.value == 0 || port.value >= SHUNT_MAX_PORTS) throw Error("datapath port {} is out of range", port.value);
  if (sockets.empty()) throw Error("datapath port {} has no AF_XDP socket", port.value);
  const unsigned owner = impl_->spread(port, std::move(sockets));
  impl_->in_each([port, owner](WorkerThread& worker) { worker.set_route(port, owner); });
}

void WorkerPool::add_lane(std::vector<std::unique_ptr<XskSocket>> sockets) {
  (void)impl_->spread(DpPort{SHUNT_LANE}, std::move(sockets));
}

void WorkerPool::remove_port(DpPort port) {
  impl_->in_each([port](WorkerThread& worker) { worker.clear_route(port); });
  // Nobody hands over to the port any more; what was handed over is dropped by its owner.
  impl_->in_each([](WorkerThread& worker) { worker.serve_inbox(); });
  auto sockets = std::make_shared<std::vector<std::unique_ptr<XskSocket>>>();
  impl_->in_each([port, sockets](WorkerThread& worker) {
    for (auto& socket : worker.give_up(port)) sockets->push_back(std::move(socket));
  });
  sockets->clear();  // closes them here, for that may wait
}

void WorkerPool::quiesce() {
  impl_->in_each([](WorkerThread& worker) { worker.refresh_state(); });
  // What a worker decided before that may still wait in another one's ring.
  impl_->in_each([](WorkerThread& worker) { worker.serve_inbox(); });
}

void WorkerPool::send_out(PacketOutRequest&& request) {
  WorkerThread& worker = *impl_->workers.front();
  auto shared = std::make_shared<const PacketOutRequest>(std::move(request));
  worker.mailbox().post([&worker, shared] { worker.send_out(*shared); });
}

void WorkerPool::set_captures(std::shared_ptr<const WorkerCaptures> captures) {
  impl_->in_each([captures](WorkerThread& worker) { worker.set_captures(captures); });
}

PortCounters WorkerPool::counters(DpPort port) const {
  PortCounters sum;
  for (const auto& worker : impl_->workers) {
    const PortCounterSet& set = worker->counters()[port];
    sum.tx_packets += set.tx_packets.get();
    sum.tx_bytes += set.tx_bytes.get();
    for (std::size_t reason = 0; reason < SHUNT_DROP_COUNTERS; ++reason) sum.drops[reason] += set.drops[reason].get();
  }
  return sum;
}

void WorkerPool::reset_counters(DpPort port) {
  impl_->in_each([port](WorkerThread& worker) {
    PortCounterSet& set = worker.counters()[port];
    set.tx_packets.clear();
    set.tx_bytes.clear();
    for (Counter& drops : set.drops) drops.clear();
  });
}

std::vector<WorkerStats> WorkerPool::stats() const {
  std::vector<WorkerStats> all;
  for (const auto& worker : impl_->workers) {
    const Counters& counters = worker->counters();
    all.push_back({.upcalls = counters.upcalls.get(),
                   .nanoseconds = counters.nanoseconds.get(),
                   .translations = counters.translations.get(),
                   .requests = counters.requests.get(),
                   .requests_refused = counters.requests_refused.get(),
                   .core = worker->core(),
                   .busy_nanoseconds = counters.busy_nanoseconds.get(),
                   .wait = counters.wait.read(),
                   .translate = counters.translate.read(),
                   .send = counters.send.read()});
  }
  return all;
}

XskStatistics WorkerPool::socket_statistics(DpPort port) {
  auto sum = std::make_shared<XskStatistics>();
  impl_->in_each([port, sum](WorkerThread& worker) { worker.add_statistics(port, *sum); });
  return *sum;
}

}  // namespace shunt

// SPDX-License-Identifier: Apache-2.0
#include "user/worker/worker.h"

#include <algorithm>
#include <chrono>
#include <latch>
#include <map>
#include <semaphore>
#include <utility>

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
    busy.resize(count);
  }

  // Runs `work(worker)` in each worker's thread, one after the other.
  template <typename Work>
  void in_each(Work work) {
    for (const auto& worker : workers) worker->mailbox().run([&worker = *worker, work] { work(worker); });
  }

  using QueueKey = std::pair<DpPort, QueueId>;
  using Moves = std::vector<std::pair<QueueKey, unsigned>>;  // to which worker

  unsigned count() const { return static_cast<unsigned>(workers.size()); }

  // Where a new queue goes: what it will cost is not known yet.
  unsigned emptiest() const {
    std::vector<std::size_t> sockets(workers.size());
    for (const auto& [queue, served] : queues) ++sockets[served.place.worker];
    return static_cast<unsigned>(std::min_element(sockets.begin(), sockets.end()) - sockets.begin());
  }

  // Gives each socket to a worker; returns the first one's.
  unsigned spread(DpPort port, std::vector<std::unique_ptr<XskSocket>> sockets, const QueueWorkers& wanted) {
    for (auto& socket : sockets) {
      const QueueId queue = socket->queue();
      Queue served{.place = {.worker = emptiest(), .wanted = wish(wanted, queue)}};
      served.place.worker = served.place.fixed(count()).value_or(served.place.worker);
      WorkerThread& worker = *workers[served.place.worker];
      // std::function wants what can be copied.
      auto box = std::make_shared<std::unique_ptr<XskSocket>>(std::move(socket));
      worker.mailbox().run([&worker, port, box, spent = served.spent] { worker.adopt(port, std::move(*box), spent); });
      queues.emplace(std::pair{port, queue}, std::move(served));
    }
    return owner_of(port);
  }

  // Of the port's first socket, which can send.
  unsigned owner_of(DpPort port) const { return queues.lower_bound({port, QueueId{0}})->second.place.worker; }

  static std::optional<unsigned> wish(const QueueWorkers& wanted, QueueId queue) {
    const auto found = wanted.find(queue.value);
    return found == wanted.end() ? std::nullopt : std::optional{found->second};
  }

  // Runs `work` in this thread while every worker waits between two rounds. What they handed to each other is sent.
  template <typename Work>
  void while_all_wait(Work work) {
    struct Pause {
      std::counting_semaphore<> waiting{0};
      std::latch over{1};
    };
    const auto pause = std::make_shared<Pause>();
    struct End {
      Pause& pause;
      ~End() { pause.over.count_down(); }
    } const end{*pause};
    if (running)
      for (const auto& worker : workers)
        worker->mailbox().post([pause] {
          pause->waiting.release();
          pause->over.wait();
        });
    for (std::size_t i = 0; running && i < workers.size(); ++i)
      if (!pause->waiting.try_acquire_for(kPatience)) throw Error("a worker does not answer: see its log");
    for (const auto& worker : workers) worker->serve_inbox();
    work();
  }

  // Gives queues to the workers that they are placed at.
  void move(const Moves& moves) {
    if (moves.empty()) return;
    while_all_wait([&] {
      for (const auto& [queue, to] : moves) {
        Queue& served = queues.at(queue);
        auto socket = workers[served.place.worker]->give_up(queue.first, queue.second);
        served.place.worker = to;
        workers[to]->adopt(queue.first, std::move(socket), served.spent);
        if (queue.first.value == SHUNT_LANE) continue;
        for (const auto& worker : workers) worker->set_route(queue.first, owner_of(queue.first));
      }
    });
  }

  void balance() {
    std::vector<QueueLoad> loads;
    for (const auto& [queue, served] : queues) loads.push_back(served.place);
    const std::vector<unsigned> places = place_queues(loads, count());
    Moves moves;
    std::size_t i = 0;
    for (const auto& [queue, served] : queues)
      if (const unsigned to = places[i++]; to != served.place.worker) moves.push_back({queue, to});
    move(moves);
  }

  static constexpr std::chrono::seconds kPatience{10};

  // A counter of nanoseconds, and how many a second they are lately.
  static void measure(std::uint64_t now, std::uint64_t& seen, std::uint64_t& load) {
    constexpr std::uint64_t kSeconds = 4;
    load = (load * (kSeconds - 1) + (now - std::exchange(seen, now))) / kSeconds;
  }
  struct Queue {
    QueueLoad place;
    std::shared_ptr<Counter> spent = std::make_shared<Counter>();
    std::uint64_t seen = 0;  // of `spent`
  };
  struct Busy {
    std::uint64_t seen = 0, load = 0;
  };

  const Context context;
  bool running = false;
  std::map<QueueKey, Queue> queues;
  std::vector<Busy> busy;  // by worker
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
  impl_->running = true;
}

void WorkerPool::stop() {
  for (const auto& worker : impl_->workers) worker->stop();
  impl_->running = false;
  // No thread runs any more: this one may do what was theirs.
  for (const auto& worker : impl_->workers) worker->serve_inbox();
  for (const auto& worker : impl_->workers) worker->close_sockets();
  impl_->queues.clear();
}

void WorkerPool::add_port(DpPort port, std::vector<std::unique_ptr<XskSocket>> sockets, const QueueWorkers& wanted) {
  if (port.value == 0 || port.value >= SHUNT_MAX_PORTS) throw Error("datapath port {} is out of range", port.value);
  if (sockets.empty()) throw Error("datapath port {} has no AF_XDP socket", port.value);
  const unsigned owner = impl_->spread(port, std::move(sockets), wanted);
  impl_->in_each([port, owner](WorkerThread& worker) { worker.set_route(port, owner); });
}

void WorkerPool::add_lane(std::vector<std::unique_ptr<XskSocket>> sockets) {
  (void)impl_->spread(DpPort{SHUNT_LANE}, std::move(sockets), {});
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
  std::erase_if(impl_->queues, [port](const auto& queue) { return queue.first.first == port; });
}

void WorkerPool::place(DpPort port, const QueueWorkers& wanted) {
  Impl::Moves moves;
  for (auto& [queue, served] : impl_->queues) {
    if (queue.first != port) continue;
    QueueLoad& place = served.place;
    place.wanted = Impl::wish(wanted, queue.second);
    if (const auto fixed = place.fixed(impl_->count()); fixed && *fixed != place.worker) moves.push_back({queue, *fixed});
  }
  impl_->move(moves);
}

void WorkerPool::measure() {
  for (auto& [queue, served] : impl_->queues) Impl::measure(served.spent->get(), served.seen, served.place.load);
  for (std::size_t i = 0; i < impl_->workers.size(); ++i)
    Impl::measure(impl_->workers[i]->counters().busy_nanoseconds.get(), impl_->busy[i].seen, impl_->busy[i].load);
}

void WorkerPool::balance() { impl_->balance(); }

std::vector<ServedQueue> WorkerPool::queues() const {
  std::vector<ServedQueue> all;
  for (const auto& [queue, served] : impl_->queues) all.push_back({queue.first, queue.second, served.place});
  return all;
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
    const std::uint64_t load = impl_->busy[all.size()].load;
    all.push_back({.upcalls = counters.upcalls.get(),
                   .nanoseconds = counters.nanoseconds.get(),
                   .translations = counters.translations.get(),
                   .requests = counters.requests.get(),
                   .requests_refused = counters.requests_refused.get(),
                   .core = worker->core(),
                   .busy_nanoseconds = counters.busy_nanoseconds.get(),
                   .load = load,
                   .wait = counters.wait.read(),
                   .translate = counters.translate.read(),
                   .send = counters.send.read()});
  }
  return all;
}

}  // namespace shunt

// SPDX-License-Identifier: Apache-2.0
#include "user/worker/worker_thread.h"

#include <pthread.h>
#include <sched.h>
#include <spdlog/spdlog.h>
#include <sys/epoll.h>

#include <algorithm>
#include <cstring>

#include "bpf/datapath/mask.h"
#include "user/base/error.h"
#include "user/worker/credit.h"

namespace shunt {
namespace {

using std::chrono::milliseconds;

// What a socket may use of a round: about two batches.
constexpr std::chrono::nanoseconds kQuantum{100'000};
constexpr milliseconds kIdlePause{500}, kUnsentPause{1};
constexpr milliseconds kHousekeepingInterval{1000};
// Misses of a flow that was asked for so long ago ask again: the revalidator had no room then, or has evicted it.
constexpr milliseconds kAskAgain{5};

// Packets that the kernel side handed up before a flow counted them.
bool is_uncounted(std::uint8_t reason) {
  return reason == SHUNT_UPCALL_MISS || reason == SHUNT_UPCALL_ORDER || reason == SHUNT_UPCALL_DEEP_HEADER ||
         reason == SHUNT_UPCALL_CHECKSUM;
}

}  // namespace

WorkerThread::WorkerThread(const Options& options, const WorkerPool::Context& context, Doorbell& doorbell,
                           std::vector<Inbox*> inboxes)
    : options_{options},
      switch_{context.sw},
      requests_{*context.queues.at(options.number)},
      youth_{context.youth},
      doorbell_{doorbell},
      mailbox_{doorbell, fmt::format("worker {}", options.number)},
      umem_{context.umem},
      ports_{context.ports},
      frames_{context.umem.pool()},
      gate_{context.order},
      executor_{context.umem, frames_, context.ports, context.meters, context.hash},
      transmitter_{options.number, context.umem, frames_, counters_, gate_, std::move(inboxes)},
      tap_{options.number, context.umem, transmitter_},
      reporter_{context.events, options.number, &tap_},
      epoll_{check(::epoll_create1(EPOLL_CLOEXEC), "worker: epoll")},
      recent_(kRecent) {
  pending_.reserve(kBatch);
  refresh_state();
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = doorbell_.fd();
  check(::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, doorbell_.fd(), &event), "worker: epoll");
}

WorkerThread::~WorkerThread() { stop(); }

void WorkerThread::start() {
  if (thread_.joinable()) return;
  stopping_ = false;
  mailbox_.open();
  thread_ = std::thread{[this] { run(); }};
  ::pthread_setname_np(thread_.native_handle(), fmt::format("worker{}", options_.number).c_str());
}

void WorkerThread::stop() {
  if (!thread_.joinable()) return;
  stopping_ = true;
  doorbell_.ring();
  thread_.join();
  mailbox_.close();
}

void WorkerThread::adopt(DpPort port, std::unique_ptr<XskSocket> socket, std::shared_ptr<Counter> spent) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = socket->fd();
  check(::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, socket->fd(), &event), "worker: epoll");
  socket->refill(frames_);
  served_.push_back({port, std::move(socket), std::move(spent), std::chrono::nanoseconds{0}});
}

std::unique_ptr<XskSocket> WorkerThread::give_up(DpPort port, QueueId queue) {
  const auto found = std::ranges::find_if(
      served_, [&](const Served& served) { return served.port == port && served.socket->queue() == queue; });
  if (found == served_.end()) return nullptr;
  (void)::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, found->socket->fd(), nullptr);
  auto socket = std::move(found->socket);
  served_.erase(found);
  return socket;
}

std::vector<std::unique_ptr<XskSocket>> WorkerThread::give_up(DpPort port) {
  std::vector<std::unique_ptr<XskSocket>> sockets;
  for (std::uint32_t queue = 0; queue < SHUNT_MAX_QUEUES; ++queue)
    if (auto socket = give_up(port, QueueId{queue})) sockets.push_back(std::move(socket));
  return sockets;
}

void WorkerThread::set_route(DpPort port, unsigned owner) {
  const auto own = std::find_if(served_.begin(), served_.end(),
                                [&](const Served& s) { return s.port == port && s.socket->can_send(); });
  transmitter_.set_route(port, own == served_.end() ? nullptr : own->socket.get(), owner);
}

void WorkerThread::clear_route(DpPort port) { transmitter_.clear_route(port); }

void WorkerThread::serve_inbox() { transmitter_.serve_inbox(); }

// The translations of the older state go with it, so that it can be freed.
void WorkerThread::refresh_state() {
  state_ = switch_.state();
  for (Recent& recent : recent_) recent.decision = nullptr;
}

void WorkerThread::run() {
  pin();
  TimePoint awake = Clock::now();  // since when its time has not been counted
  while (!stopping_.load(std::memory_order_relaxed)) {
    const TimePoint round = now_ = Clock::now();
    count_busy(awake, round);
    bool busy = mailbox_.take_and_run();
    if (switch_.version() != state_->version) refresh_state();
    busy = serve_sockets() || busy;
    busy = transmitter_.serve_inbox() > 0 || busy;
    if (transmitter_.unsent()) transmitter_.flush();
    tell_progress(round);
    housekeeping();
    if (busy) {
      busy_at_ = now_;
      continue;
    }
    count_busy(awake, Clock::now());
    rest();
    awake = Clock::now();
  }
}

// `round`: when this one began.
void WorkerThread::tell_progress(TimePoint round) noexcept {
  for (const Served& served : served_) round = std::min(round, served.reached);
  youth_.reached(options_.number, round);
}

void WorkerThread::count_busy(TimePoint& since, TimePoint now) noexcept {
  counters_.busy_nanoseconds.add(static_cast<std::uint64_t>((now - since).count()));
  since = now;
}

void WorkerThread::pin() {
  if (!options_.core) return;
  cpu_set_t cores;
  CPU_ZERO(&cores);
  CPU_SET(*options_.core, &cores);
  if (const int error = ::pthread_setaffinity_np(::pthread_self(), sizeof cores, &cores); error != 0)
    spdlog::warn("worker {} runs on any core: core {}: {}", options_.number, *options_.core,
                 std::generic_category().message(error));
}

// One round: each socket in turn, as far as its share of time goes.
bool WorkerThread::serve_sockets() noexcept {
  bool busy = false;
  TimePoint begin = now_;
  for (Served& served : served_) {
    served.socket->reap(frames_);
    served.credit = std::min(served.credit + kQuantum, kQuantum);
    if (served.credit.count() <= 0) {
      busy = true;
      continue;
    }
    served.reached = now_;
    const std::size_t packets = serve(served);
    if (packets == 0) {
      served.socket->refill(frames_);
      continue;
    }
    busy = true;
    const TimePoint end = Clock::now();
    const auto spent = static_cast<std::uint64_t>((end - begin).count());
    served.credit -= end - begin;
    served.spent->add(spent);
    counters_.upcalls.add(packets);
    counters_.nanoseconds.add(spent);
    begin = now_ = end;
  }
  return busy;
}

// A batch of one socket. What is queued is sent before the flows are asked for.
std::size_t WorkerThread::serve(Served& served) noexcept {
  std::array<XskDescriptor, kBatch> descriptors;
  const std::uint32_t count = served.socket->receive(descriptors);
  if (count == 0) return 0;
  received_ = Clock::now();
  // Another core wrote the frames: the lines with the metadata, and with the headers behind them.
  for (const XskDescriptor& part : std::span{descriptors}.first(count)) {
    __builtin_prefetch(umem_.data(part.address) - sizeof(shunt_upcall_meta));
    __builtin_prefetch(umem_.data(part.address));
  }
  std::size_t packets = 0;
  for (std::size_t begin = 0, end = 0; begin < count; begin = end, ++packets) {
    while ((descriptors[end++].options & kContinued) != 0) {
    }
    handle(std::span{descriptors}.subspan(begin, end - begin), served.port);
  }
  served.socket->refill(frames_);
  transmitter_.flush();
  served.reached = handed_up_;
  counters_.send.record(Clock::now() - received_, packets);
  push_requests();
  return packets;
}

void WorkerThread::handle(std::span<const XskDescriptor> packet, DpPort from) noexcept {
  const shunt_upcall_meta meta = take_meta(packet.front(), from);
  const DpPort port{meta.in_port};
  transmitter_.begin(port, meta.order);
  shunt_drop_reason outcome = executor_.load(packet, port);
  if (outcome != SHUNT_DROP_NONE) {
    tap_.dropped(port, outcome, {}, executor_.length());  // its frames are gone
  } else {
    // The kernel side completes checksums of what it can read; it says so when it could not.
    const bool raw = meta.reason == SHUNT_UPCALL_DEEP_HEADER || meta.reason == SHUNT_UPCALL_CHECKSUM;
    const bool local = (__atomic_load_n(&ports_[port.value].flags, __ATOMIC_RELAXED) & SHUNT_PORT_LOCAL_STACK) != 0;
    if (raw && local && !executor_.complete_checksum()) {
      outcome = SHUNT_DROP_CHECKSUM;
      tap_.dropped(port, outcome, executor_.frame(), executor_.length());
      executor_.discard();
    } else {
      reporter_.begin(*state_, port);
      DecisionRef displaced;
      Recent& recent = look_up(displaced);
      const Translation& translation = recent.decision->translation;
      // Who runs a packet credits it, for whatever reason it came up: what a flow counted of it is for its age.
      credit(translation, 1, executor_.length(), now_);
      outcome = executor_.run(translation, sink(), &reporter_, meta.reason == SHUNT_UPCALL_SAMPLE);
      reporter_.learn(recent.decision, now_, recent.learned);
      // Before a flow was looked up, or without one: asked for, and its source learned.
      const bool unknown = is_uncounted(meta.reason) && meta.reason != SHUNT_UPCALL_ORDER;
      if (unknown && now_ - recent.requested >= kAskAgain) {
        recent.requested = now_;
        pending_.push_back({recent.decision, port, received_, std::move(displaced)});
      }
    }
  }
  if (outcome != SHUNT_DROP_NONE) counters_.dropped(port, outcome);
  transmitter_.end();
}

// What the kernel side wrote in front of the frame; a miss where a driver had no room for it.
shunt_upcall_meta WorkerThread::take_meta(const XskDescriptor& first, DpPort port) noexcept {
  shunt_upcall_meta meta{};
  if (first.address % Umem::kFrameSize >= sizeof meta) {
    std::byte* at = umem_.data(first.address - sizeof meta);
    std::memcpy(&meta, at, sizeof meta);
    if (meta.magic == SHUNT_UPCALL_MAGIC && (meta.in_port == port.value || port.value == SHUNT_LANE)) {
      handed_up_ = TimePoint{std::chrono::nanoseconds{meta.handed_up}};
      counters_.wait.record(received_ - handed_up_);
      // The frame's next packet may come without.
      std::memset(at, 0, sizeof meta.magic);
      return meta;
    }
  }
  handed_up_ = received_;
  meta = {};
  meta.in_port = port.value;
  meta.order = Handover::kNoBucket;
  meta.reason = SHUNT_UPCALL_MISS;
  return meta;
}

// What a controller sends comes in no socket: it is put into frames of our own, with room for headers in front.
void WorkerThread::send_out(const PacketOutRequest& request) {
  if (switch_.version() != state_->version) refresh_state();
  DpPort in_port{0};
  if (const BridgeState* bridge = state_->find(request.bridge))
    if (const BridgePort* port = bridge->find(request.in_port)) in_port = port->dp;
  transmitter_.begin(in_port, Handover::kNoBucket);
  const shunt_drop_reason outcome = run_packet_out(request, in_port);
  if (outcome != SHUNT_DROP_NONE) counters_.dropped(in_port, outcome);
  transmitter_.end();
  transmitter_.flush();
}

shunt_drop_reason WorkerThread::run_packet_out(const PacketOutRequest& request, DpPort in_port) {
  constexpr std::uint32_t kHeadroom = 256;
  std::array<XskDescriptor, Executor::kMaxDescriptors> parts;
  std::size_t count = 0;
  const auto give_back = [&] {
    for (const XskDescriptor& part : std::span{parts}.first(count)) frames_.give(Umem::frame_of(part.address));
  };
  for (std::size_t at = 0; at < request.frame.size(); ++count) {
    Frame frame;
    if (count == parts.size() || !frames_.take(frame)) {
      give_back();
      return count == parts.size() ? SHUNT_DROP_FRAME_TOO_LONG : SHUNT_DROP_NO_FRAMES;
    }
    umem_.hand(frame, Hand::kBatch);
    const auto size =
        static_cast<std::uint32_t>(std::min<std::size_t>(request.frame.size() - at, Umem::kFrameSize - kHeadroom));
    const std::uint64_t address = Umem::address_of(frame) + kHeadroom;
    std::memcpy(umem_.data(address), request.frame.data() + at, size);
    at += size;
    parts[count] = {address, size, at < request.frame.size() ? kContinued : 0};
  }
  if (count == 0) return SHUNT_DROP_TRUNCATED_ETH;
  if (const shunt_drop_reason reason = executor_.load(std::span{parts}.first(count), in_port);
      reason != SHUNT_DROP_NONE)
    return reason;
  reporter_.begin(*state_, in_port);
  const PacketView view{executor_.frame(), executor_.length()};
  const auto decision = std::make_shared<Decision>();
  decision->key = executor_.key();
  decision->translation =
      request.resumed == nullptr
          ? translate_actions(*state_, request.bridge, executor_.key(), request.in_port, request.actions, &view,
                              nullptr, request.fields)
          : resume(*state_, request.bridge, executor_.key(), request.in_port, request.fields, *request.resumed, &view);
  credit(decision->translation, 1, executor_.length(), now_);
  TimePoint never{};
  reporter_.learn(decision, now_, never);
  return executor_.run(decision->translation, sink(), &reporter_);
}

// Of the loaded packet. `displaced`: what made room for it, which is in no cache any more.
WorkerThread::Recent& WorkerThread::look_up(DecisionRef& displaced) {
  const FlowKey& key = executor_.key();
  const std::uint64_t hash = shunt_hash_key(&key, 0, 0x9e3779b97f4a7c15);
  Recent& recent = recent_[hash & (kRecent - 1)];
  const bool known = recent.decision != nullptr && recent.hash == hash && equal(recent.decision->key, key) &&
                     is_current(recent.decision->translation, key);
  if (known && !recent.decision->translation.needs_packet) return recent;
  displaced = std::move(recent.decision);
  if (!known) recent = {hash, nullptr, {}, {}};
  const PacketView packet{executor_.frame(), executor_.length()};
  const TimePoint begin = Clock::now();
  auto made = std::make_shared<Decision>();
  made->key = key;
  translate(*state_, key, &packet, made->translation);
  recent.decision = std::move(made);
  counters_.translate.record(Clock::now() - begin);
  counters_.translations.add(1);
  return recent;
}

bool WorkerThread::is_current(const Translation& translation, const FlowKey& key) const noexcept {
  if (translation.version != state_->version) return false;
  const BridgeState* bridge = state_->bridge_of[key.in_port];
  return bridge == nullptr || !translation.bridge || bridge->fdb->version() == translation.fdb_version;
}

void WorkerThread::push_requests() noexcept {
  if (pending_.empty()) return;
  for (FlowRequest& request : pending_) {
    counters_.requests.add(1);
    if (!requests_.push(std::move(request))) counters_.requests_refused.add(1);
  }
  pending_.clear();
  requests_.ring_doorbell();
}

// Sleeps until a packet, a handover or a message comes.
void WorkerThread::rest() {
  if (options_.busy_poll && !served_.empty()) {
    for (const Served& served : served_) served.socket->poll_device();
    return;
  }
  doorbell_.arm();
  if (mailbox_.empty() && transmitter_.inbox_empty() && !stopping_) {
    epoll_event event{};
    // Nobody wakes us where a device takes its time to give back the frames that the others wait for.
    const bool starves = std::ranges::any_of(served_, [](const Served& served) { return served.socket->starves(); });
    const milliseconds calm = now_ - busy_at_ < Youth::kLongest ? Youth::kPulse : kIdlePause;
    const milliseconds pause = transmitter_.unsent() || starves ? kUnsentPause : calm;
    const int count = ::epoll_wait(epoll_.get(), &event, 1, static_cast<int>(pause.count()));
    // A socket whose interface is gone reports that for ever; it is taken away by control.
    if (count > 0 && (event.events & (EPOLLERR | EPOLLHUP)) != 0)
      (void)::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, event.data.fd, nullptr);
  }
  doorbell_.disarm();
}

void WorkerThread::housekeeping() {
  if (now_ < next_housekeeping_) return;
  next_housekeeping_ = now_ + kHousekeepingInterval;
  frames_.flush();
  for (const Served& served : served_)
    counters_.dropped(served.port, SHUNT_DROP_UPCALL_QUEUE_FULL, served.socket->take_lost());
  if (options_.number == 0) gate_.repair();
}

}  // namespace shunt

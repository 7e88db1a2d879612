// SPDX-License-Identifier: Apache-2.0
#include "user/web/control_gate.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <atomic>
#include <future>
#include <string>
#include <utility>

namespace shunt {

struct ControlGate::Call {
  std::function<void()> work;
  std::atomic<bool> abandoned{false};
  std::string error;  // what it threw, as a text: an exception stays in its thread
  bool refused = false;
  std::promise<void> done;
};

ControlGate::ControlGate(EventLoop& loop)
    : loop_{loop}, doorbell_{check(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "control gate: eventfd")} {
  loop_.add(doorbell_.get(), EPOLLIN, [this](std::uint32_t) { serve(); });
}

ControlGate::~ControlGate() {
  close();
  loop_.remove(doorbell_.get());
}

void ControlGate::run(std::function<void()> work) {
  const auto call = std::make_shared<Call>();
  call->work = std::move(work);
  std::future<void> done = call->done.get_future();
  {
    const std::lock_guard lock{mutex_};
    if (!open_) throw ControlBusy("the daemon is stopping");
    if (calls_.size() >= kMostWaiting) throw ControlBusy("{} requests wait for the daemon already", kMostWaiting);
    calls_.push_back(call);
  }
  ::eventfd_write(doorbell_.get(), 1);
  if (done.wait_for(kLimit) == std::future_status::timeout) {
    call->abandoned = true;
    throw ControlBusy("the daemon has been busy with a command for {} s", kLimit.count());
  }
  if (call->refused) throw ControlBusy("the daemon is stopping");
  if (!call->error.empty()) throw Error("{}", call->error);
}

void ControlGate::serve() {
  eventfd_t ignored = 0;
  (void)::eventfd_read(doorbell_.get(), &ignored);
  for (const auto& call : take()) {
    if (call->abandoned) continue;
    try {
      call->work();
    } catch (const std::exception& error) {
      call->error = error.what();
    }
    call->done.set_value();
  }
}

std::deque<std::shared_ptr<ControlGate::Call>> ControlGate::take() {
  const std::lock_guard lock{mutex_};
  return std::exchange(calls_, {});
}

void ControlGate::close() {
  {
    const std::lock_guard lock{mutex_};
    open_ = false;
  }
  for (const auto& call : take()) {
    call->refused = true;
    call->done.set_value();
  }
}

}  // namespace shunt

// SPDX-License-Identifier: Apache-2.0
#include "user/worker/mailbox.h"

#include <exception>
#include <future>
#include <memory>
#include <utility>

#include "user/base/error.h"

namespace shunt {

void Mailbox::run(std::function<void()> work, std::chrono::seconds limit) {
  struct Task {
    std::function<void()> work;
    std::exception_ptr error;
    std::promise<void> done;
  };
  auto task = std::make_shared<Task>(Task{std::move(work), nullptr, {}});
  std::future<void> done = task->done.get_future();
  post([task] {
    try {
      task->work();
    } catch (...) {
      task->error = std::current_exception();
    }
    task->done.set_value();
  });
  if (done.wait_for(limit) == std::future_status::timeout)
    throw Error("{} did not answer within {} s", owner_, limit.count());
  done.get();
  // Taken out of the task: what was thrown ends in this thread, whichever lets go of the task last.
  if (const std::exception_ptr error = std::exchange(task->error, nullptr)) std::rethrow_exception(error);
}

void Mailbox::post(std::function<void()> work) {
  {
    const std::lock_guard lock{mutex_};
    if (open_) {
      work_.push_back(std::move(work));
      work = nullptr;
    }
  }
  if (work)
    work();  // the owner's thread does not run: nobody else touches what it owns
  else
    doorbell_.ring();
}

bool Mailbox::take_and_run() {
  std::vector<std::function<void()>> taken;
  {
    const std::lock_guard lock{mutex_};
    taken.swap(work_);
  }
  for (const auto& work : taken) work();
  return !taken.empty();
}

bool Mailbox::empty() const {
  const std::lock_guard lock{mutex_};
  return work_.empty();
}

void Mailbox::open() {
  const std::lock_guard lock{mutex_};
  open_ = true;
}

void Mailbox::close() {
  {
    const std::lock_guard lock{mutex_};
    open_ = false;
  }
  take_and_run();
}

}  // namespace shunt

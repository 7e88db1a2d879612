// SPDX-License-Identifier: Apache-2.0
// Work that another thread hands to a thread and waits for: control's way to change what a worker or the revalidator
// owns.
//
// Threads: run() and post() by any thread but the owner; take_and_run() by the owner, between two packets or flows.
#pragma once

#include <chrono>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "user/worker/doorbell.h"

namespace shunt {

class Mailbox {
 public:
  Mailbox(Doorbell& doorbell, std::string owner) : doorbell_{doorbell}, owner_{std::move(owner)} {}

  // Runs `work` in the owner's thread and returns when it has ended; what it throws comes out here. Throws Error when
  // the owner does not answer within `limit`; the work may still run later, so it must own what it uses. Before the
  // owner's thread was started and after it was joined the work runs at once, in the caller's thread.
  void run(std::function<void()> work, std::chrono::seconds limit = std::chrono::seconds{60});
  // The same, not waited for; `work` must not throw.
  void post(std::function<void()> work);

  // The owner. True if there was something.
  bool take_and_run();
  [[nodiscard]] bool empty() const;
  void open();   // from here on the owner's thread runs what comes
  void close();  // by who joined it: runs the rest

 private:
  Doorbell& doorbell_;
  const std::string owner_;
  mutable std::mutex mutex_;
  bool open_ = false;
  std::vector<std::function<void()>> work_;
};

}  // namespace shunt

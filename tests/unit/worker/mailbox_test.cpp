// SPDX-License-Identifier: Apache-2.0
#include "user/worker/mailbox.h"

#include <doctest/doctest.h>

#include <atomic>
#include <thread>

#include "user/base/error.h"

using namespace shunt;

namespace {

// A thread that does nothing but what its mailbox holds.
struct Owner {
  Doorbell doorbell;
  Mailbox mailbox{doorbell, "the owner"};
  std::atomic<bool> stopping{false};
  std::thread thread;

  Owner() {
    mailbox.open();
    thread = std::thread{[this] {
      while (!stopping) {
        if (mailbox.take_and_run()) continue;
        doorbell.arm();
        if (mailbox.empty() && !stopping) doorbell.wait(std::chrono::seconds{10});
        doorbell.disarm();
      }
    }};
  }
  ~Owner() {
    stopping = true;
    doorbell.ring();
    thread.join();
    mailbox.close();
  }
};

}  // namespace

TEST_SUITE("mailbox") {
  TEST_CASE("work runs in the owner's thread and has ended when run() returns") {
    Owner owner;
    for (int i = 0; i < 1000; ++i) {
      auto where = std::make_shared<std::thread::id>();
      owner.mailbox.run([where] { *where = std::this_thread::get_id(); });
      REQUIRE(*where == owner.thread.get_id());
    }
  }

  TEST_CASE("what the work throws comes out in the caller's thread") {
    Owner owner;
    CHECK_THROWS_WITH_AS(owner.mailbox.run([] { throw Error("no such thing"); }), "no such thing", Error);
    owner.mailbox.run([] {});  // and the owner goes on
  }

  TEST_CASE("an owner that does not answer ends in an error and not in a wait for ever") {
    Doorbell doorbell;
    Mailbox mailbox{doorbell, "nobody"};
    mailbox.open();
    CHECK_THROWS_WITH_AS(mailbox.run([] {}, std::chrono::seconds{0}), "nobody did not answer within 0 s", Error);
  }

  TEST_CASE("without an owner's thread the work runs in the caller's") {
    Doorbell doorbell;
    Mailbox mailbox{doorbell, "nobody"};
    bool ran = false;
    mailbox.run([&] { ran = true; });
    CHECK(ran);
    bool late = false;
    mailbox.open();
    mailbox.post([&] { late = true; });
    CHECK_FALSE(late);
    mailbox.close();
    CHECK(late);
  }
}

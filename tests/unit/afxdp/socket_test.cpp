// SPDX-License-Identifier: Apache-2.0
// Sockets over a real veth pair in a namespace of the test's own: skipped without root.
#include "user/afxdp/socket.h"

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "user/base/error.h"

using namespace shunt;

namespace {

// veth pair "near" and "far" in a new network namespace, which this process keeps to.
struct Pair {
  Pair() {
    REQUIRE(::unshare(CLONE_NEWNET) == 0);
    REQUIRE(std::system("ip link add near numrxqueues 2 numtxqueues 2 mtu 9000 type veth "
                        "peer name far numrxqueues 2 numtxqueues 2 mtu 9000 && "
                        "ip link set near up && ip link set far up") == 0);
  }
  [[nodiscard]] static XskSocket::Options near(std::uint32_t queue = 0) {
    XskSocket::Options options;
    options.ifindex = Ifindex{::if_nametoindex("near")};
    options.name = "near";
    options.queue = QueueId{queue};
    options.try_zero_copy = true;  // veth has none: the socket must come up all the same
    options.ring_size = 256;
    options.fill_target = 64;
    return options;
  }
};

// Reads what comes out of "far".
struct Receiver {
  Receiver() : fd{::socket(AF_PACKET, SOCK_RAW, htons(kType))} {
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_protocol = htons(kType);
    address.sll_ifindex = static_cast<int>(::if_nametoindex("far"));
    REQUIRE(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  }
  std::vector<std::uint8_t> receive() const {
    pollfd descriptor{fd.get(), POLLIN, 0};
    if (::poll(&descriptor, 1, 2000) <= 0) return {};
    std::vector<std::uint8_t> frame(10'000);
    const ssize_t size = ::recv(fd.get(), frame.data(), frame.size(), 0);
    frame.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
    return frame;
  }
  static constexpr std::uint16_t kType = 0x88b5;  // IEEE 802: local experiments
  UniqueFd fd;
};

// A frame of `size` bytes in the UMEM, in as many descriptors as it takes.
std::vector<XskDescriptor> make_frame(Umem& umem, FrameCache& frames, std::size_t size, std::uint8_t mark) {
  std::vector<std::uint8_t> bytes(size, mark);
  std::memset(bytes.data(), 0xff, 6);
  bytes[12] = Receiver::kType >> 8;
  bytes[13] = Receiver::kType & 0xff;
  std::vector<XskDescriptor> packet;
  for (std::size_t at = 0; at < size;) {
    Frame frame = 0;
    REQUIRE(frames.take(frame));
    umem.hand(frame, Hand::kBatch);
    const std::size_t part = std::min<std::size_t>(size - at, Umem::kFrameSize);
    std::memcpy(umem.data(Umem::address_of(frame)), bytes.data() + at, part);
    at += part;
    packet.push_back({Umem::address_of(frame), static_cast<std::uint32_t>(part), at < size ? kContinued : 0});
  }
  return packet;
}

}  // namespace

TEST_SUITE("xsk socket" * doctest::skip(::geteuid() != 0)) {
  TEST_CASE("what is sent arrives whole and in order, and every frame comes back") {
    const Pair pair;
    const Receiver receiver;
    Umem umem{1024};
    FrameCache frames{umem.pool()};
    {
      XskSocket socket{umem, Pair::near()};
      CHECK_FALSE(socket.zero_copy());
      socket.refill(frames);
      CHECK(umem.census().kernel_rx == 64);
      for (std::uint8_t i = 0; i < 40; ++i) REQUIRE(socket.send(make_frame(umem, frames, 100u + i, i)));
      CHECK(umem.census().kernel_tx == 40);
      CHECK(socket.kick());
      for (std::uint8_t i = 0; i < 40; ++i) {
        const auto frame = receiver.receive();
        REQUIRE(frame.size() == 100u + i);
        CHECK(frame.back() == i);
      }
      CHECK(socket.reap(frames) == 40);
      CHECK(socket.in_flight() == 0);
      const FrameCensus census = umem.census();
      CHECK(census.kernel_tx == 0);
      CHECK(census.batch == 0);
      CHECK(census.total() == 1024);
      if (socket.multi_buffer()) {
        REQUIRE(socket.send(make_frame(umem, frames, 9000, 0x77)));
        CHECK(umem.census().kernel_tx == 3);
        CHECK(socket.kick());
        const auto frame = receiver.receive();
        CHECK(frame.size() == 9000);
      }
      REQUIRE(socket.send(make_frame(umem, frames, 100, 1)));  // still queued when the socket closes
    }
    frames.flush();
    CHECK(umem.census().pool == 1024);
    CHECK(umem.pool().free_count() == 1024);
  }

  TEST_CASE("a full ring takes no half packet") {
    const Pair pair;
    Umem umem{1024};
    FrameCache frames{umem.pool()};
    XskSocket socket{umem, Pair::near()};
    if (!socket.multi_buffer()) return;
    for (int i = 0; i < 255; ++i) REQUIRE(socket.send(make_frame(umem, frames, 60, 1)));
    const auto jumbo = make_frame(umem, frames, 9000, 1);
    CHECK_FALSE(socket.send(jumbo));
    CHECK(umem.census().batch == jumbo.size());
    CHECK(socket.send(make_frame(umem, frames, 60, 1)));
  }

  TEST_CASE("sockets of two queues share one memory, and one that closes takes nothing of the other's") {
    const Pair pair;
    Umem umem{1024};
    FrameCache frames{umem.pool()};
    auto first = std::make_unique<XskSocket>(umem, Pair::near(0));
    XskSocket second{umem, Pair::near(1)};
    first->refill(frames);
    second.refill(frames);
    const std::uint32_t both = umem.census().kernel_rx;
    first.reset();
    CHECK(umem.census().kernel_rx < both);
    CHECK(umem.census().kernel_rx > 0);
    CHECK(second.send(make_frame(umem, frames, 60, 1)));
    CHECK(second.kick());
    XskSocket third{umem, Pair::near(0)};  // shares with the second, the first being gone
    CHECK(third.send(make_frame(umem, frames, 60, 1)));
    CHECK(third.kick());
  }

  TEST_CASE("a queue that is taken, and an interface that is not there, are refused by name") {
    const Pair pair;
    Umem umem{256}, other{256};
    const XskSocket owner{umem, Pair::near()};
    try {
      const XskSocket intruder{other, Pair::near()};
      FAIL("two owners of one queue");
    } catch (const Error& error) {
      const std::string text = error.what();
      CHECK(text.find("'near'") != std::string::npos);
      CHECK(text.find("queue 0") != std::string::npos);
      CHECK(text.find("--queues") != std::string::npos);
    }
    XskSocket::Options nowhere = Pair::near();
    nowhere.ifindex = Ifindex{9999};
    CHECK_THROWS_AS((XskSocket{other, nowhere}), Error);
    CHECK(other.census().pool == 256);
  }
}

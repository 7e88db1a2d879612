// SPDX-License-Identifier: Apache-2.0
#include "user/afxdp/umem.h"

#include <doctest/doctest.h>

#include <cstring>
#include <string>

#include "user/base/error.h"

using namespace shunt;

TEST_SUITE("umem") {
  TEST_CASE("every frame starts in the pool and is writable to its last byte") {
    Umem umem{128};
    CHECK(umem.census().pool == 128);
    CHECK(umem.census().total() == 128);
    std::memset(umem.area(), 0x5a, umem.size());
    CHECK(umem.data(umem.size() - 1)[0] == std::byte{0x5a});
  }

  TEST_CASE("a hand-over moves a frame from one hand to the other") {
    Umem umem{64};
    umem.hand(3, Hand::kBatch);
    umem.hand(4, Hand::kKernelRx, 1);
    umem.hand(5, Hand::kKernelTx, 1);
    const FrameCensus census = umem.census();
    CHECK(census.batch == 1);
    CHECK(census.kernel_rx == 1);
    CHECK(census.kernel_tx == 1);
    CHECK(census.pool == 61);
    CHECK(umem.holder(5) == Hand::kKernelTx);
  }

  TEST_CASE("a closed socket's frames come back, and nobody else's") {
    Umem umem{64};
    FrameCache cache{umem.pool()};
    for (int i = 0; i < 6; ++i) {
      Frame frame = 0;
      REQUIRE(cache.take(frame));
      umem.hand(frame, i < 2 ? Hand::kKernelRx : i < 4 ? Hand::kKernelTx : Hand::kBatch, i % 2 == 0 ? 7 : 8);
    }
    cache.flush();
    const std::uint32_t free_before = umem.pool().free_count();
    CHECK(umem.reclaim(7) == 2);
    CHECK(umem.pool().free_count() == free_before + 2);
    CHECK(umem.census().kernel_rx == 1);
    CHECK(umem.census().kernel_tx == 1);
    CHECK(umem.census().batch == 2);
    CHECK(umem.reclaim(7) == 0);
  }

  TEST_CASE("a registration is shared only by sockets of the same mode that are still open") {
    Umem umem{64};
    const XskMode copy{false, true}, zero_copy{true, true};
    CHECK(umem.sharable(copy) == -1);
    const std::uint16_t first = umem.enlist(10, copy);
    CHECK(umem.sharable(copy) == 10);
    CHECK(umem.sharable(zero_copy) == -1);
    const std::uint16_t second = umem.enlist(11, copy);
    umem.dismiss(first);
    CHECK(umem.sharable(copy) == 11);
    umem.dismiss(second);
    CHECK(umem.sharable(copy) == -1);
    CHECK(umem.enlist(12, zero_copy) == first);  // numbers are used again
  }

  TEST_CASE("a UMEM that memory cannot hold is refused with the remedy") {
    try {
      Umem umem{1u << 31};  // 8 TiB
      FAIL("took 8 TiB");
    } catch (const Error& error) {
      CHECK(std::string{error.what()}.find("--umem-frames") != std::string::npos);
    }
    CHECK_THROWS_AS(Umem{1}, Error);
  }
}

// SPDX-License-Identifier: Apache-2.0
#include "user/worker/credit_snapshot.h"

#include <algorithm>
#include <utility>

namespace shunt {

void CreditSnapshot::begin(const MegaflowTable& table, Done done) {
  at_ = 0;
  end_ = table.slot_end();
  taken_.assign(end_, false);
  credits_.clear();
  credits_.reserve(table.size());
  done_ = std::move(done);
}

void CreditSnapshot::follow(const MegaflowTable& table, std::uint32_t slot, const MegaflowTable::Counted& counted) {
  if (done_ && slot < end_) take(table, slot, counted);
}

bool CreditSnapshot::step(const MegaflowTable& table, std::uint32_t most) {
  if (!done_) return false;
  for (const std::uint32_t end = std::min(at_ + most, end_); at_ < end; ++at_) take(table, at_, {});
  if (at_ < end_) return true;
  taken_ = {};
  std::exchange(done_, nullptr)(std::exchange(credits_, {}));
  return true;
}

void CreditSnapshot::take(const MegaflowTable& table, std::uint32_t slot, const MegaflowTable::Counted& less) {
  if (taken_[slot]) return;
  taken_[slot] = true;
  if (table.flow(slot) == nullptr) return;
  FlowCredit credit = table.credited(slot);
  if (credit.packets == less.packets) return;  // it had none
  credit.packets -= less.packets;
  credit.bytes -= less.bytes;
  credit.seen_packets -= less.packets;
  credit.seen_bytes -= less.bytes;
  credit.seen_lost -= less.lost;
  credit.seen_delta -= static_cast<std::uint64_t>(less.delta);
  credits_.push_back(credit);
}

}  // namespace shunt

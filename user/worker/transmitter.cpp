// SPDX-License-Identifier: Apache-2.0
#include "user/worker/transmitter.h"

#include <algorithm>
#include <utility>

namespace shunt {
namespace {

// Room for a batch that floods to every port; beyond it packets are dropped as for a full ring, for nothing allocates
// here.
constexpr std::size_t kOutgoing = 4096;
constexpr std::size_t kFinished = 1024;

std::uint64_t length_of(std::span<const XskDescriptor> packet) noexcept {
  std::uint64_t length = 0;
  for (const XskDescriptor& part : packet) length += part.length;
  return length;
}

}  // namespace

Transmitter::Transmitter(unsigned self, Umem& umem, FrameCache& frames, Counters& counters, OrderGate& gate,
                         std::vector<Inbox*> inboxes)
    : self_{self}, umem_{umem}, frames_{frames}, counters_{counters}, gate_{gate}, inboxes_{std::move(inboxes)} {
  handed_to_.resize(inboxes_.size());
  dirty_.reserve(SHUNT_MAX_PORTS * 2);
  outgoing_.reserve(kOutgoing);
  finished_.reserve(kFinished + kOutgoing);
}

void Transmitter::set_route(DpPort port, XskSocket* socket, unsigned owner) {
  clear_route(port);
  routes_[port.value] = {socket, owner};
  if (socket == nullptr || socket->in_flight() == 0) return;
  dirty_.push_back(socket);
  unsent_ = true;
}

void Transmitter::clear_route(DpPort port) {
  std::erase(dirty_, routes_[port.value].socket);
  routes_[port.value] = {};
}

void Transmitter::begin(DpPort in_port, std::uint32_t bucket) noexcept {
  if (finished_.size() == kFinished) flush();
  in_port_ = in_port;
  bucket_ = bucket;
  handed_over_from_ = outgoing_.size();
}

shunt_drop_reason Transmitter::send(DpPort port, std::span<const XskDescriptor> packet) noexcept {
  if (port.value >= routes_.size()) return SHUNT_DROP_NO_OUTPUT_PORT;
  const Route& route = routes_[port.value];
  if (route.socket != nullptr) return queue(*route.socket, port, packet) ? SHUNT_DROP_NONE : SHUNT_DROP_TX_RING_FULL;
  if (route.owner == kNoOwner) return SHUNT_DROP_NO_OUTPUT_PORT;
  if (outgoing_.size() + packet.size() > kOutgoing) return SHUNT_DROP_TX_RING_FULL;
  for (const XskDescriptor& part : packet)
    outgoing_.push_back({route.owner, {part, port, in_port_, Handover::kNoBucket}});
  return SHUNT_DROP_NONE;
}

// Whoever sends the packet's last output finishes it: this worker after its kick, or each one it was handed to, with
// the last that it gets.
void Transmitter::end() noexcept {
  if (bucket_ == Handover::kNoBucket) return;
  ++packet_;
  std::uint32_t workers = 0;
  for (std::size_t i = outgoing_.size(); i-- > handed_over_from_;) {
    Outgoing& output = outgoing_[i];
    if (std::exchange(handed_to_[output.owner], packet_) == packet_) continue;
    output.handover.finish = bucket_;
    ++workers;
  }
  if (workers == 0) finished_.push_back(bucket_);
  if (workers > 1) gate_.expect(bucket_, workers - 1);
}

void Transmitter::flush() noexcept {
  std::erase_if(dirty_, [](XskSocket* socket) { return socket->kick(); });
  unsent_ = !dirty_.empty();
  if (!outgoing_.empty()) hand_over();
  for (const std::uint32_t bucket : finished_) gate_.finish(bucket);
  finished_.clear();
}

std::uint32_t Transmitter::serve_inbox() noexcept {
  std::uint32_t count = 0;
  for (const auto& ring : inboxes_[self_]->rings) {
    std::array<XskDescriptor, Executor::kMaxDescriptors> packet;
    std::size_t parts = 0;
    Handover handover;
    // Bounded by what is there now; a packet's parts appear together.
    for (std::size_t left = ring->size(); left > 0 && ring->pop(handover); --left) {
      packet[parts++] = handover.part;
      if ((handover.part.options & kContinued) != 0 && parts < packet.size()) continue;
      const std::span<const XskDescriptor> whole = std::span{packet}.first(parts);
      XskSocket* socket = routes_[handover.port.value].socket;
      const bool sent = socket != nullptr && queue(*socket, handover.port, whole);
      if (!sent) {
        for (const XskDescriptor& part : whole) release(part);
        counters_.dropped(handover.in_port, socket == nullptr ? SHUNT_DROP_NO_OUTPUT_PORT : SHUNT_DROP_TX_RING_FULL);
      }
      if (handover.finish != Handover::kNoBucket) {
        if (finished_.size() == kFinished) flush();
        finished_.push_back(handover.finish);
      }
      parts = 0;
      ++count;
    }
  }
  if (count > 0) flush();
  return count;
}

bool Transmitter::inbox_empty() const noexcept {
  const auto& rings = inboxes_[self_]->rings;
  return std::all_of(rings.begin(), rings.end(), [](const auto& ring) { return ring->empty(); });
}

bool Transmitter::queue(XskSocket& socket, DpPort port, std::span<const XskDescriptor> packet) noexcept {
  if (packet.size() > 1 && !socket.multi_buffer()) return false;
  bool queued = socket.send(packet);
  for (int retry = 0; !queued && retry < kFullRetries; ++retry) {
    socket.kick();
    socket.reap(frames_);
    queued = socket.send(packet);
  }
  if (!queued) return false;
  counters_.sent(port, length_of(packet));
  if (std::find(dirty_.begin(), dirty_.end(), &socket) == dirty_.end()) dirty_.push_back(&socket);
  return true;
}

void Transmitter::hand_over() noexcept {
  for (std::size_t begin = 0; begin < outgoing_.size();) {
    // A packet's parts go together or not at all.
    std::size_t end = begin + 1;
    while ((outgoing_[end - 1].handover.part.options & kContinued) != 0) ++end;
    Inbox& inbox = *inboxes_[outgoing_[begin].owner];
    SpscRing<Handover>& ring = *inbox.rings[self_];
    if (ring.push_all(end - begin, [&](std::size_t i) { return outgoing_[begin + i].handover; })) {
      inbox.doorbell.ring();
    } else {
      for (std::size_t i = begin; i < end; ++i) release(outgoing_[i].handover.part);
      const Handover& last = outgoing_[end - 1].handover;
      if (last.finish != Handover::kNoBucket) finished_.push_back(last.finish);
      counters_.dropped(last.in_port, SHUNT_DROP_TX_RING_FULL);
    }
    begin = end;
  }
  outgoing_.clear();
}

void Transmitter::release(const XskDescriptor& part) noexcept {
  const Frame frame = Umem::frame_of(part.address);
  umem_.hand(frame, Hand::kPool);
  frames_.give(frame);
}

}  // namespace shunt

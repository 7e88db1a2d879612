// SPDX-License-Identifier: Apache-2.0
// Runs a translation's actions over a packet in userspace, by the same code as the kernel (bpf/datapath/act.h), and
// passes each output to a sink. Every output but the last gets a copy; the last one gets the frame that came. A packet
// in several frames is put together in a side buffer and taken apart again for each output.
//
// Whatever happens, every frame of the packet ends with the sink or in the frame cache.
//
// Threads: a worker's own. Nothing here allocates or throws.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "bpf/datapath/act.h"
#include "maps/drop_reason.h"
#include "maps/port.h"
#include "user/afxdp/socket.h"
#include "user/afxdp/umem.h"
#include "user/base/strong_types.h"
#include "user/pipeline/translate.h"

namespace shunt {

// Where outputs go.
class FrameSink {
 public:
  // SHUNT_DROP_NONE: the frames are the sink's. Otherwise why not, and they are still the caller's.
  [[nodiscard]] virtual shunt_drop_reason send(DpPort port, std::span<const XskDescriptor> packet) noexcept = 0;

 protected:
  ~FrameSink() = default;
};

class Executor {
 public:
  // The longest packet: 64 KiB and its tags.
  static constexpr std::uint32_t kMaxPacket = 1 << 16;
  static constexpr std::uint32_t kMaxDescriptors = kMaxPacket / Umem::kFrameSize + 2;

  Executor(Umem& umem, FrameCache& frames, std::span<const shunt_port> ports);

  // Takes over a received packet's frames (kMaxDescriptors at most) and parses it. Anything but SHUNT_DROP_NONE:
  // dropped, and the frames are back in the cache.
  [[nodiscard]] shunt_drop_reason load(std::span<const XskDescriptor> packet, DpPort in_port) noexcept;
  [[nodiscard]] const FlowKey& key() const noexcept { return key_; }
  [[nodiscard]] std::uint32_t length() const noexcept { return length_; }
  // Completes a checksum that a local stack left to the card, where the kernel side could not. False: nor can this.
  [[nodiscard]] bool complete_checksum() noexcept;
  // Runs the actions over the loaded packet and lets go of it. Returns SHUNT_DROP_NONE where it went out anywhere, else
  // why it did not.
  [[nodiscard]] shunt_drop_reason run(const Translation& translation, FrameSink& sink) noexcept;
  // Lets go of the loaded packet.
  void discard() noexcept;

 private:
  static constexpr std::uint32_t kHeadroom = 256;

  [[nodiscard]] shunt_drop_reason output(const shunt_action& action, bool last, FrameSink& sink) noexcept;
  [[nodiscard]] shunt_drop_reason send_copy(DpPort port, shunt_frame frame, shunt_headers headers,
                                            FrameSink& sink) noexcept;
  [[nodiscard]] shunt_drop_reason send_itself(DpPort port, FrameSink& sink) noexcept;
  [[nodiscard]] bool fits(DpPort port, std::uint32_t length, std::uint32_t tags) const noexcept;
  void release(std::span<const XskDescriptor> packet) noexcept;
  void release(Frame frame) noexcept;

  Umem& umem_;
  FrameCache& frames_;
  std::span<const shunt_port> ports_;
  const std::unique_ptr<__u8[]> side_buffer_;
  FlowKey key_{};
  shunt_headers headers_{};
  shunt_frame frame_{};
  DpPort in_port_;
  std::uint32_t length_ = 0;  // as received
  bool in_umem_ = false;      // frame_ is one UMEM frame, `held_`
  Frame held_ = 0;
};

}  // namespace shunt

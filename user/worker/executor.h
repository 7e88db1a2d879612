// SPDX-License-Identifier: Apache-2.0
// Runs a translation's actions over a packet in userspace, by the same code as the kernel (bpf/datapath/act.h), and
// passes each output to a sink. Every output but the last gets a copy; the last one gets the frame that came. A packet
// in several frames is put together in a side buffer and taken apart again for each output.
//
// Whatever happens, every frame of the packet ends with the sink or in the frame cache. What ends a packet half way (a
// meter, a TTL that runs out, an edit that cannot be made) ends only what is between SAVE and RESTORE, where it is
// between them.
//
// Threads: a worker's own. Nothing here allocates or throws, but for the reports' receiver.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "bpf/datapath/act.h"
#include "maps/drop_reason.h"
#include "maps/meter.h"
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

// Who hears of the packets that actions report. `frame` is the packet as it is at that point, for the time of the call.
class PacketReports {
 public:
  virtual void packet_in(const Translation& translation, const Translation::Controller& controller,
                         PacketInReason reason, std::span<const std::uint8_t> frame) noexcept = 0;
  virtual void sample(const Translation& translation, const SampleAction& sample,
                      std::span<const std::uint8_t> frame) noexcept = 0;
  // It went out nowhere.
  virtual void dropped(shunt_drop_reason reason, std::span<const std::uint8_t> frame) noexcept = 0;

 protected:
  ~PacketReports() = default;
};

// Seed and multiplier of the datapath's hashes (shunt_config).
struct HashKeys {
  std::uint64_t seed = 0, multiplier = 1;
};

class Executor {
 public:
  // The longest packet: 64 KiB and its tags.
  static constexpr std::uint32_t kMaxPacket = 1 << 16;
  static constexpr std::uint32_t kMaxDescriptors = kMaxPacket / Umem::kFrameSize + 2;
  // A packet that goes deeper, which no translation asks for, is dropped (translation).
  static constexpr std::size_t kMaxSaves = kMaxNestedCopies;

  // Without meters every packet passes them.
  Executor(Umem& umem, FrameCache& frames, std::span<const shunt_port> ports, std::span<shunt_meter> meters = {},
           const HashKeys& hash = {});

  // Takes over a received packet's frames (kMaxDescriptors at most) and parses it. Anything but SHUNT_DROP_NONE:
  // dropped, and the frames are back in the cache.
  [[nodiscard]] shunt_drop_reason load(std::span<const XskDescriptor> packet, DpPort in_port) noexcept;
  [[nodiscard]] const FlowKey& key() const noexcept { return key_; }
  [[nodiscard]] std::uint32_t length() const noexcept { return length_; }
  // The loaded packet's bytes: all of them.
  [[nodiscard]] std::span<const std::uint8_t> frame() const noexcept { return {frame_.data, frame_.len}; }
  // Completes a checksum that a local stack left to the card, where the kernel side could not. False: nor can this.
  [[nodiscard]] bool complete_checksum() noexcept;
  // Runs the actions over the loaded packet and lets go of it. Returns SHUNT_DROP_NONE where it went out anywhere, else
  // why it did not. `sampled`: the kernel's dice have picked it for its first SAMPLE; other dice are thrown here.
  [[nodiscard]] shunt_drop_reason run(const Translation& translation, FrameSink& sink, PacketReports* reports = nullptr,
                                      bool sampled = false) noexcept;
  // Lets go of the loaded packet.
  void discard() noexcept;

 private:
  static constexpr std::uint32_t kHeadroom = 256;

  // The frame as it was at a SAVE; its bytes are in saved_bytes_.
  struct Saved {
    shunt_frame frame;
    shunt_headers headers;
    std::size_t at;
  };
  // A run of one translation over the loaded packet.
  struct Run {
    const Translation& translation;
    FrameSink& sink;
    PacketReports* reports;
    bool sampled;
    bool sent = false;
    shunt_drop_reason reason = SHUNT_DROP_RULE;  // should it not be sent
  };

  enum class Then { kGoOn, kEndScope, kEnd };

  [[nodiscard]] Then step(Run& run, const shunt_action& action, bool last) noexcept;
  [[nodiscard]] bool edit(Run& run, const shunt_action& action) noexcept;
  [[nodiscard]] bool meter(const shunt_action& action) noexcept;
  void report(Run& run, const shunt_action& action) noexcept;
  void sample(Run& run, const shunt_action& action) noexcept;
  [[nodiscard]] bool save() noexcept;
  void restore() noexcept;
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
  std::span<shunt_meter> meters_;
  const HashKeys hash_;
  const std::unique_ptr<__u8[]> side_buffer_;
  const std::unique_ptr<__u8[]> saved_bytes_;  // one frame behind the other; memory that is not used is not there
  std::array<Saved, kMaxSaves> saved_{};
  std::size_t saved_count_ = 0;
  std::uint64_t dice_;  // xorshift
  FlowKey key_{};
  shunt_headers headers_{};
  shunt_frame frame_{};
  DpPort in_port_;
  std::uint32_t length_ = 0;  // as received
  bool in_umem_ = false;      // frame_ is one UMEM frame, `held_`
  Frame held_ = 0;
};

}  // namespace shunt

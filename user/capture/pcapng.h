// SPDX-License-Identifier: Apache-2.0
// Writes pcapng (draft-ietf-opsawg-pcapng): one section, Ethernet interfaces with times in nanoseconds, packets with
// their direction, what was lost before them and a comment, statistics at the end. Blocks are whole or not there: each
// is handed to the output in one piece.
//
// Threads: one.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace shunt {

class PcapngWriter {
 public:
  using Output = std::function<void(std::span<const std::uint8_t> block)>;  // may throw; good until it returns

  struct Packet {
    std::uint32_t interface = 0;  // of add_interface()
    std::uint64_t time = 0;       // since 1970, ns
    std::uint32_t length = 0;     // on the wire
    std::span<const std::uint8_t> bytes{};
    bool outbound = false;
    std::uint64_t lost = 0;      // between the one before and this one
    std::string_view comment{};  // empty: none
  };

  // Writes the section's header. `application` is what wrote the file.
  PcapngWriter(Output output, std::string_view application);

  // Returns the interface's number. `snaplen` 0: no limit.
  std::uint32_t add_interface(std::string_view name, std::string_view description, std::uint32_t snaplen);
  void write(const Packet& packet);
  // At the end, an interface: packets that were captured and lost between two times.
  void write_statistics(std::uint32_t interface, std::uint64_t begin, std::uint64_t end, std::uint64_t captured,
                        std::uint64_t lost);

 private:
  void begin_block(std::uint32_t type);
  void end_block();
  void add32(std::uint32_t value);
  void add_time(std::uint64_t time);
  void add_padded(std::span<const std::uint8_t> bytes);
  void add_option(std::uint16_t code, std::span<const std::uint8_t> value);
  void add_option(std::uint16_t code, std::string_view text);
  void add_option64(std::uint16_t code, std::uint64_t value);
  void end_options();

  Output output_;
  std::vector<std::uint8_t> block_;
  std::uint32_t interfaces_ = 0;
};

}  // namespace shunt

// SPDX-License-Identifier: Apache-2.0
// Frames of a capture file, by libpcap: pcap and pcapng. Only captures of Ethernet.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

struct pcap;

namespace shunt::cli {

class PcapFile {
 public:
  struct Frame {
    std::span<const std::uint8_t> bytes;  // as captured; good until the next call of next()
    std::uint32_t length = 0;             // on the wire
  };

  explicit PcapFile(const std::string& name);  // throws Error

  std::optional<Frame> next();  // nothing: the end. Throws Error

 private:
  struct Close {
    void operator()(pcap* capture) const noexcept;
  };
  std::string name_;
  std::unique_ptr<pcap, Close> capture_;
};

}  // namespace shunt::cli

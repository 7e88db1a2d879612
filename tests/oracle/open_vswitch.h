// SPDX-License-Identifier: Apache-2.0
// Debian's Open vSwitch, run beside the tests: ovsdb-server and ovs-vswitchd with a run directory and a network
// namespace of their own, one bridge, and dummy ports whose frames go in by its control socket and come out in capture
// files. Needs no root, and touches nothing of the host. Both daemons end with the object, and with the process however
// it ends.
//
// Threads: one.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tests/support/packet_builder.h"
#include "user/base/strong_types.h"
#include "user/base/unique_fd.h"

namespace shunt::test {

// What left a switch for one frame, by port: frames in the order they were sent there.
using Outputs = std::map<PortNo, std::vector<Bytes>>;

class OpenVswitch {
 public:
  // Why there can be none here, e.g. "ovs-vswitchd is not installed".
  [[nodiscard]] static std::optional<std::string> missing();

  // A bridge with ports 1 to `port_count` and LOCAL. Throws Error.
  explicit OpenVswitch(std::uint32_t port_count);
  ~OpenVswitch();
  OpenVswitch(const OpenVswitch&) = delete;
  OpenVswitch& operator=(const OpenVswitch&) = delete;

  [[nodiscard]] static std::string bridge() { return "br0"; }
  [[nodiscard]] static std::string port_name(PortNo port);

  // True where ovs-vswitchd still runs; waits a moment for one that may be about to end.
  [[nodiscard]] bool alive();
  // ovs-vsctl; returns once it is in force. Throws Error with what the command said.
  void configure(const std::vector<std::string>& words);
  // ovs-ofctl bundle: lines of "flow add ...", "group add ...". All or nothing. Throws Error likewise.
  void apply(const std::string& bundle);
  // A command of ovs-ofctl about the bridge, e.g. {"mod-port", "p1", "no-flood"}.
  std::string ofctl(const std::string& command, const std::vector<std::string>& words);
  // ovs-appctl. Throws Error.
  std::string command(const std::string& method, const std::vector<std::string>& words = {});

  // One frame in; all that comes of it.
  Outputs send(PortNo in_port, std::span<const std::byte> frame);
  // A packet-out of a controller, from the port CONTROLLER; all that comes of it. Throws Error where it is refused.
  Outputs packet_out(std::span<const std::byte> frame, const std::string& actions);
  // Frames in, with no look at what comes out; all of them are handled when this returns.
  void send_only(PortNo in_port, std::span<const Bytes> frames);
  // Waits until the daemon has gone once more around its loop.
  void settle();

 private:
  struct Capture {
    UniqueFd fd;
    off_t read_to = 0;
  };

  std::filesystem::path directory_;
  std::vector<pid_t> daemons_;
  UniqueFd control_;
  std::string unread_;  // of the control socket
  std::uint64_t next_id_ = 0;
  std::map<PortNo, Capture> captures_;

  void start(const std::vector<std::string>& words, const std::string& socket);
  void connect_control();
  void request(const std::string& method, const std::vector<std::string>& words, std::string& to);
  std::string reply();
  [[nodiscard]] std::uint64_t received_packets();  // by all ports
  void read_captures(Outputs& outputs);
  void stop() noexcept;
};

}  // namespace shunt::test

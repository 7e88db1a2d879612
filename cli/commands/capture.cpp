// SPDX-License-Identifier: Apache-2.0
// shunt capture, shunt captures
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <iostream>
#include <map>
#include <memory>
#include <optional>

#include "cli/capture_reader.h"
#include "cli/command.h"
#include "cli/pace.h"
#include "cli/pcap_filter.h"
#include "user/base/reasons.h"
#include "user/capture/pcapng.h"

namespace shunt::cli {
namespace {

constexpr std::chrono::milliseconds kPause{10};  // between two looks at rings that were empty

// The file that is written, a block at a time. Throws Error where it cannot be.
class CaptureFile {
 public:
  explicit CaptureFile(const std::string& name) : name_{name == "-" ? "standard output" : name} {
    file_ = name == "-" ? stdout : std::fopen(name.c_str(), "wb");
    if (file_ == nullptr) throw_errno(errno, fmt::format("capture '{}'", name));
  }
  ~CaptureFile() {
    if (file_ != stdout) std::fclose(file_);
  }
  CaptureFile(const CaptureFile&) = delete;
  CaptureFile& operator=(const CaptureFile&) = delete;

  void write(std::span<const std::uint8_t> block) {
    if (std::fwrite(block.data(), 1, block.size(), file_) != block.size()) fail();
  }
  void flush() {
    if (std::fflush(file_) != 0) fail();
  }

 private:
  [[noreturn]] void fail() const { throw_errno(errno, fmt::format("capture '{}': write", name_)); }

  std::string name_;
  std::FILE* file_;
};

std::uint64_t nanoseconds(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(now.tv_nsec);
}

// Packets as blocks of a pcapng file: an interface a port.
class Recording {
 public:
  Recording(CaptureFile& file, std::string bridge, std::uint32_t snaplen)
      : writer_{[&file](std::span<const std::uint8_t> block) { file.write(block); }, "shunt " SHUNT_VERSION},
        bridge_{std::move(bridge)},
        snaplen_{snaplen},
        since_1970_{nanoseconds(CLOCK_REALTIME) - nanoseconds(CLOCK_MONOTONIC)},
        begin_{nanoseconds(CLOCK_REALTIME)} {}

  // From now on packets of this datapath port are of an interface of this name.
  void name_port(std::uint32_t dp_port, const std::string& name) {
    const auto found = ports_.find(dp_port);
    if (found != ports_.end() && interfaces_[found->second].name == name) return;
    ports_[dp_port] = writer_.add_interface(name, fmt::format("port of bridge {}", bridge_), snaplen_);
    interfaces_.push_back({name, 0, 0});
  }

  void add(const CaptureReader::Packet& packet) {
    const shunt_capture_record& head = packet.head;
    if (!ports_.contains(head.port)) name_port(head.port, fmt::format("datapath port {}", head.port));
    const std::uint32_t number = ports_[head.port];
    std::string comment;
    if (head.stage == SHUNT_STAGE_DROP) {
      const auto reason = static_cast<shunt_drop_reason>(head.reason);
      comment = fmt::format("dropped: {}: {}", name_of(reason), help_of(reason));
    }
    writer_.write({.interface = number,
                   .time = head.time + since_1970_,
                   .length = head.length,
                   .bytes = packet.bytes,
                   .outbound = head.stage == SHUNT_STAGE_AFTER,
                   .lost = head.lost,
                   .comment = comment});
    ++interfaces_[number].packets;
    interfaces_[number].lost += head.lost;
    ++packets_;
    told_ += head.lost;
  }

  // Losses that no packet followed are the first interface's.
  void finish(std::uint64_t lost) {
    if (!interfaces_.empty() && lost > told_) interfaces_[0].lost += lost - told_;
    const std::uint64_t end = nanoseconds(CLOCK_REALTIME);
    for (std::uint32_t i = 0; i < interfaces_.size(); ++i)
      writer_.write_statistics(i, begin_, end, interfaces_[i].packets, interfaces_[i].lost);
  }

  [[nodiscard]] std::uint64_t packets() const { return packets_; }

 private:
  struct Interface {
    std::string name;
    std::uint64_t packets, lost;
  };
  PcapngWriter writer_;
  std::string bridge_;
  std::uint32_t snaplen_;
  std::uint64_t since_1970_, begin_;  // what to add to a record's time; when this began
  std::vector<Interface> interfaces_;
  std::map<std::uint32_t, std::uint32_t> ports_;  // datapath port -> interface
  std::uint64_t packets_ = 0, told_ = 0;
};

std::uint64_t number_in(const Invocation& invocation, const char* name, std::uint64_t most, std::uint64_t otherwise) {
  const auto value = invocation.number(name);
  if (value && (*value < 1 || *value > most)) throw UsageError("--{} {}: must be from 1 to {}", name, *value, most);
  return value.value_or(otherwise);
}

Json request_of(const Invocation& invocation) {
  Json request = {{"bridge", invocation.text("BR")}};
  if (const auto port = invocation.optional_text("PORT")) request["port"] = *port;
  const bool any = invocation.is_on("before") || invocation.is_on("after") || invocation.is_on("drops");
  request["before"] = !any || invocation.is_on("before");
  request["after"] = !any || invocation.is_on("after");
  request["drops"] = invocation.is_on("drops");
  request["snaplen"] = number_in(invocation, "snaplen", SHUNT_CAPTURE_BYTES, SHUNT_CAPTURE_BYTES);
  if (invocation.has("rate")) request["rate"] = number_in(invocation, "rate", 1'000'000'000, 0);
  if (invocation.has("buffer")) request["buffer_mib"] = number_in(invocation, "buffer", 1024, 0);
  if (const auto filter = invocation.optional_text("filter"))
    request["filter"] = format_filter(compile_filter(*filter));
  return request;
}

void take_notifications(Client& client, Recording& recording, std::chrono::milliseconds wait) {
  while (const auto notification = client.next_notification(wait)) {
    if (notification->method == "capture.port")
      recording.name_port(notification->params.at("dp_port").get<std::uint32_t>(),
                          notification->params.at("name").get<std::string>());
    wait = std::chrono::milliseconds{0};
  }
}

void tell_end(std::uint64_t packets, const Json& totals) {
  const auto full = totals.at("lost_ring").get<std::uint64_t>(), over = totals.at("lost_rate").get<std::uint64_t>();
  std::string line = fmt::format("{} packets captured, {} lost", packets, full + over);
  if (full != 0) line += fmt::format("; {} found the buffer full (--buffer, --snaplen, --filter)", full);
  if (over != 0) line += fmt::format("; {} were over the rate (--rate, --filter)", over);
  std::cerr << line << '\n';
}

int capture(const Invocation& invocation) {
  const auto name = invocation.optional_text("write");
  if (!name) throw UsageError("--write FILE is missing ('-' is standard output)");
  if (*name == "-" && ::isatty(STDOUT_FILENO) == 1)
    throw UsageError("--write -: that would go to a terminal; redirect it, as in '... --write - | tshark -r -'");
  const std::uint64_t count = number_in(invocation, "count", ~std::uint64_t{0}, ~std::uint64_t{0});
  const Json request = request_of(invocation);
  const auto seconds = invocation.seconds("seconds");

  Client& client = invocation.client();
  const Json started = client.call("capture.start", request);
  end_on_signals();  // until here, where it may have to wait for a program, a signal ends it at once: nothing has begun
  std::vector<UniqueFd> fds = client.take_fds();
  if (fds.size() != 2) throw Error("the daemon has not sent the capture's buffers");
  CaptureReader reader{std::move(fds[0]), std::move(fds[1]), started.at("workers").get<unsigned>(),
                       started.at("worker_ring_bytes").get<std::size_t>()};
  CaptureFile file{*name};
  Recording recording{file, invocation.text("BR"), request.at("snaplen").get<std::uint32_t>()};
  for (const Json& port : started.at("ports"))
    recording.name_port(port.at("dp_port").get<std::uint32_t>(), port.at("name").get<std::string>());
  file.flush();
  std::cerr << fmt::format("capturing on {} ports of {}\n", started.at("ports").size(), invocation.text("BR"));

  const auto add = [&](const CaptureReader::Packet& packet) {
    if (recording.packets() < count) recording.add(packet);
  };
  const TimePoint end =
      seconds ? Clock::now() + std::chrono::milliseconds{static_cast<std::int64_t>(*seconds * 1000)} : TimePoint::max();
  std::chrono::milliseconds pause{0};
  while (!is_interrupted() && recording.packets() < count && Clock::now() < end) {
    take_notifications(client, recording, pause);
    const std::size_t taken = reader.read(false, add);
    if (taken != 0) file.flush();
    pause = taken != 0 ? std::chrono::milliseconds{0} : kPause;
  }
  const Json totals = client.call("capture.stop", {{"capture", started.at("capture")}});
  take_notifications(client, recording, std::chrono::milliseconds{0});
  reader.read(true, add);
  recording.finish(totals.at("lost_ring").get<std::uint64_t>() + totals.at("lost_rate").get<std::uint64_t>());
  file.flush();
  tell_end(recording.packets(), totals);
  return kDone;
}

int captures(const Invocation& invocation) {
  return invocation.show("capture.list", Json::object(), [](const Json& answer) {
    std::vector<std::vector<std::string>> rows;
    for (const Json& one : answer.at("captures")) {
      std::string stages;
      for (const Json& stage : one.at("stages")) stages += (stages.empty() ? "" : ",") + cell(stage);
      rows.push_back({cell(one.at("capture")), cell(one.at("bridge")), cell(one.at("port")), stages,
                      cell(one.at("captured")), cell(one.at("lost_ring")), cell(one.at("lost_rate"))});
    }
    show_table({">ID", "BRIDGE", "PORT", "STAGES", ">CAPTURED", ">LOST-BUFFER", ">LOST-RATE"}, rows);
  });
}

}  // namespace

std::span<const Command> capture_commands() {
  static const std::vector<Command> commands = {
      {"capture",
       "",
       {"BR", "[PORT]"},
       "write packets of a bridge, or of one of its ports, to a pcapng file; ends on Ctrl-C",
       {{"write", "FILE", "the file; '-' is standard output"},
        {"before", "", "as they came in by the port (with --after the default)"},
        {"after", "", "as they go out by the port"},
        {"drops", "", "those that came in by the port and are dropped, with the reason as comment"},
        {"filter", "EXPR", "only those that this wants, in the words of pcap-filter(7)"},
        {"count", "N", "end after N packets"},
        {"seconds", "S", "end after S seconds"},
        {"snaplen", "BYTES", "of each packet, at most 16384, which is the default"},
        {"rate", "N", "packets a second that may be recorded in the kernel; 200000 without"},
        {"buffer", "MIB", "of the kernel's buffer; 8 without"}},
       false,
       capture},
      {"captures", "", {}, "show the captures that run", {}, true, captures},
  };
  return commands;
}

}  // namespace shunt::cli

// SPDX-License-Identifier: Apache-2.0
// The daemon's control socket from the client's side: one connection, one request at a time, every wait bounded.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "user/base/clock.h"
#include "user/base/error.h"
#include "user/base/unique_fd.h"

namespace shunt::cli {

using Json = nlohmann::ordered_json;  // shown as the daemon sent it

// The daemon says no; what() has OpenFlow's name of the error where there is one. `line` and `column` point into the
// text that was sent, where they are set; both count from 1.
class Refused : public Error {
 public:
  explicit Refused(const std::string& message) : Error("{}", message) {}
  std::optional<std::size_t> line, column;
};

// The daemon has done it, and could not write it down.
class NotStored : public Error {
 public:
  explicit NotStored(const std::string& message) : Error("{}", message) {}
};

class Client {
 public:
  // Connects at the first call. `timeout` is for each call as a whole.
  Client(const std::string& rundir, const std::string& instance, std::chrono::milliseconds timeout);

  // Throws Refused, NotStored, or Error where no answer comes.
  Json call(std::string_view method, const Json& params = Json::object());

  // What the daemon says unasked, to who has asked for that: nothing where none comes within `wait`, or where a signal
  // does. Throws Error where the daemon has ended.
  struct Notification {
    std::string method;
    Json params;
  };
  std::optional<Notification> next_notification(std::chrono::milliseconds wait);
  // File descriptors that came with replies.
  [[nodiscard]] std::vector<UniqueFd> take_fds() { return std::exchange(fds_, {}); }

 private:
  void connect();
  void send(const std::string& request, TimePoint deadline);
  Json receive(TimePoint deadline);
  [[nodiscard]] std::optional<std::string> next_line();
  void read_some();
  void wait(short events, TimePoint deadline) const;

  std::string instance_, path_;
  std::chrono::milliseconds timeout_;
  UniqueFd fd_;
  std::string received_;
  std::size_t scanned_ = 0;  // of it: no line ends there
  std::deque<Notification> notifications_;
  std::vector<UniqueFd> fds_;
  std::uint64_t next_id_ = 1;
};

}  // namespace shunt::cli

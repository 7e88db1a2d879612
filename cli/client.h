// SPDX-License-Identifier: Apache-2.0
// The daemon's control socket from the client's side: one connection, one request at a time, every wait bounded.
#pragma once

#include <chrono>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

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

 private:
  void connect();
  void send(const std::string& request, TimePoint deadline);
  std::string receive(TimePoint deadline);
  void wait(short events, TimePoint deadline) const;

  std::string instance_, path_;
  std::chrono::milliseconds timeout_;
  UniqueFd fd_;
  std::string received_;
  std::uint64_t next_id_ = 1;
};

}  // namespace shunt::cli

// SPDX-License-Identifier: Apache-2.0
// What the daemon shows over HTTP: /metrics for Prometheus, the page at /, its data at /api/, and /healthz. All figures
// are read from a StatsSnapshot that the control thread makes, at most four times a second however many ask; flows are
// looked into one at a time.
//
// Threads: made and destroyed by control; requests are answered in the server's threads.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "user/control/event_loop.h"
#include "user/control/instance_api.h"
#include "user/stats/snapshot.h"
#include "user/web/control_gate.h"
#include "user/web/http_server.h"

namespace shunt {

class Endpoint {
 public:
  // Borrows all three. Throws Error where the address cannot be had.
  Endpoint(const ListenAddress& address, EventLoop& loop, InstanceApi& instance, StatsSource& figures);
  ~Endpoint();

  [[nodiscard]] const ListenAddress& address() const { return server_->address(); }

 private:
  static constexpr std::chrono::milliseconds kFresh{250};
  struct Reading {
    StatsSnapshot snapshot;
    std::vector<FlowSnapshot> flows;
  };
  using ReadingRef = std::shared_ptr<const Reading>;

  HttpAnswer answer(const HttpRequest& request);
  HttpAnswer stats(const HttpRequest& request);
  HttpAnswer flow(const HttpRequest& request);
  [[nodiscard]] std::string flow_body(std::uint64_t id);  // empty: it is not cached any more
  [[nodiscard]] ReadingRef read(FlowOrder order);

  InstanceApi& instance_;
  StatsSource& figures_;
  ControlGate gate_;
  struct Kept {
    std::mutex mutex;  // held while a new reading is made: who comes meanwhile gets that one
    ReadingRef reading;
    TimePoint made{};
  };
  std::map<FlowOrder, Kept> kept_;
  struct {
    std::mutex mutex;
    std::uint64_t id = 0;
    std::string body;
    TimePoint made{};
  } kept_flow_;  // the last one that was asked for
  std::unique_ptr<HttpServer> server_;
};

}  // namespace shunt

// SPDX-License-Identifier: Apache-2.0
// The OpenFlow side of one bridge: the management socket, the controllers that it connects to or listens for, and all
// their connections; what the bridge does while no controller is there.
//
// A controller that cannot be reached, or is lost, is tried again after 1 s, then 2, up to 8. Thread: control.
#pragma once

#include <chrono>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "user/control/controller_api.h"
#include "user/control/controller_target.h"
#include "user/control/event_loop.h"
#include "user/openflow/bridge_agent.h"
#include "user/openflow/connection.h"
#include "user/openflow/tls.h"

namespace shunt::openflow {

class Endpoint {
 public:
  static constexpr std::chrono::milliseconds kProbeInterval{5'000};
  static constexpr std::chrono::seconds kMinBackoff{1}, kMaxBackoff{8};
  static constexpr std::size_t kMaxConnections = 128;  // that others made, to one address

  // `on_ready`: some session has something to do.
  Endpoint(EventLoop& loop, InstanceApi& instance, const std::string& bridge, const std::string& rundir,
           const TlsFiles& tls, std::function<void()> on_ready);
  ~Endpoint();
  Endpoint(const Endpoint&) = delete;
  Endpoint& operator=(const Endpoint&) = delete;

  [[nodiscard]] BridgeAgent& agent() { return agent_; }
  [[nodiscard]] const BridgeAgent& agent() const { return agent_; }

  // Lets every session do a piece of work: within InstanceApi::batch(). True: some has more to do, at once.
  bool run();
  // What was asked for in this turn could not be put in force: who was answered is given up.
  void take_back_answers();
  // Afterwards: sends what they wrote, and lets go of those that are over.
  void flush();
  void on_second();
  void resume();

  // Controllers and all else that the bridge is told. Throws, and leaves all as it was, where one cannot be listened
  // for. `adapts_rules`: the default rule goes and comes with the controllers.
  void adopt(const OpenFlowSettings& settings, bool adapts_rules);
  // The same at the start: a controller that cannot be is tried again, as one that is lost.
  void restore(const OpenFlowSettings& settings);
  [[nodiscard]] std::vector<ControllerStatus> status() const;
  [[nodiscard]] FailMode fail_mode() const { return fail_mode_; }

 private:
  struct Controller {
    std::string text;
    Target target;
    UniqueFd listener;                                   // where passive
    std::unique_ptr<Connection> connection;              // where active
    unsigned auxiliary_wanted = 0;                       // beside that one, while it is up
    std::vector<std::unique_ptr<Connection>> auxiliary;  // null: to be connected anew
    bool was_up = false;                                 // a version was agreed on
    std::chrono::seconds backoff{kMinBackoff};
    TimePoint next_try{}, since{};
    std::string last_error;
  };
  void announce(const Controller& controller, std::string_view what, const std::string& reason = {}) const;
  // One that somebody else made.
  struct Accepted {
    std::unique_ptr<Connection> connection;
    const Controller* from;  // null: the management socket
  };

  [[nodiscard]] std::unique_ptr<Transport> transport_of(UniqueFd socket, const Target& target) const;
  void accept_from(int listener, const Controller* controller);
  [[nodiscard]] bool is_crowded(const Controller* controller) const;
  void turn_away(UniqueFd socket, const Controller* controller);
  [[nodiscard]] Controller make_controller(const ControllerSettings& settings) const;
  [[nodiscard]] UniqueFd listen_for(const Controller& controller) const;
  void start(Controller& controller);
  void connect(Controller& controller);
  void connect_auxiliary(Controller& controller);
  void drop_auxiliary(Controller& controller);
  void lose(Controller& controller, std::string_view why = {});
  void reconnect_all();
  void close_listener(Controller& controller);
  [[nodiscard]] bool has_controller(Version newest) const;  // one that is connected, by that version or an older one
  void adapt();
  [[nodiscard]] bool has_standalone_rule();
  void set_standalone(bool on);
  void set_default_rule(bool on);
  template <typename Visit>
  void for_each_connection(Visit&& visit);

  EventLoop& loop_;
  InstanceApi& instance_;
  BridgeAgent agent_;
  const TlsFiles tls_;
  const std::function<void()> on_ready_;
  const std::string path_;
  UniqueFd management_;
  std::list<Controller> controllers_;  // addresses that last
  std::vector<Accepted> accepted_;
  FailMode fail_mode_ = FailMode::kStandalone;
  TimePoint last_controller_;  // when one was seen connected
  TimePoint next_adapt_{};     // after a failure
  TimePoint next_complaint_{};
  bool standalone_ = false, misses_to_old_ = false;
};

}  // namespace shunt::openflow

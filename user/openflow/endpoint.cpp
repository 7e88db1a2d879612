// SPDX-License-Identifier: Apache-2.0
#include "user/openflow/endpoint.h"

#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "user/base/error.h"
#include "user/base/unix_listener.h"
#include "user/openflow/codec/error_codec.h"

namespace shunt::openflow {
namespace {

constexpr int kAcceptsPerTurn = 16;
constexpr std::uint16_t kStandalonePriority = 65535;
constexpr std::uint64_t kStandaloneCookie = 0xfa110be7;

FlowMod normal_rule(FlowMod::Command command, std::uint16_t priority) {
  FlowMod mod;
  mod.command = command;
  mod.priority = priority;
  mod.table = 0;
  if (command == FlowMod::Command::kAdd) mod.actions = {OutputAction{kPortNormal}};
  return mod;
}

std::string_view name_of(Role role) {
  return role == Role::kMaster ? "master" : role == Role::kSlave ? "slave" : "equal";
}

}  // namespace

Endpoint::Endpoint(EventLoop& loop, InstanceApi& instance, const std::string& bridge, const std::string& rundir,
                   const TlsFiles& tls, std::function<void()> on_ready)
    : loop_{loop},
      instance_{instance},
      agent_{instance, instance.bridge_id(bridge), bridge},
      tls_{tls},
      on_ready_{std::move(on_ready)},
      path_{fmt::format("{}/{}.mgmt", rundir, bridge)},
      management_{listen_unix(path_, fmt::format("management socket '{}'", path_))},
      last_controller_{Clock::now()} {
  loop_.add(management_.get(), EPOLLIN, [this](std::uint32_t) { accept_from(management_.get(), nullptr); });
  // Left by a daemon that ended while it was alone: so it is until a controller comes.
  standalone_ = has_standalone_rule();
  if (standalone_) last_controller_ = TimePoint{};
}

Endpoint::~Endpoint() {
  loop_.remove(management_.get());
  ::unlink(path_.c_str());
  for (Controller& controller : controllers_) close_listener(controller);
}

template <typename Visit>
void Endpoint::for_each_connection(Visit&& visit) {
  for (Controller& controller : controllers_) {
    if (controller.connection) visit(*controller.connection);
    for (const auto& auxiliary : controller.auxiliary)
      if (auxiliary) visit(*auxiliary);
  }
  for (Accepted& accepted : accepted_) visit(*accepted.connection);
}

bool Endpoint::run() {
  bool more = false;
  for_each_connection([&](Connection& connection) { more = connection.run() || more; });
  agent_.check_vacancies();
  return more;
}

void Endpoint::resume() {
  for_each_connection([](Connection& connection) { connection.session().resume(); });
}

void Endpoint::take_back_answers() {
  for_each_connection([](Connection& connection) { connection.session().take_back_answers(); });
}

void Endpoint::flush() {
  for_each_connection([](Connection& connection) { connection.flush(); });
  std::erase_if(accepted_, [](const Accepted& accepted) { return accepted.connection->is_over(); });
  for (Controller& controller : controllers_) {
    for (auto& auxiliary : controller.auxiliary)
      if (auxiliary && auxiliary->is_over()) auxiliary.reset();
    if (!controller.connection) continue;
    if (controller.connection->is_over()) {
      lose(controller);
    } else if (!controller.was_up && controller.connection->session().version()) {
      controller.was_up = true;
      controller.backoff = kMinBackoff;
      controller.since = Clock::now();
      spdlog::info("bridge '{}': controller {} is connected (OpenFlow {})", agent_.name(), controller.text,
                   openflow::name_of(*controller.connection->session().version()));
      announce(controller, "connected");
      connect_auxiliary(controller);
    }
  }
  adapt();
}

void Endpoint::on_second() {
  const TimePoint now = Clock::now();
  for (Controller& controller : controllers_) {
    if (controller.connection) {
      controller.connection->probe(now, kProbeInterval);
      for (const auto& auxiliary : controller.auxiliary)
        if (auxiliary) auxiliary->probe(now, kProbeInterval);
      connect_auxiliary(controller);
    } else if (!controller.listener && now >= controller.next_try) {
      connect(controller);
    }
  }
  // Who has connected to the management socket may be silent, once it has said hello.
  for (Accepted& accepted : accepted_)
    if (accepted.from != nullptr || !accepted.connection->session().version() || accepted.connection->lingers())
      accepted.connection->probe(now, kProbeInterval);
  for_each_connection([&](Connection& connection) { connection.session().expire_bundles(now); });
  flush();
}

void Endpoint::accept_from(int listener, const Controller* controller) {
  for (int i = 0; i < kAcceptsPerTurn; ++i) {
    UniqueFd fd{::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)};
    if (!fd) return;
    if (is_crowded(controller)) {
      turn_away(std::move(fd), controller);
      continue;
    }
    const Session::Kind kind = controller == nullptr ? Session::Kind::kService : Session::Kind::kController;
    try {
      auto transport = controller == nullptr ? std::make_unique<Transport>(std::move(fd))
                                             : transport_of(std::move(fd), controller->target);
      accepted_.push_back(
          {std::make_unique<Connection>(loop_, std::move(transport), agent_, kind, on_ready_), controller});
    } catch (const std::exception& error) {
      spdlog::error("bridge '{}': an OpenFlow connection is refused: {}", agent_.name(), error.what());
    }
  }
}

bool Endpoint::is_crowded(const Controller* controller) const {
  return std::ranges::count(accepted_, controller, &Accepted::from) >= static_cast<std::ptrdiff_t>(kMaxConnections);
}

// Told why, as far as a fresh socket takes it at once (and not by TLS, whose handshake would have to be waited for).
void Endpoint::turn_away(UniqueFd socket, const Controller* controller) {
  if (const TimePoint now = Clock::now(); now >= next_complaint_) {
    spdlog::warn("bridge '{}': more than {} OpenFlow connections{}: others are refused", agent_.name(), kMaxConnections,
                 controller == nullptr ? "" : " to " + controller->text);
    next_complaint_ = now + std::chrono::seconds{10};
  }
  if (controller != nullptr && controller->target.kind == Target::Kind::kTls) return;
  std::array<std::uint8_t, 256> hello{};
  [[maybe_unused]] const ssize_t unread = ::recv(socket.get(), hello.data(), hello.size(), MSG_DONTWAIT);
  Writer out;
  encode_hello(out, kVersions, 0);
  encode_hello_failed(out, OfErrorCode::kHelloNotPermitted, number_of(kVersions.back()), 0, "too many connections");
  [[maybe_unused]] const ssize_t sent =
      ::send(socket.get(), out.bytes().data(), out.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
}

std::unique_ptr<Transport> Endpoint::transport_of(UniqueFd socket, const Target& target) const {
  if (target.kind != Target::Kind::kTls) return std::make_unique<Transport>(std::move(socket));
  return std::make_unique<TlsTransport>(std::move(socket), tls_, target.passive);
}

void Endpoint::connect(Controller& controller) {
  try {
    controller.listener = listen_for(controller);
    if (controller.listener) return start(controller);
    auto transport = transport_of(connect_to(controller.target), controller.target);
    controller.connection =
        std::make_unique<Connection>(loop_, std::move(transport), agent_, Session::Kind::kController, on_ready_);
    controller.was_up = false;
  } catch (const std::exception& error) {
    controller.last_error = error.what();
    controller.next_try = Clock::now() + controller.backoff;
    controller.backoff = std::min(2 * controller.backoff, kMaxBackoff);
  }
}

// OpenFlow 1.3.5 section 6.3.5: only beside a main connection that is up, and of OpenFlow 1.3 and later.
void Endpoint::connect_auxiliary(Controller& controller) {
  if (!controller.was_up || *controller.connection->session().version() < Version::k13) return;
  controller.auxiliary.resize(controller.auxiliary_wanted);
  for (std::size_t i = 0; i < controller.auxiliary.size(); ++i) {
    std::unique_ptr<Connection>& auxiliary = controller.auxiliary[i];
    if (auxiliary) continue;
    try {
      auxiliary = std::make_unique<Connection>(loop_, transport_of(connect_to(controller.target), controller.target),
                                               agent_, Session::Kind::kController, on_ready_);
      controller.connection->session().add_auxiliary(auxiliary->session(), static_cast<std::uint8_t>(i + 1));
    } catch (const std::exception& error) {
      spdlog::debug("bridge '{}': auxiliary connection to {}: {}", agent_.name(), controller.text, error.what());
    }
  }
}

void Endpoint::drop_auxiliary(Controller& controller) { controller.auxiliary.clear(); }

void Endpoint::announce(const Controller& controller, std::string_view what, const std::string& reason) const {
  instance_.announce({.subject = SwitchEvent::Subject::kController,
                      .what = what,
                      .bridge = agent_.name(),
                      .controller = controller.text,
                      .reason = reason});
}

// `why`: empty where the connection itself says so.
void Endpoint::lose(Controller& controller, std::string_view why) {
  if (controller.was_up && why.empty())
    spdlog::warn("bridge '{}': controller {} is lost", agent_.name(), controller.text);
  const int error = controller.connection->error();
  controller.last_error = !why.empty() ? std::string{why}
                          : error != 0 ? std::generic_category().message(error)
                                       : "the connection was closed";
  if (std::exchange(controller.was_up, false)) {
    controller.since = Clock::now();
    announce(controller, "lost", controller.last_error);
  }
  drop_auxiliary(controller);  // they live and end with it
  controller.connection.reset();
  controller.next_try = Clock::now() + controller.backoff;
  controller.backoff = std::min(2 * controller.backoff, kMaxBackoff);
}

// Controllers know a bridge by its datapath id: they are to meet it anew.
void Endpoint::reconnect_all() {
  for (Controller& controller : controllers_) {
    if (!controller.connection) continue;
    lose(controller, "the datapath id was changed");
    controller.backoff = kMinBackoff;
    controller.next_try = Clock::now();
  }
  std::erase_if(accepted_, [](const Accepted& accepted) { return accepted.from != nullptr; });
}

Endpoint::Controller Endpoint::make_controller(const ControllerSettings& settings) const {
  check_controller(settings);
  Controller controller;
  controller.text = settings.target;
  controller.target = parse_target(settings.target);
  controller.auxiliary_wanted = settings.auxiliary;
  controller.since = Clock::now();
  return controller;
}

UniqueFd Endpoint::listen_for(const Controller& controller) const {
  if (controller.target.kind == Target::Kind::kTls && !tls_.complete())
    throw Error("'{}' needs shuntd's options --tls-key, --tls-certificate and --tls-authority", controller.text);
  return controller.target.passive ? listen_on(controller.target) : UniqueFd{};
}

void Endpoint::start(Controller& controller) {
  if (controller.listener)
    loop_.add(controller.listener.get(), EPOLLIN,
              [this, &controller](std::uint32_t) { accept_from(controller.listener.get(), &controller); });
  else if (!controller.target.passive)
    connect(controller);
}

void Endpoint::adopt(const OpenFlowSettings& settings, bool adapts_rules) {
  std::list<Controller> fresh;
  for (const ControllerSettings& each : settings.controllers) {
    if (const auto old = std::ranges::find(controllers_, each.target, &Controller::text); old != controllers_.end())
      continue;
    fresh.push_back(make_controller(each));
    fresh.back().listener = listen_for(fresh.back());
  }
  const auto is_default = [](bool any_controller, FailMode mode) {
    return !any_controller && mode == FailMode::kStandalone;
  };
  const bool before = is_default(!controllers_.empty(), fail_mode_);
  const bool after = is_default(!settings.controllers.empty(), settings.fail_mode);
  // What the packets of a bridge with a controller do is for the controller to say. It may be refused, and is done
  // first.
  if (adapts_rules && before != after) set_default_rule(after);
  const std::uint64_t old_id = agent_.datapath_id();
  agent_.set_datapath_id(settings.datapath_id);
  if (agent_.datapath_id() != old_id) reconnect_all();
  fail_mode_ = settings.fail_mode;
  for (auto at = controllers_.begin(); at != controllers_.end();) {
    const auto wanted = std::ranges::find(settings.controllers, at->text, &ControllerSettings::target);
    if (wanted == settings.controllers.end()) {
      close_listener(*at);
      std::erase_if(accepted_, [&](const Accepted& accepted) { return accepted.from == &*at; });
      at = controllers_.erase(at);
      continue;
    }
    if (std::exchange(at->auxiliary_wanted, wanted->auxiliary) != wanted->auxiliary) drop_auxiliary(*at);
    ++at;
  }
  const auto first = fresh.begin();
  const bool any = !fresh.empty();
  controllers_.splice(controllers_.end(), fresh);
  if (any) {
    for (auto at = first; at != controllers_.end(); ++at) start(*at);
    if (!standalone_) last_controller_ = Clock::now();
  }
  controllers_.sort([](const Controller& a, const Controller& b) { return a.text < b.text; });
  adapt();
}

void Endpoint::restore(const OpenFlowSettings& settings) {
  agent_.set_datapath_id(settings.datapath_id);
  fail_mode_ = settings.fail_mode;
  for (const ControllerSettings& each : settings.controllers) {
    try {
      controllers_.push_back(make_controller(each));
    } catch (const std::exception& error) {
      spdlog::error("bridge '{}': controller '{}' is not restored: {}", agent_.name(), each.target, error.what());
    }
  }
  if (!standalone_) last_controller_ = Clock::now();
  on_second();
}

void Endpoint::close_listener(Controller& controller) {
  if (!controller.listener) return;
  loop_.remove(controller.listener.get());
  if (controller.target.kind == Target::Kind::kUnix) ::unlink(controller.target.host.c_str());
  controller.listener.reset();
}

std::vector<ControllerStatus> Endpoint::status() const {
  const TimePoint now = Clock::now();
  std::vector<ControllerStatus> all;
  const auto describe = [](ControllerStatus& status, const Session& session) {
    status.connected |= session.version().has_value();
    if (session.version()) status.version = openflow::name_of(*session.version());
    status.role = name_of(session.role());
    status.lost += session.lost();
  };
  for (const Controller& controller : controllers_) {
    ControllerStatus status;
    status.target = controller.text;
    status.since = std::chrono::duration_cast<std::chrono::seconds>(now - controller.since);
    status.last_error = controller.last_error;
    if (controller.connection) describe(status, controller.connection->session());
    status.auxiliary = controller.auxiliary_wanted;
    for (const auto& auxiliary : controller.auxiliary)
      status.auxiliary_connected += auxiliary && auxiliary->session().version() ? 1 : 0;
    for (const Accepted& accepted : accepted_) {
      if (accepted.from != &controller) continue;
      describe(status, accepted.connection->session());
      ++status.connections;
    }
    if (status.connected) status.last_error.clear();
    all.push_back(std::move(status));
  }
  return all;
}

bool Endpoint::has_controller(Version newest) const {
  const auto is_one = [newest](const Connection& connection) {
    const std::optional<Version> version = connection.session().version();
    return version && *version <= newest;
  };
  return std::ranges::any_of(controllers_,
                             [&](const Controller& c) { return c.connection && is_one(*c.connection); }) ||
         std::ranges::any_of(accepted_, [&](const Accepted& a) { return a.from != nullptr && is_one(*a.connection); });
}

// Standalone when nothing was heard of any controller for three times as long as it takes to find out.
void Endpoint::adapt() {
  const TimePoint now = Clock::now();
  if (has_controller(kVersions.back())) last_controller_ = now;
  if (now < next_adapt_) return;
  const bool alone =
      !controllers_.empty() && fail_mode_ == FailMode::kStandalone && now - last_controller_ > 3 * kProbeInterval;
  try {
    if (alone != standalone_) set_standalone(alone);
    // Before OpenFlow 1.3 a controller gets what no rule matches.
    if (const bool old = has_controller(Version::k10); old != misses_to_old_) {
      instance_.set_misses_to_old(agent_.name(), old);
      misses_to_old_ = old;
    }
  } catch (const std::exception& error) {  // a table that is full
    spdlog::error("bridge '{}': {}", agent_.name(), error.what());
    next_adapt_ = now + std::chrono::seconds{1};
  }
}

bool Endpoint::has_standalone_rule() {
  FlowMod filter = normal_rule(FlowMod::Command::kDeleteStrict, kStandalonePriority);
  filter.cookie = kStandaloneCookie;
  filter.cookie_mask = ~std::uint64_t{0};
  const std::vector<RuleRef> rules = agent_.instance().flow_list(agent_.name(), filter);
  return std::ranges::any_of(rules, [](const RuleRef& rule) {
    return rule->priority == kStandalonePriority && is_zero(rule->match.mask) && rule->cookie == kStandaloneCookie;
  });
}

void Endpoint::set_standalone(bool on) {
  FlowMod mod = normal_rule(on ? FlowMod::Command::kAdd : FlowMod::Command::kDeleteStrict, kStandalonePriority);
  mod.cookie = kStandaloneCookie;
  if (!on) mod.cookie_mask = ~std::uint64_t{0};
  agent_.instance().flow_mod(agent_.name(), std::span{&mod, 1});
  standalone_ = on;
  spdlog::warn("bridge '{}': {}", agent_.name(),
               on ? "no controller: it acts as a learning switch" : "it is its controller's again");
}

// The rule that a new bridge has, where nobody has changed it.
void Endpoint::set_default_rule(bool on) {
  FlowMod filter = normal_rule(FlowMod::Command::kDeleteStrict, 0);
  const std::vector<RuleRef> rules = agent_.instance().flow_list(agent_.name(), filter);
  const auto is_default = [](const RuleRef& rule) {
    return rule->priority == 0 && is_zero(rule->match.mask) && rule->cookie == 0 &&
           rule->actions == ActionList{OutputAction{kPortNormal}};
  };
  const bool there = std::ranges::any_of(rules, is_default);
  if (on == there || (on && !rules.empty())) return;
  const FlowMod mod = normal_rule(on ? FlowMod::Command::kAdd : FlowMod::Command::kDeleteStrict, 0);
  agent_.instance().flow_mod(agent_.name(), std::span{&mod, 1});
}

}  // namespace shunt::openflow

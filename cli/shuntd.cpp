// SPDX-License-Identifier: Apache-2.0
// shuntd, the daemon: reads its options, builds the parts, joins them to one event loop, and runs until SIGTERM or
// SIGINT.
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <algorithm>
#include <boost/program_options.hpp>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdint>
#include <exception>
#include <fstream>
#include <iostream>
#include <iterator>
#include <optional>
#include <string>

#include "user/base/capabilities.h"
#include "user/base/cpu_list.h"
#include "user/base/error.h"
#include "user/base/privileges.h"
#include "user/config/config_load.h"
#include "user/control/commands.h"
#include "user/control/control_socket.h"
#include "user/control/event_loop.h"
#include "user/control/instance.h"
#include "user/control/instance_lock.h"
#include "user/control/not_yet.h"
#include "user/control/text.h"
#include "user/openflow/openflow.h"
#include "user/state/state_store.h"
#include "user/web/endpoint.h"

namespace po = boost::program_options;
using namespace shunt;

namespace {

constexpr int kRefused = 1, kUsage = 2;  // exit statuses

// A command line that cannot be right.
class UsageError : public Error {
  using Error::Error;
};

struct Settings {
  std::string rundir;
  std::optional<std::string> config;  // a file
  InstanceOptions instance;
  spdlog::level::level_enum log_level = spdlog::level::info;
  openflow::TlsFiles tls;
  bool keep_forwarding = false, detach = false;
  std::optional<std::string> group;
  std::optional<ListenAddress> metrics;
};

po::options_description option_descriptions() {
  const InstanceOptions defaults;
  const auto number = [](std::int64_t value) {
    return po::value<std::int64_t>()->default_value(value)->value_name("N");
  };
  const auto text = [](const char* value_name) { return po::value<std::string>()->value_name(value_name); };
  const double idle_seconds = std::chrono::duration<double>(defaults.idle_timeout).count();
  po::options_description options{"Options"};
  // clang-format off
  options.add_options()
    ("rundir", text("DIR")->default_value("/run/shunt"), "holds the control socket and the lock")
    ("statedir", text("DIR")->default_value("/var/lib/shunt"), "keeps what was set by command, in NAME.db")
    ("no-state", po::bool_switch(), "keep nothing: start empty, and forget all at the end")
    ("config", text("FILE"), "a configuration (docs/config.md) that the switch is to have from the start")
    ("instance", text("NAME")->default_value(defaults.name), "name of this switch; several run side by side")
    ("cores", text("LIST"), "a worker pinned on each of these, as in 0,2-3; default: one worker, not pinned")
    ("flow-limit", number(defaults.flow_limit), "cached flows, 1 to 2000000")
    ("idle-timeout", po::value<double>()->default_value(idle_seconds, fmt::format("{}", idle_seconds))
                         ->value_name("SECONDS"),
     "a cached flow without packets is removed after this, 0.1 to 86400")
    ("upcall-rate", number(defaults.upcall_rate), "misses a second that a port may send up, 1 to 100000000")
    ("upcall-burst", number(defaults.upcall_burst), "misses that it may send at once, 1 to 1000000")
    ("umem-frames", number(defaults.umem_frames), "packet buffers of 4096 bytes, 1024 to 4194304")
    ("port-mode", text("MODE")->default_value("auto"),
     "of ports that are attached without --mode: auto (what suits each), native, tcx or generic")
    ("busy-poll", po::bool_switch(), "workers poll their sockets without sleeping")
    ("group", text("NAME"), "what is made (control socket, state) belongs to this group, whose members may command")
    ("detach", po::bool_switch(), "take over what an earlier daemon left forwarding, detach it all in order, and end")
    ("keep-forwarding", po::bool_switch(), "at the end ports and cached flows stay, and go on forwarding")
    ("tls-key", text("FILE"), "private key (PEM) for controllers by ssl: and pssl:")
    ("tls-certificate", text("FILE"), "its certificate (PEM)")
    ("tls-authority", text("FILE"), "certificate (PEM) of who must have signed the controllers'")
    ("metrics", text("[ADDR:]PORT"), "figures by HTTP: for Prometheus at /metrics, a page at /; ADDR is 127.0.0.1 "
                                       "where none is given; port 0: any that is free")
    ("log-level", text("LEVEL")->default_value("info"), "trace, debug, info, warning, error, critical or off")
    ("version", po::bool_switch(), "show the version and end")
    ("help,h", po::bool_switch(), "show this text and end");
  // clang-format on
  return options;
}

void show_help(const po::options_description& options) {
  std::cout << "Usage: shuntd [OPTION]...\n"
               "Runs a switch in the foreground and logs to stderr; 'shunt' commands it. Ends cleanly on SIGTERM and "
               "SIGINT.\n\n"
            << options;
}

std::optional<PortMode> read_port_mode(const std::string& word) {
  const auto mode = port_mode_from(word);
  if (!mode && word != "auto")
    throw UsageError("--port-mode {}: must be one of auto, {}", word, fmt::join(kPortModes, ", "));
  return mode;
}

std::uint32_t number_in(const po::variables_map& values, const char* name, std::int64_t least, std::int64_t most) {
  const auto value = values[name].as<std::int64_t>();
  if (value < least || value > most) throw UsageError("--{} {}: must be from {} to {}", name, value, least, most);
  return static_cast<std::uint32_t>(value);
}

std::chrono::milliseconds idle_timeout(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0.1 || seconds > 86'400)
    throw UsageError("--idle-timeout {}: must be from 0.1 to 86400 seconds", seconds);
  return std::chrono::milliseconds{std::llround(seconds * 1000)};
}

spdlog::level::level_enum log_level(const std::string& name) {
  const auto level = spdlog::level::from_str(name);
  if (level == spdlog::level::off && name != "off")
    throw UsageError("--log-level {}: must be trace, debug, info, warning, error, critical or off", name);
  return level;
}

ListenAddress metrics_address(const std::string& text) {
  try {
    return parse_listen_address(text);
  } catch (const Error& error) {
    throw Error("--metrics {}: {}", text, error.what());
  }
}

Settings settings_of(const po::variables_map& values) {
  Settings settings;
  settings.rundir = values["rundir"].as<std::string>();
  if (values.count("config") != 0) settings.config = values["config"].as<std::string>();
  const auto optional_text = [&](const char* name) {
    return values.count(name) != 0 ? values[name].as<std::string>() : std::string{};
  };
  settings.tls = {optional_text("tls-key"), optional_text("tls-certificate"), optional_text("tls-authority")};
  settings.log_level = log_level(values["log-level"].as<std::string>());
  InstanceOptions& instance = settings.instance;
  instance.name = values["instance"].as<std::string>();
  try {
    check_instance_name(instance.name);
    if (values.count("cores") != 0)
      instance.cores = parse_cpu_list(values["cores"].as<std::string>(), available_cpus());
    if (values.count("metrics") != 0) settings.metrics = metrics_address(values["metrics"].as<std::string>());
  } catch (const Error& error) {
    throw UsageError("{}", error.what());
  }
  instance.flow_limit = number_in(values, "flow-limit", 1, 2'000'000);
  instance.idle_timeout = idle_timeout(values["idle-timeout"].as<double>());
  instance.upcall_rate = number_in(values, "upcall-rate", 1, 100'000'000);
  instance.upcall_burst = number_in(values, "upcall-burst", 1, 1'000'000);
  instance.umem_frames = number_in(values, "umem-frames", 1'024, 4'194'304);
  instance.busy_poll = values["busy-poll"].as<bool>();
  instance.port_mode = read_port_mode(values["port-mode"].as<std::string>());
  instance.counter_file = fmt::format("{}/{}.counters", settings.rundir, instance.name);
  settings.keep_forwarding = values["keep-forwarding"].as<bool>();
  settings.detach = values["detach"].as<bool>();
  if (settings.detach && settings.keep_forwarding)
    throw UsageError("--detach and --keep-forwarding are opposites: give one of them");
  if (values.count("group") != 0) settings.group = values["group"].as<std::string>();
  if (!values["no-state"].as<bool>())
    instance.state_directory = values["statedir"].as<std::string>();
  else if (!values["statedir"].defaulted())
    throw UsageError("--no-state keeps nothing, and --statedir says where: give one of them");
  return settings;
}

// Nothing where the command line asked for a text only.
std::optional<Settings> read_command_line(int argc, char** argv) {
  const po::options_description options = option_descriptions();
  const po::positional_options_description none;
  constexpr int style = po::command_line_style::default_style & ~po::command_line_style::allow_guessing;
  po::variables_map values;
  try {
    po::store(po::command_line_parser(argc, argv).options(options).positional(none).style(style).run(), values);
    po::notify(values);
  } catch (const po::error& error) {
    throw UsageError("{}", error.what());
  }
  if (values["help"].as<bool>()) {
    show_help(options);
    return std::nullopt;
  }
  if (values["version"].as<bool>()) {
    std::cout << "shuntd " SHUNT_VERSION "\n";
    return std::nullopt;
  }
  return settings_of(values);
}

void start_log(spdlog::level::level_enum level) {
  auto log = spdlog::stderr_color_mt("shuntd");
  log->set_level(level);
  log->set_pattern("%Y-%m-%d %H:%M:%S.%e %^%l%$ %v");
  spdlog::set_default_logger(std::move(log));
}

std::string read_file(const std::string& name) {
  std::ifstream file{name, std::ios::binary};
  if (!file) throw_errno(errno, "cannot be opened");
  std::string text{std::istreambuf_iterator<char>{file}, {}};
  if (file.bad()) throw Error("cannot be read");
  return text;
}

// What is wrong with the file is told, and the switch goes on with what it has.
void load_config_file(Instance& instance, const std::string& name) {
  try {
    for (const std::string& change : load_config(instance, read_file(name))) spdlog::info("{}: {}", name, change);
    instance.store_changes();
  } catch (const NotYet&) {  // flows of an earlier daemon are to stay in the kernel
    instance.wait_for_program();
    load_config_file(instance, name);
  } catch (const NotStored& error) {
    spdlog::error("configuration '{}': {}", name, error.what());
  } catch (const std::exception& error) {
    spdlog::error("configuration '{}' is not loaded: {}", name, error.what());
  }
}

// Tells a service manager of Type=notify, and feeds its watchdog for as long as all threads answer; without one,
// nothing happens (sd_notify(3), sd_watchdog_enabled(3)).
void tell_service_manager(EventLoop& loop, Instance& instance) {
  ::sd_notify(0, "READY=1");
  std::uint64_t microseconds = 0;
  if (::sd_watchdog_enabled(0, &microseconds) <= 0) return;
  const auto period = std::chrono::milliseconds{std::max<std::uint64_t>(microseconds / 3000, 1)};
  loop.every(period, [&instance] {
    instance.wait_for_threads();
    ::sd_notify(0, "WATCHDOG=1");
  });
}

void start_endpoint(std::optional<Endpoint>& endpoint, const ListenAddress& address, EventLoop& loop,
                    Instance& instance, StatsSource& figures) {
  endpoint.emplace(address, loop, instance, figures);
  spdlog::info("metrics at http://{}/metrics, a page at http://{}/", endpoint->address().text(),
               endpoint->address().text());
  if (!address.is_loopback())
    spdlog::warn("metrics: whoever reaches {} sees all figures, addresses and rules: there is no authentication",
                 endpoint->address().text());
}

// Each port takes a socket a queue and a link: many ports, more than the 1,024 files that a shell hands down.
void raise_file_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

void run(const Settings& settings) {
  const TimePoint started = Clock::now();
  check_kernel(running_kernel());
  for (const std::string& warning : check_capabilities(effective_capabilities())) spdlog::warn("{}", warning);
  drop_privileges(settings.group);
  std::signal(SIGPIPE, SIG_IGN);
  raise_file_limit();

  EventLoop loop;
  // Before any thread is started: they inherit the blocked signals, so that only the loop sees them.
  loop.on_signals({SIGTERM, SIGINT}, [&loop](int signal) {
    spdlog::info("stopping on {}", signal == SIGTERM ? "SIGTERM" : "SIGINT");
    loop.stop();
  });
  const InstanceLock lock{settings.rundir, settings.instance.name};
  Instance instance{settings.instance};
  instance.start();
  if (settings.detach) return instance.keep_forwarding(false);
  loop.add(instance.event_fd(), EPOLLIN, [&instance](std::uint32_t) { instance.handle_events(); });

  openflow::OpenFlow openflow{loop, instance, settings.rundir, settings.tls};
  InstanceListener listener;
  openflow.listen(listener);
  instance.listen(std::move(listener));
  if (settings.config) load_config_file(instance, *settings.config);

  Commands commands{instance, {settings.instance.name, SHUNT_VERSION, ::getpid(), started}, &openflow};
  const std::string socket_path = fmt::format("{}/{}.sock", settings.rundir, settings.instance.name);
  ControlSocket socket{loop, socket_path, [&commands](std::string_view line, ClientStream& client) {
                         return commands.handle(line, &client);
                       }};
  instance.on_program([&socket, &openflow] {
    socket.resume();
    openflow.resume();
  });
  loop.every(std::chrono::seconds{1}, [&commands] { commands.figures().watch(); });
  std::optional<Endpoint> endpoint;
  if (settings.metrics) start_endpoint(endpoint, *settings.metrics, loop, instance, commands.figures());
  spdlog::info("ready: instance '{}' on {}", settings.instance.name, socket_path);
  tell_service_manager(loop, instance);
  instance.keep_forwarding(true);  // should this daemon fail
  loop.run();
  ::sd_notify(0, "STOPPING=1");
  instance.keep_forwarding(settings.keep_forwarding);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const std::optional<Settings> settings = read_command_line(argc, argv);
    if (!settings) return 0;
    start_log(settings->log_level);
    run(*settings);
    spdlog::info("stopped");
    return 0;
  } catch (const UsageError& error) {
    std::cerr << "shuntd: " << error.what() << "\nTry 'shuntd --help'.\n";
    return kUsage;
  } catch (const std::exception& error) {
    std::cerr << "shuntd: " << error.what() << '\n';
    return kRefused;
  }
}

// SPDX-License-Identifier: Apache-2.0
#include "tests/oracle/open_vswitch.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "user/base/error.h"

namespace shunt::test {
namespace {

using namespace std::chrono_literals;

constexpr auto kSchema = "/usr/share/openvswitch/vswitch.ovsschema";
constexpr auto kPatience = 20s;  // of every wait
constexpr std::chrono::minutes kBulkPatience{10};  // for a batch, where each frame looks at thousands of masks
// The daemon takes at most this many requests of a connection before it looks at its ports again.
constexpr int kRequestsARound = 10;

std::optional<std::string> find_program(const std::string& name) {
  for (const char* folder : {"/usr/local/sbin/", "/usr/local/bin/", "/usr/sbin/", "/usr/bin/", "/sbin/", "/bin/"})
    if (::access((folder + name).c_str(), X_OK) == 0) return folder + name;
  return std::nullopt;
}

std::vector<char*> argv_of(const std::vector<std::string>& words) {
  std::vector<char*> argv;
  for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  return argv;
}

[[noreturn]] void become(const std::vector<std::string>& words, const std::string& directory) {
  for (const char* variable : {"OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR"})
    ::setenv(variable, directory.c_str(), 1);
  const std::string program = find_program(words.front()).value_or(words.front());
  ::execv(program.c_str(), argv_of(words).data());
  ::_exit(127);
}

// Runs a program to its end; what it wrote. Throws Error with that where it failed.
std::string run(const std::vector<std::string>& words, const std::string& directory) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw Error("pipe: {}", std::strerror(errno));
  UniqueFd from{ends[0]};
  UniqueFd to{ends[1]};
  const pid_t child = ::fork();
  if (child < 0) throw Error("fork: {}", std::strerror(errno));
  if (child == 0) {
    ::dup2(to.get(), STDOUT_FILENO);
    ::dup2(to.get(), STDERR_FILENO);
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    become(words, directory);
  }
  to = UniqueFd{};
  std::string output;
  std::array<char, 4096> part{};
  for (;;) {
    const ssize_t size = ::read(from.get(), part.data(), part.size());
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) break;
    output.append(part.data(), static_cast<std::size_t>(size));
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) throw Error("{}: {}", words.front(), output);
  return output;
}

// The end of the JSON object that `text` begins with, or 0 where it is not all there.
std::size_t object_end(const std::string& text) {
  int depth = 0;
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (quoted) {
      if (text[i] == '\\')
        ++i;
      else if (text[i] == '"')
        quoted = false;
    } else if (text[i] == '"') {
      quoted = true;
    } else if (text[i] == '{') {
      ++depth;
    } else if (text[i] == '}' && --depth == 0) {
      return i + 1;
    }
  }
  return 0;
}

std::string hex(std::span<const std::byte> bytes) {
  static constexpr auto kDigits = "0123456789abcdef";
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const std::byte byte : bytes) {
    text += kDigits[std::to_integer<unsigned>(byte) >> 4];
    text += kDigits[std::to_integer<unsigned>(byte) & 15];
  }
  return text;
}

}  // namespace

std::optional<std::string> OpenVswitch::missing() {
  for (const char* program : {"ovsdb-tool", "ovsdb-server", "ovs-vswitchd", "ovs-vsctl", "ovs-ofctl"})
    if (!find_program(program)) return std::string{program} + " is not installed (Debian: openvswitch-switch)";
  if (::access(kSchema, R_OK) != 0) return std::string{kSchema} + " is missing";
  return std::nullopt;
}

std::string OpenVswitch::port_name(PortNo port) {
  return port == kPortLocal ? bridge() : "p" + std::to_string(port.value);
}

OpenVswitch::OpenVswitch(std::uint32_t port_count) {
  std::string name = (std::filesystem::temp_directory_path() / "shunt-oracle-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) throw Error("mkdtemp {}: {}", name, std::strerror(errno));
  directory_ = name;
  try {
    const std::string database = directory_ / "conf.db", socket = directory_ / "db.sock";
    const std::string log = "--log-file=" + (directory_ / "log").string();
    run({"ovsdb-tool", "create", database, kSchema}, directory_);
    start({"ovsdb-server", "-vconsole:off", "--remote=punix:" + socket,
           "--unixctl=" + (directory_ / "ovsdb.ctl").string(), database},
          socket);
    run({"ovs-vsctl", "--no-wait", "--db=unix:" + socket, "init"}, directory_);
    const std::string control = directory_ / "vswitchd.ctl";
    start({"ovs-vswitchd", "-vconsole:off", log, "--enable-dummy=override", "--disable-system", "--unixctl=" + control,
           "unix:" + socket},
          control);
    connect_control();
    std::vector<std::string> words{"add-br",
                                   bridge(),
                                   "--",
                                   "set",
                                   "bridge",
                                   bridge(),
                                   "datapath_type=dummy",
                                   "fail-mode=secure",
                                   "protocols=OpenFlow10,OpenFlow13,OpenFlow14,OpenFlow15"};
    for (std::uint32_t i = 0; i <= port_count; ++i) {
      const PortNo port = i == 0 ? kPortLocal : PortNo{i};
      const std::string capture = directory_ / (port_name(port) + ".pcap");
      if (i != 0) words.insert(words.end(), {"--", "add-port", bridge(), port_name(port)});
      words.insert(words.end(), {"--", "set", "interface", port_name(port), "options:tx_pcap=" + capture});
      if (i != 0) words.insert(words.end(), {"type=dummy", "ofport_request=" + std::to_string(i)});
    }
    configure(words);
    for (std::uint32_t i = 0; i <= port_count; ++i) {
      const PortNo port = i == 0 ? kPortLocal : PortNo{i};
      const std::string capture = directory_ / (port_name(port) + ".pcap");
      UniqueFd fd{::open(capture.c_str(), O_RDONLY | O_CLOEXEC)};
      if (fd.get() < 0) throw Error("{}: {}", capture, std::strerror(errno));
      captures_[port] = {std::move(fd), 24};  // behind the file's header
    }
    // The ports' capture files begin with what the bridge itself said when it came up.
    settle();
    Outputs greetings;
    read_captures(greetings);
  } catch (...) {
    stop();
    throw;
  }
}

OpenVswitch::~OpenVswitch() { stop(); }

bool OpenVswitch::alive() {
  if (daemons_.size() < 2) return false;
  for (int i = 0; i < 200; ++i) {
    if (::waitpid(daemons_.back(), nullptr, WNOHANG) != 0) {
      daemons_.pop_back();
      return false;
    }
    std::this_thread::sleep_for(25ms);
  }
  return true;
}

void OpenVswitch::stop() noexcept {
  for (auto daemon = daemons_.rbegin(); daemon != daemons_.rend(); ++daemon) {
    ::kill(*daemon, SIGTERM);
    for (int tenths = 0; tenths < 30 && ::waitpid(*daemon, nullptr, WNOHANG) == 0; ++tenths) {
      std::this_thread::sleep_for(100ms);
      if (tenths == 20) ::kill(*daemon, SIGKILL);
    }
  }
  daemons_.clear();
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

// Returns once it has made `socket`.
void OpenVswitch::start(const std::vector<std::string>& words, const std::string& socket) {
  const pid_t child = ::fork();
  if (child < 0) throw Error("fork: {}", std::strerror(errno));
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    // Without root a namespace of its own takes a user namespace, and there may be none: dummy ports touch no device.
    if (::unshare(CLONE_NEWNET) != 0) static_cast<void>(::unshare(CLONE_NEWUSER | CLONE_NEWNET));
    become(words, directory_);
  }
  daemons_.push_back(child);
  for (const auto end = std::chrono::steady_clock::now() + kPatience; ::access(socket.c_str(), F_OK) != 0;) {
    if (::waitpid(child, nullptr, WNOHANG) == child) {
      daemons_.pop_back();
      throw Error("{} ended while it started", words.front());
    }
    if (std::chrono::steady_clock::now() > end) throw Error("{} does not answer", words.front());
    std::this_thread::sleep_for(5ms);
  }
}

void OpenVswitch::connect_control() {
  control_ = UniqueFd{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  const std::string path = directory_ / "vswitchd.ctl";
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) throw Error("{}: too long for a socket", path);
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  // The file is there a moment before anyone listens.
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (::connect(control_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    if (errno != ECONNREFUSED || std::chrono::steady_clock::now() > end)
      throw Error("{}: {}", path, std::strerror(errno));
    std::this_thread::sleep_for(5ms);
  }
}

void OpenVswitch::configure(const std::vector<std::string>& words) {
  std::vector<std::string> all{"ovs-vsctl", "--timeout=20", "--db=unix:" + (directory_ / "db.sock").string(), "--"};
  all.insert(all.end(), words.begin(), words.end());
  run(all, directory_);
}

void OpenVswitch::apply(const std::string& bundle) {
  const std::string file = directory_ / "bundle";
  std::ofstream{file} << bundle;
  ofctl("bundle", {file});
}

std::string OpenVswitch::ofctl(const std::string& command, const std::vector<std::string>& words) {
  // "no-flood" is of OpenFlow 1.0 alone.
  std::vector<std::string> all{"ovs-ofctl", "--timeout=20", command == "mod-port" ? "-OOpenFlow10" : "-OOpenFlow15",
                               command, "unix:" + (directory_ / (bridge() + ".mgmt")).string()};
  all.insert(all.end(), words.begin(), words.end());
  return run(all, directory_);
}

void OpenVswitch::request(const std::string& method, const std::vector<std::string>& words, std::string& to) {
  to += nlohmann::json{{"id", next_id_++}, {"method", method}, {"params", words}}.dump();
}

std::string OpenVswitch::reply() {
  for (;;) {
    if (const std::size_t end = object_end(unread_); end != 0) {
      const auto message = nlohmann::json::parse(unread_.substr(0, end));
      unread_.erase(0, end);
      if (!message["error"].is_null()) throw Error("ovs-vswitchd: {}", message["error"].get<std::string>());
      return message["result"].get<std::string>();
    }
    pollfd wait{control_.get(), POLLIN, 0};
    if (::poll(&wait, 1, static_cast<int>(std::chrono::milliseconds{kPatience}.count())) <= 0)
      throw Error("ovs-vswitchd does not answer");
    std::array<char, 65536> part{};
    const ssize_t size = ::read(control_.get(), part.data(), part.size());
    if (size <= 0) throw Error("ovs-vswitchd has ended");
    unread_.append(part.data(), static_cast<std::size_t>(size));
  }
}

namespace {
void write_all(int fd, const std::string& text) {
  for (std::size_t at = 0; at < text.size();) {
    const ssize_t size = ::send(fd, text.data() + at, text.size() - at, MSG_NOSIGNAL);
    if (size <= 0) throw Error("ovs-vswitchd has ended");
    at += static_cast<std::size_t>(size);
  }
}
}  // namespace

std::string OpenVswitch::command(const std::string& method, const std::vector<std::string>& words) {
  std::string text;
  request(method, words, text);
  write_all(control_.get(), text);
  return reply();
}

void OpenVswitch::settle() {
  std::string text;
  for (int i = 0; i < 2 * kRequestsARound; ++i) request("version", {}, text);
  write_all(control_.get(), text);
  for (int i = 0; i < 2 * kRequestsARound; ++i) reply();
}

Outputs OpenVswitch::send(PortNo in_port, std::span<const std::byte> frame) {
  std::string text;
  request("netdev-dummy/receive", {port_name(in_port), hex(frame)}, text);
  // The frame is handled before the last of these: not all fit into one round of the daemon's loop.
  for (int i = 0; i < kRequestsARound; ++i) request("version", {}, text);
  write_all(control_.get(), text);
  for (int i = 0; i <= kRequestsARound; ++i) reply();
  Outputs outputs;
  read_captures(outputs);
  return outputs;
}

Outputs OpenVswitch::packet_out(std::span<const std::byte> frame, const std::string& actions) {
  try {
    ofctl("packet-out", {"in_port=controller packet=" + hex(frame) + " actions=" + actions});
  } catch (const Error& error) {
    // A translation that it gave up: rules that resubmit too deep, say. Nothing is sent.
    if (std::string{error.what()}.find("OFPFMFC_UNKNOWN") == std::string::npos) throw;
  }
  settle();
  Outputs outputs;
  read_captures(outputs);
  return outputs;
}

void OpenVswitch::send_only(PortNo in_port, std::span<const Bytes> frames) {
  // A dummy port's queue takes 100 frames and drops what comes on top.
  constexpr std::size_t kAtOnce = 64;
  std::uint64_t received = received_packets();
  for (std::size_t begin = 0; begin < frames.size(); begin += kAtOnce) {
    const auto part = frames.subspan(begin, std::min(kAtOnce, frames.size() - begin));
    std::string text;
    for (const Bytes& frame : part) request("netdev-dummy/receive", {port_name(in_port), hex(frame)}, text);
    write_all(control_.get(), text);
    for (std::size_t i = 0; i < part.size(); ++i) reply();
    received += part.size();
    for (const auto end = std::chrono::steady_clock::now() + kBulkPatience; received_packets() != received;)
      if (std::chrono::steady_clock::now() > end) throw Error("Open vSwitch has not taken all frames");
  }
  settle();
}

std::uint64_t OpenVswitch::received_packets() {
  const std::string text = command("dpif-netdev/pmd-stats-show");
  static constexpr std::string_view kName = "packets received:";
  std::uint64_t sum = 0;
  for (std::size_t at = text.find(kName); at != std::string::npos; at = text.find(kName, at + 1))
    sum += std::strtoull(text.c_str() + at + kName.size(), nullptr, 10);
  return sum;
}

// Per port: 16 bytes of a record's header (its size at byte 8, in the host's order), then the frame.
void OpenVswitch::read_captures(Outputs& outputs) {
  for (auto& [port, capture] : captures_) {
    std::array<std::uint32_t, 4> header{};
    while (::pread(capture.fd.get(), header.data(), sizeof header, capture.read_to) == sizeof header) {
      Bytes frame(header[2]);
      const off_t at = capture.read_to + static_cast<off_t>(sizeof header);
      if (::pread(capture.fd.get(), frame.data(), frame.size(), at) != static_cast<ssize_t>(frame.size())) break;
      capture.read_to = at + static_cast<off_t>(frame.size());
      outputs[port].push_back(std::move(frame));
    }
  }
}

}  // namespace shunt::test

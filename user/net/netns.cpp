// SPDX-License-Identifier: Apache-2.0
#include "user/net/netns.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <exception>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "user/base/error.h"
#include "user/net/netlink.h"

namespace shunt {
namespace {

std::optional<NamespaceId> identify(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) < 0) return std::nullopt;
  return NamespaceId{status.st_dev, status.st_ino};
}

// mountinfo writes blanks in a path as \040 and the like.
std::string unescape(std::string_view text) {
  std::string path;
  for (std::size_t i = 0; i < text.size(); ++i) {
    unsigned code = 0;
    const auto digits = text.substr(std::min(i + 1, text.size()), 3);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), code, 8);
    if (text[i] == '\\' && error == std::errc{} && end == digits.data() + 3) {
      path += static_cast<char>(code);
      i += 3;
    } else {
      path += text[i];
    }
  }
  return path;
}

// Files that network namespaces are mounted on: `ip netns`, container managers.
std::vector<std::string> mounted_namespaces() {
  std::vector<std::string> paths;
  std::ifstream mounts{"/proc/thread-self/mountinfo"};
  for (std::string line; std::getline(mounts, line);) {
    // id, parent, device, root ("net:[4026532281]"), mount point: proc(5)
    std::istringstream fields{line};
    std::string skipped, root, mount_point;
    fields >> skipped >> skipped >> skipped >> root >> mount_point;
    if (root.starts_with("net:[")) paths.push_back(unescape(mount_point));
  }
  return paths;
}

std::vector<std::string> process_namespaces() {
  std::vector<std::string> paths;
  std::error_code error;
  for (std::filesystem::directory_iterator at{"/proc", error}, end; !error && at != end; at.increment(error)) {
    const std::string name = at->path().filename();
    if (std::ranges::all_of(name, [](char c) { return c >= '0' && c <= '9'; })) paths.push_back(at->path() / "ns/net");
  }
  return paths;
}

// Calls `wanted` with each namespace once, until it says yes.
template <typename Wanted>
std::optional<Namespace> search(Wanted wanted) {
  std::set<NamespaceId> seen;
  for (auto list : {mounted_namespaces, process_namespaces}) {
    for (const std::string& path : list()) {
      const auto id = identify(path);
      if (!id || !seen.insert(*id).second) continue;
      Namespace candidate{UniqueFd{::open(path.c_str(), O_RDONLY | O_CLOEXEC)}, *id, path};
      // A process may have ended, and its number been given away, since: what was opened counts.
      struct stat status {};
      if (!candidate.fd || ::fstat(candidate.fd.get(), &status) < 0) continue;
      candidate.id = {status.st_dev, status.st_ino};
      if (wanted(candidate)) return candidate;
    }
  }
  return std::nullopt;
}

}  // namespace

Namespace current_namespace() {
  const std::string path = "/proc/thread-self/ns/net";
  UniqueFd fd{check(::open(path.c_str(), O_RDONLY | O_CLOEXEC), "open " + path)};
  struct stat status {};
  check(::fstat(fd.get(), &status), "stat " + path);
  return {std::move(fd), {status.st_dev, status.st_ino}, path};
}

std::optional<Namespace> find_namespace(std::int32_t id) {
  Netlink netlink;
  return search([&](const Namespace& candidate) { return netlink.namespace_id(candidate.fd.get()) == id; });
}

std::optional<Namespace> find_namespace(const NamespaceId& id) {
  return search([&](const Namespace& candidate) { return candidate.id == id; });
}

void run_in_namespace(int netns_fd, const std::function<void()>& function) {
  std::exception_ptr thrown;
  std::thread{[&] {
    try {
      check(::setns(netns_fd, CLONE_NEWNET), "enter network namespace");
      function();
    } catch (...) {
      thrown = std::current_exception();
    }
  }}.join();
  if (thrown) std::rethrow_exception(thrown);
}

}  // namespace shunt

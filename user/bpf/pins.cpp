// SPDX-License-Identifier: Apache-2.0
#include "user/bpf/pins.h"

#include <bpf/bpf.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>
#include <vector>

#include "maps/map_names.h"
#include "user/base/error.h"
#include "user/bpf/requirements.h"

namespace shunt {
namespace {

namespace fs = std::filesystem;

bool is_link(const fs::path& path) { return path.filename().string().starts_with("link-"); }

std::vector<fs::path> pins_in(const std::string& directory) {
  std::error_code error;
  std::vector<fs::path> pins;
  for (fs::directory_iterator at{directory, error}; !error && at != fs::directory_iterator{}; at.increment(error))
    pins.push_back(at->path());
  return pins;
}

void remove_pin(const fs::path& path) {
  std::error_code ignored;
  fs::remove(path, ignored);
}

// By hand: someone who looks at the link right now (bpftool) would keep it alive.
void detach_link(const fs::path& path) {
  if (const UniqueFd link{bpf_obj_get(path.c_str())}; link) bpf_link_detach(link.get());
}

void check_instance_name(const std::string& instance) {
  const bool good = !instance.empty() && instance.size() <= 64 &&
                    std::all_of(instance.begin(), instance.end(),
                                [](unsigned char c) { return std::isalnum(c) || c == '-' || c == '_'; });
  if (!good) throw Error("instance name '{}': letters, digits, '-' and '_' only, at most 64", instance);
}

}  // namespace

PinDirectory::PinDirectory(const std::string& instance) : path_{std::string{SHUNT_PIN_ROOT} + "/" + instance} {
  check_instance_name(instance);
  mount_bpffs();
  std::error_code error;
  fs::create_directories(path_, error);
  if (error) throw std::system_error(error, "make " + path_);
  keep_ = !pins_in(path_).empty();
  // Whatever the umask: others find theirs in there, and look into none that is not theirs.
  fs::permissions(SHUNT_PIN_ROOT, fs::perms{0755}, error);
}

PinDirectory::~PinDirectory() {
  if (keep_) return;
  for (const std::string& link : link_paths()) {
    detach_link(link);
    remove_pin(link);
  }
  remove_maps();
  std::error_code ignored;
  fs::remove(path_, ignored);
  fs::remove(SHUNT_PIN_ROOT, ignored);  // only where it is empty
}

std::vector<std::string> PinDirectory::link_paths() const {
  std::vector<std::string> paths;
  for (const fs::path& pin : pins_in(path_))
    if (is_link(pin)) paths.push_back(pin);
  return paths;
}

UniqueFd PinDirectory::open(const char* name) const {
  return UniqueFd{bpf_obj_get(fmt::format("{}/{}", path_, name).c_str())};
}

void PinDirectory::replace(const char* name, int fd) const {
  const std::string path = fmt::format("{}/{}", path_, name), fresh = path + "-new";
  remove_pin(fresh);  // a daemon died here
  check_libbpf(bpf_obj_pin(fd, fresh.c_str()), "pin " + fresh);
  if (::rename(fresh.c_str(), path.c_str()) != 0) throw_errno(errno, "pin " + path);
}

void PinDirectory::remove_maps() const {
  for (const fs::path& pin : pins_in(path_))
    if (!is_link(pin)) remove_pin(pin);
}

}  // namespace shunt

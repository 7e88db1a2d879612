// SPDX-License-Identifier: Apache-2.0
#include "user/bpf/pins.h"

#include <bpf/bpf.h>

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <vector>

#include "maps/map_names.h"
#include "user/base/error.h"
#include "user/base/unique_fd.h"
#include "user/bpf/requirements.h"

namespace shunt {
namespace {

namespace fs = std::filesystem;

bool is_link(const fs::path& path) { return path.filename().string().starts_with("link-"); }

void remove_pin(const fs::path& path) {
  if (is_link(path)) {
    if (const UniqueFd link{bpf_obj_get(path.c_str())}; link) bpf_link_detach(link.get());
  }
  std::error_code ignored;
  fs::remove(path, ignored);
}

void remove_pins(const std::string& directory) {
  std::error_code error;
  std::vector<fs::path> pins;
  for (fs::directory_iterator at{directory, error}; !error && at != fs::directory_iterator{}; at.increment(error))
    pins.push_back(at->path());
  std::stable_partition(pins.begin(), pins.end(), is_link);
  for (const auto& pin : pins) remove_pin(pin);
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
  remove_pins(path_);
  std::error_code error;
  fs::create_directories(path_, error);
  if (error) throw std::system_error(error, "make " + path_);
}

PinDirectory::~PinDirectory() {
  remove_pins(path_);
  std::error_code ignored;
  fs::remove(path_, ignored);
  fs::remove(SHUNT_PIN_ROOT, ignored);  // only where it is empty
}

}  // namespace shunt

// SPDX-License-Identifier: Apache-2.0
// For LD_PRELOAD into shuntd: loading a BPF object takes as long as the test wants. While there is a file $LOAD_GATE, it
// waits, having made $LOAD_GATE.waits; with a file $LOAD_GATE.fails there is no memory for it.
#include <dlfcn.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <string>
#include <thread>

struct bpf_object_skeleton;

namespace {

bool is_there(const std::string& file) { return ::access(file.c_str(), F_OK) == 0; }

}  // namespace

extern "C" int bpf_object__load_skeleton(bpf_object_skeleton* skeleton) {
  using Load = int (*)(bpf_object_skeleton*);
  static const auto load = reinterpret_cast<Load>(::dlsym(RTLD_NEXT, "bpf_object__load_skeleton"));
  const char* name = std::getenv("LOAD_GATE");
  const std::string gate = name == nullptr ? "" : name;
  while (is_there(gate)) {
    ::close(::open((gate + ".waits").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    std::this_thread::sleep_for(std::chrono::milliseconds{5});
  }
  if (is_there(gate + ".fails")) {
    errno = ENOMEM;
    return -ENOMEM;
  }
  return load(skeleton);
}

// SPDX-License-Identifier: Apache-2.0
#include "user/bpf/program_loader.h"

#include <pthread.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>

#include <chrono>
#include <exception>
#include <system_error>
#include <utility>

#include "user/base/error.h"

namespace shunt {

ProgramLoader::ProgramLoader(const std::uint32_t& in_force, Load load, Use use)
    : in_force_{in_force},
      load_{std::move(load)},
      use_{std::move(use)},
      wake_{check(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")},
      wanted_{in_force} {}

ProgramLoader::~ProgramLoader() {
  if (thread_.joinable()) thread_.join();
}

void ProgramLoader::require(std::uint32_t features) {
  wanted_ |= features;
  if ((features & ~in_force_) == 0) return;  // one under way that lacks them comes to nothing: see put_in_force()
  settle();
  wanted_ |= features;  // where that failed
  if ((features & ~in_force_) == 0) return;
  loading_ = wanted_;
  try {
    put_in_force(load_(loading_));
  } catch (...) {
    give_up();
    throw;
  }
}

void ProgramLoader::request(std::uint32_t features) {
  if ((features & ~wanted_) == 0) return;
  wanted_ |= features;
  wake();
}

void ProgramLoader::release(std::uint32_t features) {
  wanted_ &= ~features;
  wake();
}

void ProgramLoader::advance() {
  eventfd_t ignored = 0;
  if (::eventfd_read(wake_.get(), &ignored) != 0) return;
  if (thread_.joinable()) {
    if (loaded_.wait_for(std::chrono::seconds{0}) != std::future_status::ready) return;
    settle();
  }
  if (wanted_ != in_force_) start();
}

void ProgramLoader::settle() {
  if (!thread_.joinable()) return;
  thread_.join();
  try {
    put_in_force(loaded_.get());
  } catch (const std::exception& e) {  // nobody asked who could be answered; flows go on through userspace
    const bool larger = (loading_ & ~in_force_) != 0;
    spdlog::error("no {} XDP program: {}", larger ? "larger" : "smaller", e.what());
    give_up();
  }
  wake();
}

void ProgramLoader::start() {
  loading_ = wanted_;
  std::packaged_task<LoadedProgram()> load{[this, features = loading_] { return load_(features); }};
  loaded_ = load.get_future();
  try {
    thread_ = std::thread{[this, load = std::move(load)]() mutable {
      ::pthread_setname_np(::pthread_self(), "program_loader");
      load();
      wake();
    }};
  } catch (const std::system_error& e) {
    spdlog::error("no other XDP program, for there can be no thread: {}", e.what());
    give_up();
  }
}

void ProgramLoader::wake() const { ::eventfd_write(wake_.get(), 1); }

// What was in force and has been asked for again since the load began must stay: then the program is not used, and the
// next one has both.
void ProgramLoader::put_in_force(LoadedProgram&& program) {
  wanted_ |= program.features & ~loading_;
  failed_ &= ~program.features;
  if ((in_force_ & wanted_ & ~program.features) == 0) use_(std::move(program));
}

// What the load was to change stays as it is.
void ProgramLoader::give_up() {
  const std::uint32_t changes = loading_ ^ in_force_;
  wanted_ = (wanted_ & ~changes) | (in_force_ & changes);
  failed_ |= changes;
}

}  // namespace shunt

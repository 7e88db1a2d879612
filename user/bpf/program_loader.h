// SPDX-License-Identifier: Apache-2.0
// Which features the programs are to have (SHUNT_FEATURE_*), and the thread that loads such: the verifier takes seconds,
// in which control goes on. One load at a time; what is asked for meanwhile is merged into the next one. A load begins,
// and what it has loaded is put in force, when control says advance(), which it does whenever fd() is readable: so what
// is asked for in one turn of its loop comes with one load. Who must not go on without waits: require().
//
// Threads: control. `load` runs in the loader's own, which control starts and which so has its capabilities, or in
// control's while there is none: never two at once. What it reads may change in `use` only.
#pragma once

#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <thread>

#include "user/base/unique_fd.h"
#include "user/bpf/object.h"

namespace shunt {

struct LoadedProgram {
  std::uint32_t features = 0;  // more than were asked for where the verifier refused those
  std::string refusal;         // then: its log
  std::unique_ptr<SwitchObject> object;
};

class ProgramLoader {
 public:
  using Load = std::function<LoadedProgram(std::uint32_t features)>;
  using Use = std::function<void(LoadedProgram&& program)>;  // puts it in force, and changes `in_force`

  // `in_force`: the features of the program in force. It outlives the loader, as does what the functions refer to.
  ProgramLoader(const std::uint32_t& in_force, Load load, Use use);
  ~ProgramLoader();  // waits for the thread; what it has loaded is dropped
  ProgramLoader(const ProgramLoader&) = delete;
  ProgramLoader& operator=(const ProgramLoader&) = delete;

  // These too, in force when it returns: waits for the load under way, and loads what is still missing. Throws what the
  // functions throw; then the program is what it was.
  void require(std::uint32_t features);
  // These too, or no more, soon. A load that fails is logged, and forgotten.
  void request(std::uint32_t features);
  void release(std::uint32_t features);

  [[nodiscard]] int fd() const { return wake_.get(); }
  void advance();
  // Waits for the load under way, and puts it in force; begins no other. Then control may load by itself, and request()
  // what it has put in force.
  void settle();

  // Asked for, and not yet in force.
  [[nodiscard]] std::uint32_t pending() const { return wanted_ & ~in_force_; }
  // The last load of these failed.
  [[nodiscard]] std::uint32_t failed() const { return failed_ & ~in_force_; }

 private:
  void start();
  void wake() const;
  void put_in_force(LoadedProgram&& program);
  void give_up();

  const std::uint32_t& in_force_;
  const Load load_;
  const Use use_;
  UniqueFd wake_;              // eventfd: a load has ended, or there may be one to begin
  std::uint32_t wanted_;       // what the program in force is to have in the end
  std::uint32_t loading_ = 0;  // what the one under way was asked for
  std::uint32_t failed_ = 0;   // those in force do not count
  std::future<LoadedProgram> loaded_;
  std::thread thread_;
};

}  // namespace shunt

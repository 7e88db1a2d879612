// SPDX-License-Identifier: Apache-2.0
// Waits for XDP and TC programs to end by being on each CPU once: a tenth of a millisecond, where RCU takes 8-20.
//
// Programs run with softirqs off, so no thread takes their CPU from them: when one of ours runs on a CPU, what ran there
// before has ended. Not so in a kernel with PREEMPT_RT. A thread of its own goes round, for a CPU that something of
// higher priority keeps to itself would hold up whoever comes there: then, and where a CPU is not ours to use, nobody
// waits here but by RCU.
//
// Threads: visit() by any.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace shunt {

class CpuVisitor {
 public:
  // The process's one, which is never destroyed: its thread may be held up.
  static CpuVisitor& get();

  // True: every program that ran at the time of the call has ended. False: not within `limit`, or it cannot be told.
  [[nodiscard]] bool visit(std::chrono::milliseconds limit);

 private:
  CpuVisitor();
  void run();

  std::mutex mutex_;
  std::condition_variable wake_, done_;
  std::uint64_t asked_ = 0, ended_ = 0, failed_ = 0;  // rounds
  const bool can_visit_;
};

}  // namespace shunt

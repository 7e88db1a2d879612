// SPDX-License-Identifier: Apache-2.0
// A byte stream below a session: a socket, bare or under TLS. Never blocks. Thread: control.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "user/base/unique_fd.h"

namespace shunt::openflow {

class Transport {
 public:
  enum class Outcome { kMoved, kWait, kClosed };  // bytes went over; none for now; none ever again
  struct Result {
    Outcome outcome;
    std::size_t bytes = 0;
  };

  explicit Transport(UniqueFd socket) : socket_{std::move(socket)} {}
  virtual ~Transport() = default;
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;

  [[nodiscard]] int fd() const { return socket_.get(); }
  [[nodiscard]] virtual Result read(std::span<std::uint8_t> into);
  [[nodiscard]] virtual Result write(std::span<const std::uint8_t> from);
  // Nothing more will be written: the other side hears so once it has read what was.
  void end_writing();
  // What the last read() or write() that had to wait is waiting for, where that is not its own direction (TLS shakes
  // hands): a read for the socket to take bytes, a write for bytes to come.
  [[nodiscard]] virtual bool wants_to_write() const { return false; }
  [[nodiscard]] virtual bool waits_to_read() const { return false; }

 protected:
  UniqueFd socket_;
};

}  // namespace shunt::openflow

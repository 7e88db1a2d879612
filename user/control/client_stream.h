// SPDX-License-Identifier: Apache-2.0
// A client of the control socket as a handler sees it that has more for it than one reply: file descriptors with the
// reply, lines that come later, and word of the client's end. What waits for a slow client is bounded: lines beyond
// that are missed, and when there is room again the client is told how many.
//
// Threads: control. A stream is good from the request until its on_close() callbacks have run.
#pragma once

#include <functional>

#include "user/base/unique_fd.h"
#include "user/control/json_rpc.h"

namespace shunt {

class ClientStream {
 public:
  // Goes with the reply to the request at hand, in the order of the calls (SCM_RIGHTS).
  virtual void attach(UniqueFd fd) = 0;
  // A notification: {"jsonrpc":"2.0","method":METHOD,"params":PARAMS}; `params` is called, at once, only where there is
  // room for it. May be called at any time; never calls back otherwise.
  virtual void notify(std::string_view method, const std::function<Json()>& params) = 0;
  // When the client is gone, or its connection is closed.
  virtual void on_close(std::function<void()> callback) = 0;

  bool monitors = false;  // `monitor` was asked for here: once is enough

 protected:
  ~ClientStream() = default;
};

}  // namespace shunt

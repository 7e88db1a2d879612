// SPDX-License-Identifier: Apache-2.0
// What a flow that the kernel runs sends: which ports get the frame, and how much longer or shorter than it came.
//
// Threads: any.
#pragma once

#include <vector>

#include "user/base/strong_types.h"
#include "user/pipeline/translate.h"
#include "user/worker/encode.h"

namespace shunt {

struct SentForm {
  DpPort port;
  int delta = 0;  // bytes that tags and labels in front of it make, before cutting and padding
};

// Outputs that lead nowhere (encode.h) are left out. Most flows have one output; several get forms that differ by a
// tag.
[[nodiscard]] std::vector<SentForm> sent_forms(const Translation& translation, DpPort in_port,
                                               const PortOutputs& ports);

}  // namespace shunt

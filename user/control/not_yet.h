// SPDX-License-Identifier: Apache-2.0
// Thrown out of a change that has to wait for a program that is being loaded, before anything of it was made: whoever
// asked for it goes on with other things, and asks for the whole of it again when Instance::on_program() says so.
//
// It is no refusal, and no std::exception: nothing on its way may take it for one. The control socket keeps the request
// (control_socket.h), a controller's session its message (user/openflow/session.h).
#pragma once

namespace shunt {

struct NotYet {};

}  // namespace shunt

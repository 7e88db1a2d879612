// SPDX-License-Identifier: Apache-2.0
// The kernel's own context of a frame, as programs reach it: by a function of Linux 6.2, bpf_cast_to_kern_ctx(), whose
// number is in the kernel's BTF. libbpf would find it too; but where a kernel has none, libbpf 1.1 looks for it in the
// BTF of all modules, each time a program is loaded, and cannot tell the program that there is none.
#pragma once

struct bpf_object;

namespace shunt {

// Before the object is loaded: calls of SHUNT_CALL_KERNEL_CONTEXT become calls of that function, or 0 where the kernel
// takes no program with it. Throws Error where libbpf does not let them.
void resolve_kernel_context(bpf_object* object);

}  // namespace shunt

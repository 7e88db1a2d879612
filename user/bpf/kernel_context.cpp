// SPDX-License-Identifier: Apache-2.0
#include "user/bpf/kernel_context.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include <algorithm>
#include <iterator>
#include <memory>
#include <vector>

#include "maps/kernel_context.h"
#include "user/base/error.h"
#include "user/base/unique_fd.h"
#include "user/bpf/map.h"

namespace shunt {
namespace {

bpf_insn result_is(__s32 value) { return {BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, value}; }
bpf_insn call(__s32 number) { return {BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_KFUNC_CALL, 0, number}; }

// Kernels without JIT, or of some machines, have the function and take no program that calls it.
bool takes(__s32 number) {
  const bpf_insn program[]{call(number), result_is(XDP_PASS), {BPF_JMP | BPF_EXIT, 0, 0, 0, 0}};
  return UniqueFd{bpf_prog_load(BPF_PROG_TYPE_XDP, "shunt_probe", "Dual BSD/GPL", program, std::size(program), nullptr)}
             .get() >= 0;
}

// 0: none that could be called.
__s32 number_of_function() {
  const std::unique_ptr<btf, void (*)(btf*)> types{btf__load_vmlinux_btf(), btf__free};
  if (!types) return 0;
  const __s32 number = btf__find_by_name_kind(types.get(), "bpf_cast_to_kern_ctx", BTF_KIND_FUNC);
  return number > 0 && takes(number) ? number : 0;
}

}  // namespace

void resolve_kernel_context(bpf_object* object) {
  static const __s32 number = number_of_function();
  const bpf_insn instead = number != 0 ? call(number) : result_is(0);
  bpf_program* program = nullptr;
  bpf_object__for_each_program(program, object) {
    const bpf_insn* first = bpf_program__insns(program);
    std::vector<bpf_insn> all(first, first + bpf_program__insn_cnt(program));
    const auto stands_for_it = [](const bpf_insn& insn) {
      return insn.code == (BPF_JMP | BPF_CALL) && insn.src_reg == 0 && insn.imm == SHUNT_CALL_KERNEL_CONTEXT;
    };
    if (std::ranges::none_of(all, stands_for_it)) continue;
    std::ranges::replace_if(all, stands_for_it, instead);
    check_libbpf(bpf_program__set_insns(program, all.data(), all.size()), "resolve calls of the kernel's functions");
  }
}

}  // namespace shunt

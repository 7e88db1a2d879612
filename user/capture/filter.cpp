// SPDX-License-Identifier: Apache-2.0
#include "user/capture/filter.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "bpf/datapath/filter.h"
#include "user/base/error.h"

namespace shunt {
namespace {

// A number at the front of `text`, with the blanks before it, which are both taken off.
std::uint32_t take_number(std::string_view& text, std::uint32_t most) {
  text.remove_prefix(std::min(text.find_first_not_of(" \t\r\n"), text.size()));
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || value > most)
    throw Error("filter: not the text of 'tcpdump -ddd': a number up to {} should stand at '{}'", most,
                text.substr(0, 16));
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return value;
}

bool is_load(const shunt_filter_insn& insn) {
  const std::uint32_t mode = SHUNT_BPF_MODE(insn.code), size = SHUNT_BPF_SIZE(insn.code);
  const bool word = size == SHUNT_BPF_W;
  if (mode == SHUNT_BPF_IMM || mode == SHUNT_BPF_LEN) return word;
  if (mode == SHUNT_BPF_MEM) return word && insn.k < SHUNT_FILTER_MEMORY;
  if (SHUNT_BPF_CLASS(insn.code) == SHUNT_BPF_LDX) return mode == SHUNT_BPF_MSH && size == SHUNT_BPF_B;
  return (mode == SHUNT_BPF_ABS || mode == SHUNT_BPF_IND) && size != 0x18;
}

bool is_computation(const shunt_filter_insn& insn) {
  const std::uint32_t op = SHUNT_BPF_OP(insn.code);
  const bool constant = (insn.code & SHUNT_BPF_X) == 0;
  if ((op == SHUNT_BPF_DIV || op == SHUNT_BPF_MOD) && constant) return insn.k != 0;
  return op <= SHUNT_BPF_XOR;
}

bool is_jump(const shunt_filter_insn& insn, std::size_t behind) {
  if (SHUNT_BPF_OP(insn.code) == SHUNT_BPF_JA) return insn.k < behind;
  return SHUNT_BPF_OP(insn.code) <= SHUNT_BPF_JSET && insn.jt < behind && insn.jf < behind;
}

// `behind`: how many instructions follow it.
bool is_good(const shunt_filter_insn& insn, std::size_t behind) {
  if (insn.code > 0xff) return false;
  switch (SHUNT_BPF_CLASS(insn.code)) {
    case SHUNT_BPF_LD:
    case SHUNT_BPF_LDX:
      return is_load(insn);
    case SHUNT_BPF_ST:
    case SHUNT_BPF_STX:
      return insn.code <= SHUNT_BPF_STX && insn.k < SHUNT_FILTER_MEMORY;
    case SHUNT_BPF_ALU:
      return is_computation(insn);
    case SHUNT_BPF_JMP:
      return is_jump(insn, behind);
    case SHUNT_BPF_RET:
      return insn.code == SHUNT_BPF_RET || insn.code == (SHUNT_BPF_RET | SHUNT_BPF_RET_A);
    default:
      return insn.code == SHUNT_BPF_MISC || insn.code == (SHUNT_BPF_MISC | SHUNT_BPF_TXA);
  }
}

}  // namespace

FilterProgram parse_filter(std::string_view text) {
  const std::uint32_t count = take_number(text, ~std::uint32_t{0});
  if (count == 0 || count > SHUNT_FILTER_INSNS)
    throw Error("the filter compiles to {} instructions, and at most {} run for each packet: make it simpler", count,
                SHUNT_FILTER_INSNS);
  FilterProgram program(count);
  for (shunt_filter_insn& insn : program) {
    insn.code = static_cast<__u16>(take_number(text, 0xffff));
    insn.jt = static_cast<__u8>(take_number(text, 0xff));
    insn.jf = static_cast<__u8>(take_number(text, 0xff));
    insn.k = take_number(text, ~std::uint32_t{0});
  }
  if (text.find_first_not_of(" \t\r\n") != std::string_view::npos)
    throw Error("filter: more than the {} instructions that it begins with", count);
  check_filter(program);
  return program;
}

std::string format_filter(std::span<const shunt_filter_insn> program) {
  std::string text = fmt::format("{}\n", program.size());
  for (const shunt_filter_insn& insn : program)
    text += fmt::format("{} {} {} {}\n", insn.code, insn.jt, insn.jf, insn.k);
  return text;
}

void check_filter(std::span<const shunt_filter_insn> program) {
  if (program.size() > SHUNT_FILTER_INSNS)
    throw Error("the filter has {} instructions, and at most {} run for each packet", program.size(),
                SHUNT_FILTER_INSNS);
  for (std::size_t i = 0; i < program.size(); ++i)
    if (!is_good(program[i], program.size() - 1 - i))
      throw Error("filter: instruction {} ({} {} {} {}) is none of classic BPF's, or leads out of the program", i,
                  program[i].code, program[i].jt, program[i].jf, program[i].k);
  if (!program.empty() && SHUNT_BPF_CLASS(program.back().code) != SHUNT_BPF_RET)
    throw Error("filter: its last instruction does not return");
}

bool accepts(std::span<const shunt_filter_insn> program, std::span<const std::uint8_t> bytes,
             std::uint32_t length) noexcept {
  if (program.empty()) return true;
  const auto seen = static_cast<__u32>(std::min<std::size_t>(bytes.size(), SHUNT_CAPTURE_BYTES));
  const shunt_filter_packet packet{bytes.data(), seen, length};
  shunt_filter_state state{};
  for (std::size_t i = 0; i < program.size() && state.pc < program.size(); ++i)
    if (!shunt_filter_step(&state, &program[state.pc], &packet)) break;
  return state.verdict != 0;
}

}  // namespace shunt

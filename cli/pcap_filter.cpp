// SPDX-License-Identifier: Apache-2.0
#include "cli/pcap_filter.h"

#include <pcap/pcap.h>

#include <memory>

#include "user/base/error.h"

namespace shunt::cli {

FilterProgram compile_filter(const std::string& expression) {
  if (expression.size() > kLongestFilter)
    throw Error("--filter: {} characters are more than the {} that a filter may have; for many addresses use 'net'",
                expression.size(), kLongestFilter);
  if (expression.find('\0') != std::string::npos) throw Error("--filter: a character of value 0");
  const std::unique_ptr<pcap_t, void (*)(pcap_t*)> ethernet{::pcap_open_dead(DLT_EN10MB, SHUNT_CAPTURE_BYTES),
                                                            ::pcap_close};
  if (!ethernet) throw Error("--filter: out of memory");
  bpf_program compiled{};
  constexpr int kOptimize = 1;
  if (::pcap_compile(ethernet.get(), &compiled, expression.c_str(), kOptimize, PCAP_NETMASK_UNKNOWN) != 0)
    throw Error("--filter '{}': {}; pcap-filter(7) has the words", expression.substr(0, 200),
                ::pcap_geterr(ethernet.get()));
  FilterProgram program;
  for (u_int i = 0; i < compiled.bf_len; ++i)
    program.push_back(
        {compiled.bf_insns[i].code, compiled.bf_insns[i].jt, compiled.bf_insns[i].jf, compiled.bf_insns[i].k});
  ::pcap_freecode(&compiled);
  if (program.size() > SHUNT_FILTER_INSNS)
    throw Error("--filter: it compiles to {} instructions, and at most {} run for each packet; say less, or use 'net'",
                program.size(), SHUNT_FILTER_INSNS);
  check_filter(program);
  return program;
}

}  // namespace shunt::cli

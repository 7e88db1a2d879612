// SPDX-License-Identifier: Apache-2.0
#include "user/openflow/codec/reference.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <span>
#include <vector>

#include "user/openflow/codec/action_codec.h"
#include "user/openflow/codec/error_codec.h"
#include "user/openflow/codec/message.h"
#include "user/openflow/codec/oxm_table.h"
#include "user/openflow/endpoint.h"
#include "user/pipeline/group_edit.h"

namespace shunt::openflow {
namespace {

constexpr std::string_view kIntroduction = R"(# OpenFlow

Made from the tables that the codec runs on: what is not here is not spoken. (`tests/unit/openflow/reference_test.cpp` holds this page against them; with
`SHUNT_WRITE_DOCS=1` it writes it.)

Each bridge listens on a Unix socket, `<rundir>/<bridge>.mgmt`, and has the controllers that it was told of:

```
ovs-ofctl -O OpenFlow13 dump-flows unix:/run/shunt/br0.mgmt
shunt controller add br0 tcp:192.0.2.1:6653     # also ssl:ADDRESS[:PORT], unix:PATH; ptcp:[PORT][:ADDRESS], pssl:...: to listen
shunt controller add br0 tcp:192.0.2.2:6653 --auxiliary 2
shunt controller list br0
shunt bridge set br0 --datapath-id 0000000000000001 --fail-mode secure
```

- OpenFlow 1.0, 1.3, 1.4 and 1.5. The greatest version that both sides have is spoken.
- A barrier's reply leaves when everything before it is in force: no cached flow answers with what was before.
- Who connects to the management socket hears of nothing that happens until it asks to, by a `miss_send_len` other than 0 or an asynchronous configuration.
- A controller that is silent for 5 s is asked whether it is there, and given up 5 s later; it is tried again after 1, 2, 4, 8 s.
- `fail-mode standalone` (the default): 15 s after the last controller was lost the bridge acts as a learning switch, by a rule of priority 65535 with the
  cookie 0xfa110be7. `secure`: its rules stay what they are.
- A bridge that has no controller and is not `secure` has the rule `priority=0 actions=NORMAL`: it goes with the first controller, or `fail-mode secure`, and comes back
  when neither is there any more. One that was changed is left alone.
- To a controller of OpenFlow 1.0 packets that no rule of table 0 matches are sent; from 1.3 on a rule must say so.
- A datapath id that changes makes controllers connect anew.
- What sends something else than OpenFlow, or a message that cannot be one, gets its error and is closed; so is who has not said hello within 10 s.
- Controllers, datapath id and fail mode are kept over restarts, and stand in the configuration file (docs/config.md).
- Auxiliary connections are made beside a main one that is up and of OpenFlow 1.3 or later, `auxiliary_id` 1 and up. What is asked by one is answered by it; packet-ins go
  by them, those of a port always by the same; the role is the main one's, and they end with it.
- A flow monitor's reader that lets 4 MB wait is told that it is paused; what it has missed is told when it has read that, of each rule how it is then.
- `controller(pause)` packet-ins in Nicira's second format can be resumed once, of the last 1024: what stands in the message is a number, not the pipeline's state.
- Table status: how much of a table is free is asked once behind each turn of requests, of its `--max-rules`, or of 1,000,000.
- A bundle's changes to ports are made first, then those to rules and groups, in order; its packets are sent last. A change behind a packet-out in a bundle that is to be
  done in order (`OFPBF_ORDERED`) is refused.
- Up to 10,000 rules are told in order: by table, priority and age. More are not, since nobody is to wait while they are sorted.
- `OFPMP_METER_FEATURES` of OpenFlow 1.5 has the 16 bytes that Open vSwitch reads, where the specification (1.5.1) says 24.
- TLS: `shuntd --tls-key FILE --tls-certificate FILE --tls-authority FILE`; each side shows a certificate that the authority has signed.
)";

constexpr std::string_view kNotThere = R"(
## What is not there

Ports have no queues: `set_queue` sets the priority that Linux' queueing disciplines see; a queue that is asked for is refused (`OFPQOFC_BAD_QUEUE`). Fragments are matched
as they come (`OFPC_FRAG_NORMAL`). The features of tables cannot be changed. Bundles hold flow-mods, group-mods, port-mods and packet-outs;
a group-mod in one is not forwarded (`OFPT_REQUESTFORWARD`). Vacancy events are not kept over
a restart. A field of a rule that a version has no name for (`vlan_tci1`, `mpls_lse1` and the like: docs/rules.md) is left out where the rule is shown to a controller; so is an action that
it has no form for.
)";

std::string versions(Version since, Version until) {
  if (since == until) return std::string{name_of(since)};
  return until == Version::k15 ? fmt::format("{} and later", name_of(since))
                               : fmt::format("{} to {}", name_of(since), name_of(until));
}

std::string_view experimenter_name(std::uint32_t id) { return id == kNiciraId ? "Nicira" : id == kOnfId ? "ONF" : ""; }

std::string number_text(std::uint32_t experimenter, std::uint32_t number) {
  return experimenter == 0 ? fmt::format("{}", number) : fmt::format("{} {}", experimenter_name(experimenter), number);
}

template <typename Row>
void table(std::string& out, std::string_view heading, std::string_view columns, Row&& rows) {
  fmt::format_to(std::back_inserter(out), "\n## {}\n\n{}\n|", heading, columns);
  for (std::size_t i = 1; i < static_cast<std::size_t>(std::ranges::count(columns, '|')); ++i) out += " --- |";
  out += '\n';
  rows();
}

// Rows of a table, those of one message that differ only by its size in their versions as one.
template <typename Format>
std::vector<Format> merged(std::span<const Format> formats) {
  std::vector<Format> rows;
  for (const Format& format : formats) {
    const bool again = !rows.empty() && rows.back().name == format.name &&
                       rows.back().experimenter == format.experimenter && rows.back().number == format.number;
    if (again)
      rows.back().until = format.until;
    else
      rows.push_back(format);
  }
  return rows;
}

void put_messages(std::string& out) {
  table(out, "Messages", "| message | number | versions | |", [&] {
    for (const MessageFormat& format : merged(message_formats())) {
      const std::string_view direction = format.direction == Direction::kToSwitch       ? "to the switch"
                                         : format.direction == Direction::kToController ? "to the controller"
                                                                                        : "both ways";
      fmt::format_to(std::back_inserter(out), "| `{}` | {} | {} | {} |\n", format.name,
                     number_text(format.experimenter, format.number), versions(format.since, format.until), direction);
    }
  });
  table(out, "Multipart", "| request and reply | number | versions |", [&] {
    for (const MultipartFormat& format : merged(multipart_formats()))
      fmt::format_to(std::back_inserter(out), "| `{}` | {} | {} |\n", format.name,
                     number_text(format.experimenter, format.number), versions(format.since, format.until));
  });
}

void put_fields(std::string& out) {
  table(out, "Fields", "| field | on the wire | bytes | sent since | mask | set | needs |", [&] {
    for (const OxmField& oxm : oxm_fields()) {
      const Field& f = field(oxm.field);
      const std::string needs =
          f.prerequisite == Prerequisite::kNone ? std::string{} : std::string{describe(f.prerequisite)};
      fmt::format_to(std::back_inserter(out), "| `{}` | `{}` | {} | {} | {} | {} | {} |\n", f.name, oxm.name, oxm.size,
                     oxm.is_nicira() ? "all" : name_of(oxm.since), is_maskable(f) ? "yes" : "",
                     is_settable(oxm) ? "yes" : "", needs);
    }
  });
}

void put_actions(std::string& out) {
  table(out, "Actions", "| action | number | versions |", [&] {
    for (const auto formats : {standard_actions(), nicira_actions()})
      for (const ActionFormat& format : formats)
        fmt::format_to(std::back_inserter(out), "| `{}` | {} | {} |\n", format.name,
                       number_text(format.experimenter, format.number), versions(format.since, format.until));
  });
  table(out, "Instructions", "| instruction | number | versions |", [&] {
    for (const InstructionFormat& format : instruction_formats())
      fmt::format_to(std::back_inserter(out), "| `{}` | {} | {} |\n", format.name, format.number,
                     versions(format.since, format.until));
  });
}

void put_limits(std::string& out) {
  struct Limit {
    std::string_view of;
    std::size_t most;
    OfErrorCode error;
  };
  constexpr std::size_t kMegabyte = 1 << 20;
  const Limit limits[] = {
      {"rules of a table (`shunt table set BR N --max-rules`)", kMaxTableRules, OfErrorCode::kTableFull},
      {"rules of a bridge", kMaxBridgeRules, OfErrorCode::kTableFull},
      {"groups of a bridge", GroupEdit::kMaxGroups, OfErrorCode::kOutOfGroups},
      {"buckets of a group", GroupEdit::kMaxBuckets, OfErrorCode::kOutOfBuckets},
      {"buckets of all groups of a bridge", GroupEdit::kMaxBridgeBuckets, OfErrorCode::kOutOfBuckets},
      {"meters", SHUNT_MAX_METERS - 1, OfErrorCode::kOutOfMeters},
      {"bands of a meter", SHUNT_METER_BANDS, OfErrorCode::kOutOfBands},
      {"open bundles of a connection", Session::kMaxBundles, OfErrorCode::kOutOfBundles},
      {"MB in all bundles of a bridge", Session::kMaxBundleBytes / kMegabyte, OfErrorCode::kBundleTooMany},
      {"rules that the loose changes of a bundle look at, each at all of its table", kMaxSearchedRules,
       OfErrorCode::kBundleTooMany},
      {"seconds that nothing is said of a bundle", Session::kBundleTimeout.count(), OfErrorCode::kBundleTimeout},
      {"connections to an address that the bridge listens on", Endpoint::kMaxConnections,
       OfErrorCode::kHelloNotPermitted},
      {"packets that wait for a controller (the oldest makes way)", PacketBuffers::kCount, OfErrorCode::kBufferUnknown},
  };
  table(out, "Limits", "| at most | | beyond |", [&] {
    for (const Limit& limit : limits)
      fmt::format_to(std::back_inserter(out), "| {} | {} | `{}` |\n", limit.of, limit.most,
                     numbers_of(limit.error).name);
  });
  fmt::format_to(std::back_inserter(out),
                 "\nWhile {} MB of what was written to a connection wait to be read, no more of its requests are "
                 "handled; packet-ins and "
                 "removed\nrules are lost to it, and counted (`shunt controller list`). One that misses a port's "
                 "change so is closed.\n",
                 Session::kMaxWaiting / kMegabyte);
}

void put_errors(std::string& out) {
#define SHUNT_LIST_ERROR(name, type, code, text) OfErrorCode::name,
  static constexpr OfErrorCode kErrors[] = {SHUNT_OF_ERRORS(SHUNT_LIST_ERROR)};
#undef SHUNT_LIST_ERROR
  const auto show = [](OfErrorCode code, Version version) {
    const ErrorNumbers numbers = error_numbers(code, version);
    if (numbers.experimenter == 0) return fmt::format("{}, {}", numbers.type, numbers.code);
    const std::string_view who = experimenter_name(numbers.experimenter);
    return version == Version::k10 ? fmt::format("{} {}, {}", who, numbers.type, numbers.code)
                                   : fmt::format("{} {}", who, numbers.code);
  };
  table(out, "Errors", "| error | 1.0 | 1.3 | 1.4 | 1.5 |", [&] {
    for (const OfErrorCode code : kErrors)
      fmt::format_to(std::back_inserter(out), "| `{}` | {} | {} | {} | {} |\n", numbers_of(code).name,
                     show(code, Version::k10), show(code, Version::k13), show(code, Version::k14),
                     show(code, Version::k15));
  });
}

}  // namespace

std::string reference_text() {
  std::string out{kIntroduction};
  put_messages(out);
  put_actions(out);
  put_fields(out);
  put_errors(out);
  put_limits(out);
  out += kNotThere;
  return out;
}

}  // namespace shunt::openflow

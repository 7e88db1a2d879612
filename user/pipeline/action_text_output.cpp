// SPDX-License-Identifier: Apache-2.0
// Actions that say where a packet goes: ports, controllers, groups, queues, meters, samples.
#include <array>
#include <utility>

#include "user/pipeline/action_text_names.h"
#include "user/pipeline/action_text_parser.h"
#include "user/pipeline/group.h"
#include "user/pipeline/meter.h"

namespace shunt::action_text {
namespace {

constexpr std::uint16_t kMinMaxLen = 14;  // an Ethernet header

// output(port=PORT,max_len=BYTES)
void output_truncated(Scope& scope, const ActionToken& token) {
  std::optional<PortNo> port;
  std::uint16_t max_len = 0;
  Items items{token.argument, token.argument_column};
  while (const auto item = items.next()) {
    if (item->key == "port" && item->has_value && !port) {
      port = scope.parse_output_port(item->value, item->value_column);
    } else if (item->key == "max_len" && item->has_value && max_len == 0) {
      max_len = parse_u16(item->value, "max_len", item->value_column);
      if (max_len < kMinMaxLen)
        throw TextError(item->value_column, fmt::format("max_len is at least {}, an Ethernet header", kMinMaxLen));
    } else {
      refuse_item(*item, "port=PORT or max_len=BYTES");
    }
  }
  if (!port || max_len == 0) throw TextError(token.argument_column, "output(port=PORT,max_len=BYTES) wants both");
  add_output(scope, *port, token, max_len);
}

void output(Scope& scope, const ActionToken& token) {
  if (token.in_parentheses && token.argument.find('=') != std::string_view::npos) return output_truncated(scope, token);
  const std::string_view text = token.argument;
  const bool is_port = text.front() == '"' || number_from(text) || reserved_port(text) || scope.names.find(text);
  const bool is_field = text.find('[') != std::string_view::npos || find_field(text) != nullptr;
  if (is_port || !is_field) return add_output(scope, scope.parse_output_port(text, token.argument_column), token);
  scope.add(OutputFieldAction{.source = scope.parse_source(text, token.argument_column)});
}

// In an action set what says no more than "to the controller" is an output, as in OpenFlow 1.3.
void add_controller(Scope& scope, ControllerAction action) {
  const bool is_plain = action == plain_controller(action.max_len);
  if (scope.kind != ListKind::kActionSet || !is_plain || action.max_len == 0) return scope.add(std::move(action));
  const std::uint16_t max_len = action.max_len == kWholePacket ? std::uint16_t{0} : action.max_len;
  scope.add(OutputAction{kPortController, max_len});
}

class ControllerParser {
 public:
  explicit ControllerParser(const ActionToken& token) : items_{token.argument, token.argument_column} {}

  ControllerAction parse() {
    while (const auto item = items_.next()) {
      if (is(*item, "max_len"))
        action_.max_len = parse_u16(item->value, "max_len", item->value_column);
      else if (is(*item, "reason"))
        action_.reason = parse_name(kReasonNames, item->value, "reason", item->value_column);
      else if (is(*item, "id"))
        action_.controller_id = parse_u16(item->value, "the controller's id", item->value_column);
      else if (is(*item, "userdata"))
        action_.userdata = parse_hex_bytes(item->value, item->value_column);
      else if (is(*item, "meter_id"))
        action_.meter_id = parse_u32(item->value, "the meter", item->value_column);
      else if (item->text == "pause" && !action_.pause)
        action_.pause = true;
      else
        refuse_item(*item, "max_len=N, reason=REASON, id=N, userdata=HH.HH, meter_id=N or pause");
    }
    return std::move(action_);
  }

 private:
  // One of the keys, the first time.
  bool is(const Item& item, std::string_view key) {
    if (item.key != key || !item.has_value) return false;
    for (std::string_view seen : seen_)
      if (seen == key) return false;
    seen_[count_++] = key;
    return true;
  }

  Items items_;
  ControllerAction action_;
  std::array<std::string_view, 5> seen_;
  std::size_t count_ = 0;
};

void controller(Scope& scope, const ActionToken& token) {
  if (!token.has_argument) return add_controller(scope, {});
  if (!token.in_parentheses || number_from(token.argument))
    return add_controller(scope, plain_controller(parse_u16(token.argument, "max_len", token.argument_column)));
  add_controller(scope, ControllerParser{token}.parse());
}

// enqueue:PORT:QUEUE or enqueue(PORT,QUEUE)
void enqueue(Scope& scope, const ActionToken& token) {
  const std::string_view text = token.argument;
  const std::size_t quote = text.front() == '"' ? text.find('"', 1) : 0;
  const std::size_t at = quote == std::string_view::npos ? quote : text.find_first_of(":,", quote);
  if (at == std::string_view::npos)
    throw TextError(token.argument_column, "enqueue wants a port and a queue: enqueue:PORT:QUEUE");
  const PortNo port = scope.parse_output_port(text.substr(0, at), token.argument_column);
  if (port.value >= kPortUnset.value && port != kPortLocal && port != kPortInPort)
    throw TextError(token.argument_column, "enqueue takes one port", OfErrorCode::kBadOutPort);
  const std::uint32_t queue = parse_u32(text.substr(at + 1), "the queue", token.argument_column + at + 1);
  if (queue == kNoQueue) throw TextError(token.argument_column + at + 1, "this queue is none", OfErrorCode::kBadQueue);
  scope.add(EnqueueAction{port, queue});
}

void group(Scope& scope, const ActionToken& token) {
  const auto number = parse_number(token.argument, 0xffffffff, "the group", token.argument_column);
  if (number > kGroupMax)
    throw TextError(token.argument_column,
                    fmt::format("{} is no group: they are at most {}", token.argument, kGroupMax),
                    OfErrorCode::kBadOutGroup);
  scope.add(GroupAction{static_cast<std::uint32_t>(number)});
}

void meter(Scope& scope, const ActionToken& token) {
  const auto number = parse_number(token.argument, 0xffffffff, "the meter", token.argument_column);
  if (number == 0 || number > kMeterMax)
    throw TextError(token.argument_column, fmt::format("{} is no meter: they are 1 to {}", token.argument, kMeterMax),
                    OfErrorCode::kInvalidMeter);
  scope.add(MeterAction{static_cast<std::uint32_t>(number)});
}

void set_queue(Scope& scope, const ActionToken& token) {
  const std::uint32_t queue = parse_u32(token.argument, "the queue", token.argument_column);
  if (queue == kNoQueue)
    throw TextError(token.argument_column, "this queue is none: write pop_queue", OfErrorCode::kBadQueue);
  scope.add(SetQueueAction{queue});
}

void pop_queue(Scope& scope, const ActionToken&) { scope.add(SetQueueAction{kNoQueue}); }

void sample(Scope& scope, const ActionToken& token) {
  SampleAction action{};
  Items items{token.argument, token.argument_column};
  while (const auto item = items.next()) {
    if (item->key == "probability") {
      action.probability = parse_u16(item->value, "the probability", item->value_column);
      if (action.probability == 0)
        throw TextError(item->value_column, "a probability of 0 samples nothing: it is out of 65535");
    } else if (item->key == "collector_set_id") {
      action.collector_set_id = parse_u32(item->value, item->key, item->value_column);
    } else if (item->key == "obs_domain_id") {
      action.obs_domain_id = parse_u32(item->value, item->key, item->value_column);
    } else if (item->key == "obs_point_id") {
      action.obs_point_id = parse_u32(item->value, item->key, item->value_column);
    } else if (item->key == "sampling_port") {
      action.sampling_port = scope.parse_output_port(item->value, item->value_column);
    } else if ((item->text == "ingress" || item->text == "egress") && action.direction == 0) {
      action.direction = item->text == "ingress" ? 1 : 2;
    } else {
      refuse_item(*item,
                  "probability, collector_set_id, obs_domain_id, obs_point_id, sampling_port=..., ingress or egress");
    }
  }
  if (action.probability == 0) throw TextError(token.argument_column, "sample wants probability=N, out of 65535");
  scope.add(std::move(action));
}

constexpr auto kActions = std::to_array<KnownAction>({
    {"output", output, Argument::kWanted},
    {"controller", controller, Argument::kOptional},
    {"enqueue", enqueue, Argument::kWanted},
    {"group", group, Argument::kWanted},
    {"meter", meter, Argument::kWanted},
    {"set_queue", set_queue, Argument::kWanted},
    {"pop_queue", pop_queue, Argument::kNone},
    {"sample", sample, Argument::kWanted},
});

}  // namespace

std::span<const KnownAction> output_actions() { return kActions; }

void add_output(Scope& scope, PortNo port, const ActionToken& token, std::uint16_t max_len) {
  const std::size_t column = token.has_argument ? token.argument_column : token.name_column;
  if (port == kPortController) {
    if (max_len != 0) throw TextError(column, "write controller(max_len=...)");
    return add_controller(scope, {});
  }
  if (port == kPortNone || port == kPortUnset)
    throw TextError(column, "this port takes no output", OfErrorCode::kBadOutPort);
  const bool is_many = port.value >= kPortTable.value && port != kPortLocal;
  if (max_len != 0 && is_many) throw TextError(column, "max_len is for one port", OfErrorCode::kBadOutPort);
  scope.add(OutputAction{port, max_len});
}

}  // namespace shunt::action_text

// SPDX-License-Identifier: Apache-2.0
#include "user/pipeline/group_text.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <limits>
#include <set>
#include <utility>

#include "user/base/of_error.h"
#include "user/flow/field_text.h"
#include "user/flow/fields.h"
#include "user/pipeline/action_text.h"
#include "user/pipeline/action_text_parser.h"
#include "user/pipeline/group_text_fields.h"
#include "user/pipeline/rule_text.h"
#include "user/pipeline/text_lines.h"

namespace shunt {
namespace {

using action_text::Item;
using action_text::Items;
using Command = GroupMod::Command;

constexpr std::size_t kMaxBuckets = 65536;     // of one text; the switch takes fewer
constexpr std::size_t kMaxGroups = 1'000'000;  // of one file
constexpr std::string_view kBucketKey = "bucket";

struct TypeName {
  std::string_view name;
  GroupType type;
};
// The first of a type is shown.
constexpr std::array<TypeName, 5> kTypeNames{{{"all", GroupType::kAll},
                                              {"select", GroupType::kSelect},
                                              {"indirect", GroupType::kIndirect},
                                              {"ff", GroupType::kFastFailover},
                                              {"fast_failover", GroupType::kFastFailover}}};

bool has_buckets(Command command) { return command != Command::kDelete && command != Command::kRemoveBucket; }
bool has_type(Command command) {
  return command == Command::kAdd || command == Command::kModify || command == Command::kAddOrModify;
}
bool has_command_bucket(Command command) {
  return command == Command::kInsertBucket || command == Command::kRemoveBucket;
}

[[noreturn]] void refuse(std::size_t column, const std::string& message,
                         OfErrorCode code = OfErrorCode::kInvalidGroup) {
  throw TextError(column, message, code);
}

std::uint32_t parse_32(std::string_view text, std::uint32_t max, std::string_view what, std::size_t column,
                       OfErrorCode code) {
  try {
    return static_cast<std::uint32_t>(parse_number(text, max, what, column));
  } catch (const TextError& error) {
    refuse(error.column(), error.reason(), code);
  }
}

// Where the next "bucket=" begins outside parentheses and quotes, from `at` on.
std::size_t find_bucket(std::string_view text, std::size_t at) {
  int depth = 0;
  bool quoted = false, begins_item = true;
  for (; at < text.size(); ++at) {
    const char c = text[at];
    if (!quoted && depth == 0 && begins_item && text.substr(at).starts_with("bucket=")) return at;
    if (c == '"') quoted = !quoted;
    if (!quoted && c == '(') ++depth;
    if (!quoted && c == ')') --depth;
    begins_item = c == ',' || c == ' ' || c == '\t';
  }
  return text.size();
}

class BucketParser {
 public:
  BucketParser(GroupType type, bool type_is_known, const PortNames& names)
      : type_{type}, type_is_known_{type_is_known}, names_{names} {}

  // The text behind "bucket=": parameters, then the actions, with or without "actions=" before them.
  Bucket parse(std::string_view text, std::size_t column, WantedAction* wanted) {
    bucket_.id = kBucketAll;
    Items items{text, column};
    while (const auto item = items.next()) {
      if (take(*item)) continue;
      const bool named = (item->key == "actions" || item->key == "action") && item->has_value;
      const std::size_t begin = (named ? item->value_column : item->column) - column;
      bucket_.actions = parse_action_set(text.substr(begin), names_, column + begin, wanted);
      break;
    }
    if (type_is_known_ && type_ == GroupType::kFastFailover && !bucket_.watch_port && !bucket_.watch_group)
      refuse(column, "a bucket of a fast failover group wants watch_port or watch_group");
    return std::move(bucket_);
  }

 private:
  // False where the item is no parameter: the actions begin.
  bool take(const Item& item) {
    if (!item.has_value) return false;
    if (item.key == "bucket_id") {
      once(item, has_id_);
      bucket_.id = parse_32(item.value, kGroupMax, "the bucket's id", item.value_column, OfErrorCode::kBadBucket);
    } else if (item.key == "weight") {
      once(item, has_weight_);
      if (type_is_known_ && type_ != GroupType::kSelect)
        refuse(item.column, "only select groups have weights", OfErrorCode::kBadBucket);
      bucket_.weight = static_cast<std::uint16_t>(parse_32(item.value, std::numeric_limits<std::uint16_t>::max(),
                                                           "weight", item.value_column, OfErrorCode::kBadBucket));
    } else if (item.key == "watch_port") {
      check_watch(item, bucket_.watch_port.has_value());
      const PortNo port = parse_port(item.value, names_, item.value_column, OfErrorCode::kBadWatch);
      if (port.value >= kPortUnset.value && port != kPortLocal && port != kPortNone)
        refuse(item.value_column, "watch_port is one port", OfErrorCode::kBadWatch);
      if (port != kPortNone) bucket_.watch_port = port;
    } else if (item.key == "watch_group") {
      check_watch(item, bucket_.watch_group.has_value());
      bucket_.watch_group = parse_32(item.value, kGroupMax, "watch_group", item.value_column, OfErrorCode::kBadWatch);
    } else {
      return false;
    }
    return true;
  }

  void check_watch(const Item& item, bool given) const {
    if (given) refuse(item.column, fmt::format("{} was given already", item.key), OfErrorCode::kBadBucket);
    if (type_is_known_ && type_ != GroupType::kSelect && type_ != GroupType::kFastFailover)
      refuse(item.column, "only select and fast failover groups watch", OfErrorCode::kWatchUnsupported);
  }

  static void once(const Item& item, bool& given) {
    if (std::exchange(given, true))
      refuse(item.column, fmt::format("{} was given already", item.key), OfErrorCode::kBadBucket);
  }

  GroupType type_;
  bool type_is_known_;
  const PortNames& names_;
  Bucket bucket_;
  bool has_id_ = false, has_weight_ = false;
};

class GroupParser {
 public:
  // Notes where what `refused`, if there is one, is about begins.
  GroupParser(Command command, const PortNames& names, const OfError* refused = nullptr)
      : names_{names}, refused_{refused} {
    mod_.command = command;
    mod_.group = kGroupAll;
  }

  [[nodiscard]] std::size_t refused_column() const { return refused_column_; }  // 0: it is about all of the group

  GroupMod parse(std::string_view text) {
    const std::size_t buckets = find_bucket(text, 0);
    Items items{text.substr(0, buckets), 1};
    while (const auto item = items.next()) take(*item);
    finish(text);
    for (std::size_t at = buckets; at < text.size();) at = take_bucket(text, at);
    check_buckets(text, buckets);
    return std::move(mod_);
  }

 private:
  struct Setting {
    std::string_view key;
    void (GroupParser::*set)(const Item&);
  };

  void take(const Item& item) {
    static constexpr std::array<Setting, 6> kSettings{{{"group_id", &GroupParser::set_id},
                                                       {"type", &GroupParser::set_type},
                                                       {"command_bucket_id", &GroupParser::set_command_bucket},
                                                       {"selection_method", &GroupParser::set_method},
                                                       {"selection_method_param", &GroupParser::set_parameter},
                                                       {"fields", &GroupParser::set_fields}}};
    for (std::size_t i = 0; i < kSettings.size(); ++i) {
      if (item.key != kSettings[i].key) continue;
      if (refused_ != nullptr && refused_->item() == item.key) refused_column_ = item.column;
      if (!item.has_value) refuse(item.column, fmt::format("{0} wants a value: {0}=...", item.key));
      if (std::exchange(columns_[i], item.column) != 0)
        refuse(item.column, fmt::format("{} was given already", item.key));
      return (this->*kSettings[i].set)(item);
    }
    static constexpr std::array<std::string_view, 7> kKeys{
        "group_id", "type", "command_bucket_id", "selection_method", "selection_method_param", "fields", kBucketKey};
    const std::string_view near = nearest(item.key, kKeys);
    refuse(item.column, near.empty()
                            ? fmt::format("'{}' is nothing that a group has", item.key)
                            : fmt::format("'{}' is nothing that a group has (did you mean '{}'?)", item.key, near));
  }

  void set_id(const Item& item) {
    if (item.value == "all" && mod_.command == Command::kDelete) {
      mod_.group = kGroupAll;
      return;
    }
    mod_.group = parse_32(item.value, kGroupMax, "the group", item.value_column, OfErrorCode::kInvalidGroup);
  }

  void set_type(const Item& item) {
    if (!has_type(mod_.command)) refuse(item.column, "the type of a group that is there stays as it is");
    const auto at = std::ranges::find(kTypeNames, item.value, &TypeName::name);
    if (at == kTypeNames.end())
      refuse(item.value_column, fmt::format("'{}' is no type of group (all, select, indirect, ff)", item.value),
             OfErrorCode::kBadGroupType);
    mod_.type = at->type;
  }

  void set_command_bucket(const Item& item) {
    if (!has_command_bucket(mod_.command))
      refuse(item.column, "command_bucket_id is for buckets that are inserted or removed");
    if (item.value == "first")
      mod_.command_bucket = kBucketFirst;
    else if (item.value == "last")
      mod_.command_bucket = kBucketLast;
    else if (item.value == "all" && mod_.command == Command::kRemoveBucket)
      mod_.command_bucket = kBucketAll;
    else
      mod_.command_bucket =
          parse_32(item.value, kGroupMax, "command_bucket_id", item.value_column, OfErrorCode::kUnknownBucket);
  }

  void set_method(const Item& item) {
    if (item.value == "dp_hash")
      mod_.selection.method = Selection::Method::kDpHash;
    else if (item.value == "hash")
      mod_.selection.method = Selection::Method::kHash;
    else
      refuse(item.value_column, fmt::format("'{}' is no selection method (dp_hash, hash)", item.value));
  }

  void set_parameter(const Item& item) {
    mod_.selection.parameter = static_cast<std::uint64_t>(
        parse_number(item.value, std::numeric_limits<std::uint64_t>::max(), item.key, item.value_column));
  }

  void set_fields(const Item& item) { mod_.selection.fields = parse_hash_fields(item.value, item.value_column); }

  // What the settings want of each other, when all are known.
  void finish(std::string_view text) const {
    enum { kId, kType, kCommandBucket, kMethod, kParameter, kFields };
    if (columns_[kId] == 0 && mod_.command != Command::kDelete)
      refuse(text.size() + 1, "the group is missing: group_id=N");
    if (columns_[kType] == 0 && has_type(mod_.command))
      refuse(text.size() + 1, "the type is missing: type=all, select, indirect or ff", OfErrorCode::kBadGroupType);
    if (columns_[kCommandBucket] == 0 && has_command_bucket(mod_.command))
      refuse(text.size() + 1, "the bucket is missing: command_bucket_id=first, last or N");
    for (const int setting : {kMethod, kParameter, kFields})
      if (columns_[setting] != 0 && (!has_type(mod_.command) || mod_.type != GroupType::kSelect))
        refuse(columns_[setting], "only a select group has a selection method");
    if (columns_[kParameter] != 0 && columns_[kMethod] == 0)
      refuse(columns_[kParameter], "selection_method_param wants a selection_method");
    if (columns_[kFields] != 0 && mod_.selection.method != Selection::Method::kHash)
      refuse(columns_[kFields], "fields are for selection_method=hash");
  }

  // The bucket that begins at `at`; returns where the next one does.
  std::size_t take_bucket(std::string_view text, std::size_t at) {
    if (!has_buckets(mod_.command)) refuse(at + 1, "buckets are given where a group or a bucket is added");
    if (mod_.buckets.size() == kMaxBuckets)
      refuse(at + 1, fmt::format("more than {} buckets", kMaxBuckets), OfErrorCode::kOutOfBuckets);
    const std::size_t begin = at + kBucketKey.size() + 1;
    const std::size_t end = find_bucket(text, begin);
    BucketParser parser{mod_.type, has_type(mod_.command), names_};
    const std::span<const std::size_t> path = refused_ != nullptr ? refused_->path() : std::span<const std::size_t>{};
    const bool is_refused = !path.empty() && path.front() == mod_.buckets.size();
    WantedAction wanted{is_refused ? path.subspan(1) : path};
    mod_.buckets.push_back(parser.parse(text.substr(begin, end - begin), begin + 1, is_refused ? &wanted : nullptr));
    if (is_refused) refused_column_ = wanted.column != 0 ? wanted.column : at + 1;
    const std::uint32_t id = mod_.buckets.back().id;
    if (id != kBucketAll && !ids_.insert(id).second)
      refuse(at + 1, fmt::format("two buckets have the id {}", id), OfErrorCode::kBucketExists);
    return end;
  }

  void check_buckets(std::string_view text, std::size_t buckets) const {
    if (has_type(mod_.command) && mod_.type == GroupType::kIndirect && mod_.buckets.size() != 1)
      refuse(mod_.buckets.empty() ? text.size() + 1 : find_bucket(text, buckets + 1) + 1,
             "an indirect group has one bucket");
    if (mod_.command == Command::kInsertBucket && mod_.buckets.empty())
      refuse(text.size() + 1, "the bucket to insert is missing: bucket=...");
  }

  const PortNames& names_;
  const OfError* refused_;
  std::size_t refused_column_ = 0;
  GroupMod mod_;
  std::array<std::size_t, 6> columns_{};  // of the settings; 0: not given
  std::set<std::uint32_t> ids_;
};

constexpr std::array<CommandWord<Command>, 6> kCommandWords{{{"add", Command::kAdd},
                                                             {"modify", Command::kModify},
                                                             {"add_or_mod", Command::kAddOrModify},
                                                             {"delete", Command::kDelete},
                                                             {"insert_bucket", Command::kInsertBucket},
                                                             {"remove_bucket", Command::kRemoveBucket}}};

void append_selection(std::string& out, const Selection& selection) {
  const bool is_hash = selection.method == Selection::Method::kHash;
  if (!is_hash && selection.parameter == 0) return;
  out += is_hash ? ",selection_method=hash" : ",selection_method=dp_hash";
  if (selection.parameter != 0)
    fmt::format_to(std::back_inserter(out), ",selection_method_param={}", selection.parameter);
  if (!is_zero(selection.fields)) append_hash_fields(out += ',', selection.fields);
}

void append_bucket(std::string& out, const Bucket& bucket, const PortNames& names) {
  out += ",bucket=";
  if (bucket.id != kBucketAll) fmt::format_to(std::back_inserter(out), "bucket_id:{},", bucket.id);
  if (bucket.weight != 1) fmt::format_to(std::back_inserter(out), "weight:{},", bucket.weight);
  if (bucket.watch_port) {
    out += "watch_port:";
    append_port(out, *bucket.watch_port, names);
    out += ',';
  }
  if (bucket.watch_group) fmt::format_to(std::back_inserter(out), "watch_group:{},", *bucket.watch_group);
  out += "actions=";
  out += format_actions(bucket.actions, names);
}

std::string command_bucket_name(std::uint32_t bucket) {
  if (bucket == kBucketFirst) return "first";
  if (bucket == kBucketLast) return "last";
  if (bucket == kBucketAll) return "all";
  return fmt::format("{}", bucket);
}

}  // namespace

GroupMod parse_group(std::string_view text, GroupMod::Command command, const PortNames& names) {
  try {
    return GroupParser{command, names}.parse(text);
  } catch (const TextError& error) {
    throw TextError(error.column(), error.reason(), error.code().value_or(OfErrorCode::kInvalidGroup));
  }
}

std::vector<GroupMod> parse_groups(std::string_view text, GroupMod::Command default_command, const PortNames& names) {
  std::vector<GroupMod> mods;
  LineReader lines{text};
  while (const auto line = lines.next()) {
    if (mods.size() == kMaxGroups) throw LineError(line->number, 1, fmt::format("more than {} groups", kMaxGroups));
    const auto [command, offset] = leading_command(line->text, kCommandWords, default_command);
    try {
      mods.push_back(parse_group(line->text.substr(offset), command, names));
      mods.back().line = line->number;
    } catch (const TextError& error) {
      throw LineError(line->number, error.column() + offset, error.reason(), error.code());
    }
  }
  return mods;
}

void locate_group(OfError& error, std::string_view text, GroupMod::Command default_command, const PortNames& names) {
  const std::string_view line = line_of(text, error.line());
  const auto [command, offset] = error.line() == 0 ? std::pair{default_command, std::size_t{0}}
                                                   : leading_command(line, kCommandWords, default_command);
  const std::string_view group = line.substr(offset);
  GroupParser parser{command, names, &error};
  (void)parser.parse(group);
  error.set_column(offset + (parser.refused_column() != 0 ? parser.refused_column() : first_column(group)));
}

std::string format_group_spec(const GroupMod& mod, const PortNames& names) {
  if (mod.command == Command::kDelete && mod.group == kGroupAll) return "group_id=all";
  std::string out = fmt::format("group_id={}", mod.group);
  if (has_type(mod.command)) {
    fmt::format_to(std::back_inserter(out), ",type={}", group_type_name(mod.type));
    append_selection(out, mod.selection);
  }
  if (has_command_bucket(mod.command)) out += ",command_bucket_id=" + command_bucket_name(mod.command_bucket);
  for (const Bucket& bucket : mod.buckets) append_bucket(out, bucket, names);
  return out;
}

std::string format_group(const Group& group, const PortNames& names) {
  std::string out = fmt::format("group_id={},type={}", group.id, group_type_name(group.type));
  append_selection(out, group.selection);
  for (const BucketRef& bucket : group.buckets) append_bucket(out, *bucket, names);
  return out;
}

std::string format_group_stats(const Group& group, std::uint64_t references, TimePoint now) {
  std::string out =
      fmt::format("group_id={},duration={},ref_count={},packet_count={},byte_count={}", group.id,
                  format_duration(now - group.created), references, group.counters.packets(), group.counters.bytes());
  for (std::size_t i = 0; i < group.buckets.size(); ++i)
    fmt::format_to(std::back_inserter(out), ",bucket{}:packet_count={},byte_count={}", i,
                   group.buckets[i]->counters.packets(), group.buckets[i]->counters.bytes());
  return out;
}

std::string_view group_type_name(GroupType type) {
  const auto at = std::ranges::find(kTypeNames, type, &TypeName::type);
  return at == kTypeNames.end() ? std::string_view{"unknown"} : at->name;
}

}  // namespace shunt

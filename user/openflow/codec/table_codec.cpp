// SPDX-License-Identifier: Apache-2.0
#include "user/openflow/codec/table_codec.h"

#include "user/openflow/codec/action_codec.h"
#include "user/openflow/codec/message.h"
#include "user/openflow/codec/oxm_table.h"

namespace shunt::openflow {
namespace {

constexpr std::uint32_t kDeprecatedConfig = 3;                  // OFPTC_DEPRECATED_MASK
constexpr std::uint32_t kEviction = 1 << 2, kVacancy = 1 << 3;  // OFPTC_*
constexpr std::uint16_t kEvictionProperty = 2, kVacancyProperty = 3;
constexpr std::uint32_t kByImportance = 2, kByLifetime = 4;  // OFPTMPEF_*

std::string name_of_table(const TableFigures& figures) {
  return figures.config.name.empty() ? fmt::format("table{}", figures.table) : figures.config.name;
}

std::uint32_t config_of(const TableFigures& figures, Version version) {
  if (version < Version::k14) return 0;
  return (figures.config.evict ? kEviction : 0) | (figures.vacancy ? kVacancy : 0);
}

Vacancy read_vacancy(Reader& property) {
  const Vacancy vacancy{property.u8(), property.u8()};
  if (vacancy.down > vacancy.up || vacancy.up > 100)
    throw OfError(OfErrorCode::kPropertyBadValue, "vacancy of {} to {} percent", vacancy.down, vacancy.up);
  return vacancy;
}

}  // namespace

TableMod decode_table_mod(Bytes body, Version version) {
  Reader in{body};
  TableMod mod;
  if (const std::uint8_t table = in.u8(); table != kAllTables) mod.table = table;
  in.skip(3);
  const std::uint32_t config = in.u32();
  const std::uint32_t known = version >= Version::k14 ? kDeprecatedConfig | kEviction | kVacancy : kDeprecatedConfig;
  if ((config & ~known) != 0)
    throw OfError(OfErrorCode::kBadTableConfig, "table configuration {:#x} is unknown", config);
  if (mod.table && *mod.table >= kTableCount)
    throw OfError(OfErrorCode::kBadTable, "table {}: tables are 0 to {}", *mod.table, kTableCount - 1);
  if (version < Version::k14) return mod;
  mod.evict = (config & kEviction) != 0;
  mod.tells_vacancy = (config & kVacancy) != 0;
  for_each_property(in, [&](std::uint16_t type, Reader& property) {
    if (type == kVacancyProperty)
      mod.vacancy = read_vacancy(property);
    else if (type != kEvictionProperty)  // whose flags are what eviction goes by here, and cannot be chosen
      throw OfError(OfErrorCode::kBadProperty, "no property {}", type);
  });
  return mod;
}

void encode_table_stats(Writer& out, const TableFigures& figures, Version version) {
  out.u8(figures.table);
  out.zeros(3);
  if (version == Version::k10) {
    constexpr std::uint32_t kAllWildcards = (1 << 22) - 1;
    out.text(name_of_table(figures), 32);
    out.u32(kAllWildcards);
    out.u32(figures.config.max_rules.value_or(kMaxTableRules));
  }
  out.u32(figures.rules);
  out.u64(figures.lookups);
  out.u64(figures.matches);
}

unsigned free_percent(const TableFigures& figures) {
  const std::uint64_t most = figures.config.max_rules.value_or(kMaxTableRules);
  if (most <= figures.rules) return 0;
  return static_cast<unsigned>((most - figures.rules) * 100 / most);
}

void encode_table_status(Writer& out, TableReason reason, const TableFigures& figures, Version version) {
  const MessageScope message{out, version, MessageKind::kTableStatus, 0};
  out.u8(static_cast<std::uint8_t>(reason));
  out.zeros(7);
  encode_table_description(out, figures);
}

void encode_table_description(Writer& out, const TableFigures& figures) {
  const std::size_t start = out.size();
  out.u16(0);
  out.u8(figures.table);
  out.zeros(1);
  out.u32(config_of(figures, Version::k14));
  {
    const Tlv tlv{out, kEvictionProperty};
    out.u32(kByImportance | kByLifetime);
  }
  if (figures.vacancy) {
    const Tlv tlv{out, kVacancyProperty};
    out.u8(figures.vacancy->down);
    out.u8(figures.vacancy->up);
    out.u8(static_cast<std::uint8_t>(free_percent(figures)));
    out.zeros(1);
  }
  out.patch16(start, out.size() - start);
}

namespace {

// ofp_table_feature_prop_type; the number after is that of the table's miss.
enum FeatureProperty : std::uint16_t {
  kInstructions = 0,
  kNextTables = 2,
  kWriteActions = 4,
  kApplyActions = 6,
  kMatch = 8,
  kWildcards = 10,
  kWriteSetField = 12,
  kApplySetField = 14,
  kWriteCopyField = 18,
  kApplyCopyField = 20,
};

template <typename Fill>
void property(Writer& out, std::uint16_t type, Fill&& fill) {
  const std::size_t start = out.size();
  {
    const Tlv tlv{out, type};
    fill();
  }
  out.align(start, 8);
}

// The fields that a version has a name of its own for, once each.
template <typename Wanted>
void put_fields(Writer& out, Version version, Wanted&& wanted, bool with_mask) {
  for (const Field& f : fields()) {
    const OxmField* oxm = wire_form(f.id, version);
    if (oxm == nullptr || !wanted(f)) continue;
    write_oxm_header(out, *oxm, with_mask && is_maskable(f));
  }
}

void put_actions(Writer& out, Version version, bool in_set) {
  constexpr std::uint16_t kHeaderOnly = 4;
  for (const ActionFormat& format : standard_actions()) {
    if (format.experimenter != 0 || version < format.since || format.until < version) continue;
    const bool only_listed = format.name == "OFPAT_METER";
    if (in_set && only_listed) continue;
    out.u16(format.number);
    out.u16(kHeaderOnly);
  }
}

void put_instructions(Writer& out, Version version, bool may_go_on) {
  constexpr std::uint16_t kGoto = 1, kHeaderOnly = 4;
  for (const InstructionFormat& format : instruction_formats()) {
    if (version < format.since || format.until < version || (format.number == kGoto && !may_go_on)) continue;
    out.u16(format.number);
    out.u16(kHeaderOnly);
  }
}

}  // namespace

void encode_table_features(Writer& out, const TableFigures& figures, Version version) {
  const std::size_t start = out.size();
  const bool may_go_on = figures.table + 1 < kTableCount;
  out.u16(0);
  out.u8(figures.table);
  out.zeros(5);
  out.text(name_of_table(figures), 32);
  out.u64(~std::uint64_t{0});
  out.u64(~std::uint64_t{0});
  out.u32(version >= Version::k14 ? kEviction | kVacancy : 0);
  out.u32(figures.config.max_rules.value_or(kMaxTableRules));

  const auto writable = [](const Field& f) { return f.writable && f.id != FieldId::kVlanTci; };
  property(out, kInstructions, [&] { put_instructions(out, version, may_go_on); });
  property(out, kNextTables, [&] {
    for (unsigned next = figures.table + 1u; next < kTableCount; ++next) out.u8(static_cast<std::uint8_t>(next));
  });
  property(out, kWriteActions, [&] { put_actions(out, version, true); });
  property(out, kWriteSetField, [&] { put_fields(out, version, writable, false); });
  property(out, kApplyActions, [&] { put_actions(out, version, false); });
  property(out, kApplySetField, [&] { put_fields(out, version, writable, false); });
  if (version >= Version::k15) {
    property(out, kWriteCopyField, [&] { put_fields(out, version, writable, false); });
    property(out, kApplyCopyField, [&] { put_fields(out, version, writable, false); });
  }
  property(out, kMatch, [&] {
    put_fields(
        out, version, [](const Field&) { return true; }, true);
  });
  property(out, kWildcards, [&] {
    put_fields(
        out, version, [](const Field&) { return true; }, false);
  });
  out.patch16(start, out.size() - start);
}

}  // namespace shunt::openflow

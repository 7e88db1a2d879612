// SPDX-License-Identifier: Apache-2.0
// Messages about tables: table-mod, and multipart replies. Threads: any.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "user/openflow/codec/bytes.h"
#include "user/openflow/codec/version.h"
#include "user/pipeline/switch.h"

namespace shunt::openflow {

// A table says when less than `down` percent of it are free, and when more than `up` percent are again.
struct Vacancy {
  std::uint8_t down = 0, up = 0;
};

struct TableMod {
  std::optional<std::uint8_t> table;  // none: all
  std::optional<bool> evict;          // OpenFlow 1.4, as is what follows; none: as it is
  std::optional<bool> tells_vacancy;
  std::optional<Vacancy> vacancy;  // none: as it was told before
};
[[nodiscard]] TableMod decode_table_mod(Bytes body, Version version);

struct TableFigures {
  std::uint8_t table = 0;
  TableConfig config;
  std::uint32_t rules = 0;
  std::uint64_t lookups = 0, matches = 0;
  std::optional<Vacancy> vacancy{};
};
[[nodiscard]] unsigned free_percent(const TableFigures& figures);
// Entries of the replies to kTable, kTableFeatures, kTableDescription.
void encode_table_stats(Writer& out, const TableFigures& figures, Version version);
void encode_table_features(Writer& out, const TableFigures& figures, Version version);
void encode_table_description(Writer& out, const TableFigures& figures);

enum class TableReason : std::uint8_t { kVacancyDown = 3, kVacancyUp = 4 };  // ofp_table_reason
void encode_table_status(Writer& out, TableReason reason, const TableFigures& figures, Version version);

}  // namespace shunt::openflow

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

struct TableMod {
  std::optional<std::uint8_t> table;  // none: all
  std::optional<bool> evict;          // OpenFlow 1.4; none: as it is
};
[[nodiscard]] TableMod decode_table_mod(Bytes body, Version version);

struct TableFigures {
  std::uint8_t table = 0;
  TableConfig config;
  std::uint32_t rules = 0;
  std::uint64_t lookups = 0, matches = 0;
};
// Entries of the replies to kTable, kTableFeatures, kTableDescription.
void encode_table_stats(Writer& out, const TableFigures& figures, Version version);
void encode_table_features(Writer& out, const TableFigures& figures, Version version);
void encode_table_description(Writer& out, const TableFigures& figures);

}  // namespace shunt::openflow

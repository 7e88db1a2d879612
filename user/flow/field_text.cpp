// SPDX-License-Identifier: Apache-2.0
#include "user/flow/field_text.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

#include "user/base/error.h"
#include "user/base/of_error.h"

namespace shunt {
namespace {

struct FragWord {
  std::string_view word;
  std::uint8_t value, mask;
};
// The first that fits is shown.
constexpr std::array<FragWord, 5> kFragWords{{
    {"no", 0, SHUNT_FRAG_ANY | SHUNT_FRAG_LATER},
    {"yes", SHUNT_FRAG_ANY, SHUNT_FRAG_ANY},
    {"first", SHUNT_FRAG_ANY, SHUNT_FRAG_ANY | SHUNT_FRAG_LATER},
    {"later", SHUNT_FRAG_ANY | SHUNT_FRAG_LATER, SHUNT_FRAG_ANY | SHUNT_FRAG_LATER},
    {"not_later", 0, SHUNT_FRAG_LATER},
}};

// By bit, from the least significant one.
constexpr std::array<std::string_view, 12> kTcpFlagWords{"fin", "syn", "rst", "psh",   "ack",   "urg",
                                                         "ece", "cwr", "ns",  "[200]", "[400]", "[800]"};
constexpr std::array<std::string_view, 9> kExthdrWords{"nonext", "esp", "auth",  "dest", "frag",
                                                       "router", "hop", "unrep", "unseq"};

std::span<const std::string_view> flag_words(FieldFormat format) {
  if (format == FieldFormat::kTcpFlags) return kTcpFlagWords;
  if (format == FieldFormat::kExthdr) return kExthdrWords;
  return {};
}

[[noreturn]] void refuse(std::size_t column, const std::string& message) { throw TextError(column, message); }

int hex_digit(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::optional<FieldBits> mac_from(std::string_view text) noexcept {
  FieldBits value = 0;
  for (int byte = 0; byte < 6; ++byte) {
    if (byte > 0) {
      if (text.empty() || text.front() != ':') return {};
      text.remove_prefix(1);
    }
    int digits = 0;
    unsigned octet = 0;
    for (; digits < 2 && !text.empty() && hex_digit(text.front()) >= 0; ++digits, text.remove_prefix(1))
      octet = octet << 4 | static_cast<unsigned>(hex_digit(text.front()));
    if (digits == 0) return {};
    value = value << 8 | octet;
  }
  if (!text.empty()) return {};
  return value;
}

std::optional<FieldBits> ipv4_from(std::string_view text) noexcept {
  FieldBits value = 0;
  for (int byte = 0; byte < 4; ++byte) {
    if (byte > 0) {
      if (text.empty() || text.front() != '.') return {};
      text.remove_prefix(1);
    }
    unsigned octet = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), octet);
    // A leading zero is refused as inet_pton does: it might be meant as octal.
    if (error != std::errc{} || octet > 255 || (text.front() == '0' && end - text.data() > 1)) return {};
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    value = value << 8 | octet;
  }
  if (!text.empty()) return {};
  return value;
}

std::optional<FieldBits> ipv6_from(std::string_view text) noexcept {
  std::array<char, INET6_ADDRSTRLEN> buffer{};
  if (text.size() >= buffer.size()) return {};
  std::memcpy(buffer.data(), text.data(), text.size());
  std::array<std::uint8_t, 16> bytes{};
  if (inet_pton(AF_INET6, buffer.data(), bytes.data()) != 1) return {};
  FieldBits value = 0;
  for (std::uint8_t byte : bytes) value = value << 8 | byte;
  return value;
}

std::optional<FieldBits> address_from(const Field& field, std::string_view text) noexcept {
  switch (field.format) {
    case FieldFormat::kMac:
      return mac_from(text);
    case FieldFormat::kIpv4:
      return ipv4_from(text);
    case FieldFormat::kIpv6:
      return ipv6_from(text);
    default:
      return number_from(text);
  }
}

std::string_view value_kind(FieldFormat format) {
  switch (format) {
    case FieldFormat::kMac:
      return "a MAC address";
    case FieldFormat::kIpv4:
      return "an IPv4 address";
    case FieldFormat::kIpv6:
      return "an IPv6 address";
    default:
      return "a number";
  }
}

FieldBits prefix_mask(unsigned width, unsigned length) noexcept { return low_bits(width) & ~low_bits(width - length); }

// The length of the prefix that `mask` is; nothing where it is none.
std::optional<unsigned> prefix_length(unsigned width, FieldBits mask) noexcept {
  for (unsigned length = 0; length <= width; ++length)
    if (prefix_mask(width, length) == mask) return length;
  return {};
}

bool is_address(FieldFormat format) { return format == FieldFormat::kIpv4 || format == FieldFormat::kIpv6; }

FieldBits parse_mask(const Field& field, std::string_view text, std::size_t column) {
  const bool is_length = is_address(field.format) && text.find_first_of(".:") == std::string_view::npos;
  const auto number = is_length ? number_from(text) : std::nullopt;
  if (number && *number > field.width)
    throw TextError(column, fmt::format("the prefix length {} is out of range (at most {})", text, field.width),
                    OfErrorCode::kBadMatchMask);
  if (number) return prefix_mask(field.width, static_cast<unsigned>(*number));
  const auto mask = address_from(field, text);
  if (!mask || *mask > (value_bits(field) | ((FieldBits{1} << field.fixed_low_bits) - 1)))
    throw TextError(column, fmt::format("'{}' is no mask for {}", text, field.name), OfErrorCode::kBadMatchMask);
  return *mask & value_bits(field);
}

std::optional<FieldText> frag_from(std::string_view text) noexcept {
  const auto at = std::ranges::find(kFragWords, text, &FragWord::word);
  if (at == kFragWords.end()) return {};
  return FieldText{at->value, at->mask};
}

// "+syn-ack": these bits only; "syn|ack": all bits, these set.
std::optional<FieldText> flags_from(const Field& field, std::string_view text) noexcept {
  const std::span<const std::string_view> words = flag_words(field.format);
  if (text.empty() || (text.front() >= '0' && text.front() <= '9')) return {};
  const bool masked = text.front() == '+' || text.front() == '-';
  FieldText result{0, masked ? 0 : value_bits(field)};
  bool set = true;
  for (bool first = true; !text.empty(); first = false) {
    if (masked || !first) {
      if (masked ? text.front() != '+' && text.front() != '-' : text.front() != '|') return {};
      set = text.front() != '-';
      text.remove_prefix(1);
    }
    const std::string_view word = text.substr(0, text.find_first_of("+-|"));
    const auto at = std::ranges::find(words, word);
    if (at == words.end()) return {};
    const FieldBits bit = FieldBits{1} << (at - words.begin());
    if (masked && (result.mask & bit) != 0) return {};  // "+syn-syn"
    if (set) result.value |= bit;
    result.mask |= bit;
    text.remove_prefix(word.size());
  }
  return result;
}

void append_flags(std::string& out, const Field& field, FieldBits value, FieldBits mask) {
  const std::span<const std::string_view> words = flag_words(field.format);
  const bool whole = mask == value_bits(field);
  if (whole && value == 0) {
    out += '0';
    return;
  }
  bool first = true;
  for (std::size_t bit = 0; bit < words.size(); ++bit) {
    const bool set = (value >> bit & 1) != 0;
    if ((mask >> bit & 1) == 0 || (whole && !set)) continue;
    if (!whole)
      out += set ? '+' : '-';
    else if (!first)
      out += '|';
    out += words[bit];
    first = false;
  }
}

void append_hex_digits(std::string& out, FieldBits value, unsigned min_digits) {
  std::array<char, 32> digits{};
  std::size_t count = 0;
  do {
    digits[count++] = "0123456789abcdef"[static_cast<unsigned>(value & 0xf)];
    value >>= 4;
  } while (value != 0);
  while (count < min_digits) digits[count++] = '0';
  while (count > 0) out += digits[--count];
}

void append_value(std::string& out, const Field& field, FieldBits value) {
  switch (field.format) {
    case FieldFormat::kMac:
      return append_mac(out, value);
    case FieldFormat::kIpv4:
      return append_ipv4(out, value);
    case FieldFormat::kIpv6:
      return append_ipv6(out, value);
    case FieldFormat::kHex:
      return append_plain_hex(out, value);
    default:
      return append_number(out, value);
  }
}

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = std::exchange(row[j], std::min({row[j] + 1, row[j - 1] + 1, replaced}));
    }
  }
  return row[b.size()];
}

}  // namespace

FieldText parse_field(const Field& field, std::string_view text, std::size_t column, AllowedMask allowed) {
  if (field.format == FieldFormat::kFrag) {
    if (const auto words = frag_from(text)) return *words;
  } else if (!flag_words(field.format).empty()) {
    if (const auto words = flags_from(field, text)) return *words;
  }
  const std::size_t slash = text.find('/');
  const std::string_view value_text = text.substr(0, slash);
  const auto value = address_from(field, value_text);
  if (!value) {
    if (field.format == FieldFormat::kFrag)
      refuse(column, fmt::format("'{}' is no fragment word (no, yes, first, later, not_later)", text));
    if (field.format == FieldFormat::kTcpFlags)
      refuse(column, fmt::format("'{}' are no TCP flags (write +syn-ack, syn|ack, or a number)", text));
    if (field.format == FieldFormat::kExthdr)
      refuse(column, fmt::format("'{}' are no extension headers (write +frag-hop, frag|hop, or a number)", text));
    refuse(column, fmt::format("'{}' is not {} for {}", value_text, value_kind(field.format), field.name));
  }
  const FieldBits bits = value_bits(field);
  const FieldBits max = bits | ((FieldBits{1} << field.fixed_low_bits) - 1);
  if (*value > max) {
    std::string limit;
    append_number(limit, max);
    refuse(column, fmt::format("{} is out of range for {} (at most {})", value_text, field.name, limit));
  }
  if (slash == std::string_view::npos) return {*value & bits, bits};
  if (!is_maskable(field) && allowed == AllowedMask::kAsMatched)
    throw TextError(column + slash, fmt::format("{} takes no mask", field.name), OfErrorCode::kBadMatchMask);
  const FieldBits mask = parse_mask(field, text.substr(slash + 1), column + slash + 1);
  return {*value & mask, mask};
}

void format_field(std::string& out, const Field& field, FieldBits value, FieldBits mask) {
  const bool whole = mask == value_bits(field);
  if (!flag_words(field.format).empty() && mask != 0) return append_flags(out, field, value, mask);
  if (field.format == FieldFormat::kFrag) {
    const auto at =
        std::ranges::find_if(kFragWords, [&](const FragWord& w) { return w.value == value && w.mask == mask; });
    if (at != kFragWords.end()) {
      out += at->word;
      return;
    }
  }
  if (whole) return append_value(out, field, value);
  if (is_address(field.format)) {
    append_value(out, field, value);
    out += '/';
    if (const auto length = prefix_length(field.width, mask))
      append_number(out, *length);
    else
      append_value(out, field, mask);
  } else if (field.format == FieldFormat::kMac || field.format == FieldFormat::kHex) {
    append_value(out, field, value);
    out += '/';
    append_value(out, field, mask);
  } else {
    append_hex(out, value);
    out += '/';
    append_hex(out, mask);
  }
}

FieldBits parse_number(std::string_view text, FieldBits max, std::string_view what, std::size_t column) {
  const auto value = number_from(text);
  if (!value) {
    if (text.size() > 1 && text.front() == '0' && text.find_first_not_of("0123456789") == std::string_view::npos)
      refuse(column, fmt::format("{} '{}' begins with 0: write it without, or as 0x...", what, text));
    refuse(column, fmt::format("{} '{}' is not a number", what, text));
  }
  if (*value > max) {
    std::string limit;
    append_number(limit, max);
    refuse(column, fmt::format("{} {} is out of range (at most {})", what, text, limit));
  }
  return *value;
}

std::optional<FieldBits> number_from(std::string_view text) noexcept {
  if (text.size() > 2 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
    FieldBits value = 0;
    for (const char c : text.substr(2)) {
      if (hex_digit(c) < 0 || value >> 124 != 0) return {};
      value = value << 4 | static_cast<unsigned>(hex_digit(c));
    }
    return value;
  }
  if (text.empty() || (text.size() > 1 && text.front() == '0')) return {};
  FieldBits value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return {};
    const auto digit = static_cast<unsigned>(c - '0');
    if (value > (~FieldBits{0} - digit) / 10) return {};
    value = value * 10 + digit;
  }
  return value;
}

void append_number(std::string& out, FieldBits value) {
  if (value > std::numeric_limits<std::uint64_t>::max()) return append_hex(out, value);
  std::array<char, 20> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), static_cast<std::uint64_t>(value)).ptr;
  out.append(digits.data(), end);
}

void append_hex(std::string& out, FieldBits value, unsigned digits) {
  out += "0x";
  append_hex_digits(out, value, digits);
}

void append_plain_hex(std::string& out, FieldBits value) {
  if (value == 0)
    out += '0';
  else
    append_hex(out, value);
}

void append_mac(std::string& out, FieldBits value) {
  for (int shift = 40; shift >= 0; shift -= 8) {
    append_hex_digits(out, value >> shift & 0xff, 2);
    if (shift > 0) out += ':';
  }
}

void append_ipv4(std::string& out, FieldBits value) {
  for (int shift = 24; shift >= 0; shift -= 8) {
    append_number(out, value >> shift & 0xff);
    if (shift > 0) out += '.';
  }
}

void append_ipv6(std::string& out, FieldBits value) {
  std::array<std::uint8_t, 16> bytes{};
  for (std::size_t i = bytes.size(); i-- > 0; value >>= 8) bytes[i] = static_cast<std::uint8_t>(value & 0xff);
  std::array<char, INET6_ADDRSTRLEN> text{};
  out += inet_ntop(AF_INET6, bytes.data(), text.data(), text.size());
}

std::string_view nearest(std::string_view name, std::span<const std::string_view> candidates) {
  std::string_view best;
  std::size_t best_distance = std::max<std::size_t>(1, name.size() / 3) + 1;
  if (name.size() > 32) return best;
  for (std::string_view candidate : candidates) {
    const std::size_t distance = edit_distance(name, candidate);
    if (distance < best_distance) {
      best = candidate;
      best_distance = distance;
    }
  }
  return best;
}

}  // namespace shunt

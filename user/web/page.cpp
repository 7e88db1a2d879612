// SPDX-License-Identifier: Apache-2.0
#include "user/web/page.h"

#include <sys/random.h>

#include <array>
#include <string>
#include <string_view>

#include "page_html.h"  // made by the build: kPageHtml
#include "user/base/error.h"
#include "user/control/text.h"

namespace shunt {
namespace {

constexpr std::string_view kPlaceholder = "@NONCE@";

std::string make_nonce() {
  std::array<std::uint8_t, 16> bytes{};
  if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) throw_errno(errno, "getrandom");
  return format_hex(bytes);
}

}  // namespace

HttpAnswer page() {
  const std::string nonce = make_nonce();
  HttpAnswer answer;
  answer.type = "text/html; charset=utf-8";
  answer.policy = fmt::format(
      "default-src 'none'; script-src 'nonce-{}'; style-src 'nonce-{}'; connect-src 'self'; img-src data:; base-uri "
      "'none'; form-action 'none'; frame-ancestors 'none'",
      nonce, nonce);
  std::string_view rest{reinterpret_cast<const char*>(kPageHtml), sizeof kPageHtml};
  for (auto at = rest.find(kPlaceholder); at != std::string_view::npos; at = rest.find(kPlaceholder)) {
    answer.body += rest.substr(0, at);
    answer.body += nonce;
    rest.remove_prefix(at + kPlaceholder.size());
  }
  answer.body += rest;
  return answer;
}

}  // namespace shunt

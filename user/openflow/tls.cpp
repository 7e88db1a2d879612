// SPDX-License-Identifier: Apache-2.0
#include "user/openflow/tls.h"

#include <openssl/err.h>

#include <algorithm>
#include <array>
#include <limits>

#include "user/base/error.h"

namespace shunt::openflow {
namespace {

std::string openssl_error() {
  std::array<char, 256> text{};
  ERR_error_string_n(ERR_get_error(), text.data(), text.size());
  return text.data();
}

void require(bool done, const std::string& what) {
  if (!done) throw Error("TLS: {}: {}", what, openssl_error());
}

int int_size(std::size_t size) {
  return static_cast<int>(std::min<std::size_t>(size, std::numeric_limits<int>::max()));
}

}  // namespace

TlsTransport::TlsTransport(UniqueFd socket, const TlsFiles& files, bool is_server) : Transport{std::move(socket)} {
  if (!files.complete()) throw Error("TLS needs shuntd's options --tls-key, --tls-certificate and --tls-authority");
  ERR_clear_error();
  context_.reset(SSL_CTX_new(is_server ? TLS_server_method() : TLS_client_method()));
  require(context_ != nullptr, "context");
  SSL_CTX* context = context_.get();
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  require(SSL_CTX_use_certificate_chain_file(context, files.certificate.c_str()) == 1, files.certificate);
  require(SSL_CTX_use_PrivateKey_file(context, files.private_key.c_str(), SSL_FILETYPE_PEM) == 1, files.private_key);
  require(SSL_CTX_check_private_key(context) == 1, "the key is not the certificate's");
  require(SSL_CTX_load_verify_locations(context, files.authority.c_str(), nullptr) == 1, files.authority);
  ssl_.reset(SSL_new(context));
  require(ssl_ != nullptr && SSL_set_fd(ssl_.get(), fd()) == 1, "session");
  is_server ? SSL_set_accept_state(ssl_.get()) : SSL_set_connect_state(ssl_.get());
}

Transport::Result TlsTransport::result_of(int done) {
  wants_to_write_ = waits_to_read_ = false;
  if (done > 0) return {Outcome::kMoved, static_cast<std::size_t>(done)};
  const int error = SSL_get_error(ssl_.get(), done);
  wants_to_write_ = error == SSL_ERROR_WANT_WRITE;
  waits_to_read_ = error == SSL_ERROR_WANT_READ;
  ERR_clear_error();
  return {wants_to_write_ || waits_to_read_ ? Outcome::kWait : Outcome::kClosed};
}

// What OpenSSL has read from the socket and not given out wakes nobody: all of it is taken.
Transport::Result TlsTransport::read(std::span<std::uint8_t> into) {
  ERR_clear_error();
  Result result = result_of(SSL_read(ssl_.get(), into.data(), int_size(into.size())));
  while (result.outcome == Outcome::kMoved && result.bytes < into.size() && SSL_pending(ssl_.get()) > 0) {
    const auto rest = into.subspan(result.bytes);
    const int more = SSL_read(ssl_.get(), rest.data(), int_size(rest.size()));
    if (more <= 0) break;
    result.bytes += static_cast<std::size_t>(more);
  }
  return result;
}

Transport::Result TlsTransport::write(std::span<const std::uint8_t> from) {
  if (from.empty()) return {Outcome::kWait};
  ERR_clear_error();
  return result_of(SSL_write(ssl_.get(), from.data(), int_size(from.size())));
}

}  // namespace shunt::openflow

// SPDX-License-Identifier: Apache-2.0
// TLS below a session, by OpenSSL: both sides show a certificate that the authority has signed, as Open vSwitch wants
// it. Thread: control.
#pragma once

#include <openssl/ssl.h>

#include <memory>
#include <string>

#include "user/openflow/transport.h"

namespace shunt::openflow {

struct TlsFiles {
  std::string private_key, certificate, authority;  // PEM
  [[nodiscard]] bool complete() const { return !private_key.empty() && !certificate.empty() && !authority.empty(); }
};

// Reads the files for each connection anew, so that a renewed certificate needs no restart.
class TlsTransport final : public Transport {
 public:
  // Throws Error: files are missing, cannot be read, or do not belong together.
  TlsTransport(UniqueFd socket, const TlsFiles& files, bool is_server);

  [[nodiscard]] Result read(std::span<std::uint8_t> into) override;
  [[nodiscard]] Result write(std::span<const std::uint8_t> from) override;
  [[nodiscard]] bool wants_to_write() const override { return wants_to_write_; }
  [[nodiscard]] bool waits_to_read() const override { return waits_to_read_; }

 private:
  struct Free {
    void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
    void operator()(SSL* ssl) const { SSL_free(ssl); }
  };
  [[nodiscard]] Result result_of(int done);

  std::unique_ptr<SSL_CTX, Free> context_;
  std::unique_ptr<SSL, Free> ssl_;
  bool wants_to_write_ = false, waits_to_read_ = false;
};

}  // namespace shunt::openflow

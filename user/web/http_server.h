// SPDX-License-Identifier: Apache-2.0
// An HTTP server that reads only: GET and HEAD, a request a connection. httplib does the protocol; here are the bounds
// that it has none for: how many connections are served and wait, how long one may take from its first byte to its
// last, and how much it may send. Who exceeds them gets 503, 408 or 431, and disturbs nobody else.
//
// Threads: handlers run in the server's threads, several at a time; the rest by its owner.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "user/web/address.h"

namespace shunt {

struct HttpRequest {
  std::string path;
  std::multimap<std::string, std::string> query;  // decoded
};

struct HttpAnswer {
  int status = 200;
  std::string type = "text/plain; charset=utf-8";
  std::string body;
  std::string policy = "default-src 'none'; frame-ancestors 'none'";  // Content-Security-Policy
};

class HttpServer {
 public:
  using Handler = std::function<HttpAnswer(const HttpRequest& request)>;

  // Listens from here on. Throws Error where the address cannot be had. What a handler throws becomes a 500.
  HttpServer(const ListenAddress& address, Handler handler);
  ~HttpServer();  // ends what is under way
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  [[nodiscard]] const ListenAddress& address() const;  // with the port that it got

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace shunt

// SPDX-License-Identifier: Apache-2.0
// Runs a fuzzer without libFuzzer: driver [SECONDS [SEED]]. Input is random, or a mutation of the fuzzer's seeds; the
// same seed gives the same inputs. A failing input is printed in hex.
#include <chrono>
#include <csignal>
#include <cstring>
#include <random>

#include "tests/fuzz/fuzz.h"

extern "C" [[gnu::weak]] void __sanitizer_set_death_callback(void (*callback)());

namespace {

std::string input;  // of the run that is on

void print_input() {
  std::fprintf(stderr, "input (%zu bytes): ", input.size());
  for (const char c : input) std::fprintf(stderr, "%02x", static_cast<unsigned char>(c));
  std::fprintf(stderr, "\n");
}

void on_signal(int signal) {
  print_input();  // not safe in a handler; the process is over anyway, and the input is what its end is for
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

class Mutator {
 public:
  explicit Mutator(std::uint64_t seed) : random_{seed} {
    if (shunt::test::fuzz_seeds != nullptr) seeds_ = shunt::test::fuzz_seeds();
  }

  std::string next() {
    if (seeds_.empty() || below(8) == 0) return noise(below(below(8) == 0 ? 2048 : 96));
    std::string text = pick();
    for (std::size_t rounds = below(6); rounds > 0; --rounds) mutate(text);
    return text;
  }

 private:
  std::size_t below(std::size_t bound) { return bound == 0 ? 0 : random_() % bound; }
  const std::string& pick() { return seeds_[below(seeds_.size())]; }
  std::string noise(std::size_t size) {
    std::string text(size, '\0');
    for (char& c : text) c = static_cast<char>(random_());
    return text;
  }
  void mutate(std::string& text) {
    const std::size_t at = below(text.size() + 1);
    switch (below(6)) {
      case 0:
        if (at < text.size()) text[at] = static_cast<char>(random_());
        break;
      case 1:
        if (at < text.size()) text[at] = static_cast<char>(text[at] ^ 1 << below(8));
        break;
      case 2:
        text.insert(at, noise(1 + below(4)));
        break;
      case 3:
        text.erase(at, 1 + below(8));
        break;
      case 4: {  // a piece of another seed
        const std::string& other = pick();
        const std::size_t from = below(other.size() + 1);
        text.insert(at, other.substr(from, below(24)));
        break;
      }
      default:  // a piece of itself, again
        text.insert(at, text.substr(at, below(16)));
    }
  }

  std::mt19937_64 random_;
  std::vector<std::string> seeds_;
};

}  // namespace

int main(int argc, char** argv) {
  const auto duration = std::chrono::seconds{argc > 1 ? std::atoi(argv[1]) : 5};
  const std::uint64_t seed = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1;
  if (__sanitizer_set_death_callback != nullptr) __sanitizer_set_death_callback(print_input);
  for (const int signal : {SIGABRT, SIGSEGV, SIGFPE, SIGBUS, SIGILL}) std::signal(signal, on_signal);

  Mutator mutator{seed};
  std::uint64_t runs = 0;
  const auto end = std::chrono::steady_clock::now() + duration;
  while (std::chrono::steady_clock::now() < end) {
    for (int i = 0; i < 64; ++i, ++runs) {
      input = mutator.next();
      LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(input.data()), input.size());
    }
  }
  std::printf("%llu runs, seed %llu\n", static_cast<unsigned long long>(runs), static_cast<unsigned long long>(seed));
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
// shunt top: a live view in the terminal; what it says is made by top_view.cpp.
#include <ncurses.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <clocale>
#include <iostream>

#include "cli/command.h"
#include "cli/pace.h"
#include "cli/top_view.h"
#include "user/base/clock.h"

namespace shunt::cli {
namespace {

constexpr const char* kKeys = "q quit   sort: p packets  b bytes  d drops";
constexpr short kWarningColor = 1;

// The terminal in ncurses' hands.
class Screen {
 public:
  Screen() {
    std::setlocale(LC_ALL, "");
    screen_ = newterm(nullptr, stdout, stdin);
    if (screen_ == nullptr) throw Error("this terminal (TERM) is not known to ncurses: use --once");
    cbreak();
    noecho();
    keypad(stdscr, TRUE);
    curs_set(0);
    if (has_colors()) {
      start_color();
      use_default_colors();
      init_pair(kWarningColor, COLOR_YELLOW, -1);
    }
  }
  ~Screen() {
    endwin();
    delscreen(screen_);
  }
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  static std::size_t width() { return static_cast<std::size_t>(COLS); }
  static std::size_t height() { return static_cast<std::size_t>(LINES); }

  static void show(const std::vector<TopLine>& lines) {
    erase();
    int y = 0;
    for (const TopLine& line : lines) {
      const attr_t attributes = attributes_of(line.kind);
      attron(attributes);
      mvaddnstr(y++, 0, line.text.c_str(), static_cast<int>(line.text.size()));
      if (line.kind == TopLine::Kind::kHeader)
        for (auto x = line.text.size(); x < width(); ++x) addch(' ');
      attroff(attributes);
    }
    attron(A_DIM);
    mvaddnstr(LINES - 1, 0, kKeys, COLS);
    attroff(A_DIM);
    refresh();
  }

  // A key, or ERR when there was none until then.
  static int key_until(TimePoint deadline) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    timeout(static_cast<int>(std::max<std::int64_t>(left, 0)));
    return getch();
  }

 private:
  static attr_t attributes_of(TopLine::Kind kind) {
    switch (kind) {
      case TopLine::Kind::kTitle:
        return A_BOLD;
      case TopLine::Kind::kHeader:
        return A_REVERSE;
      case TopLine::Kind::kWarning:
        return A_BOLD | static_cast<attr_t>(COLOR_PAIR(kWarningColor));
      case TopLine::Kind::kPlain:
        break;
    }
    return A_NORMAL;
  }

  SCREEN* screen_ = nullptr;
};

TopOrder order_of(const Invocation& invocation) {
  const std::string sort = invocation.optional_text("sort").value_or("packets");
  if (sort == "packets") return TopOrder::kPackets;
  if (sort == "bytes") return TopOrder::kBytes;
  if (sort == "drops") return TopOrder::kDrops;
  throw UsageError("--sort {}: must be packets, bytes or drops", sort);
}

Json read(const Invocation& invocation, TopOrder order, std::size_t flows) {
  return invocation.call("top", {{"order", order == TopOrder::kBytes ? "bytes" : "packets"}, {"flows", flows}});
}

int show_once(const Invocation& invocation, double interval, TopOrder order) {
  constexpr std::size_t kFlows = 20;
  if (invocation.json()) {
    show_json(read(invocation, order, kFlows));
    return kDone;
  }
  end_on_signals();
  const Json before = read(invocation, order, kFlows);
  pause_for(interval);
  if (is_interrupted()) return kDone;
  for (const TopLine& line : top_lines(before, read(invocation, order, kFlows), order, 0, 0))
    std::cout << line.text << '\n';
  return kDone;
}

void watch(const Invocation& invocation, double interval, TopOrder order) {
  constexpr std::size_t kFlows = 100;  // the most: a screen may be high, and a flow may rise between two readings
  constexpr double kFirst = 0.3;
  end_on_signals();
  const Screen screen;
  Json before = read(invocation, order, kFlows), after = before;
  double pause = std::min(interval, kFirst);  // the first rates soon
  while (!is_interrupted()) {
    Screen::show(top_lines(before, after, order, Screen::width(), Screen::height() - 1));
    const TimePoint deadline =
        Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>{pause});
    const int key = Screen::key_until(deadline);
    if (key == 'q' || key == 'Q') return;
    if (key == KEY_RESIZE) continue;
    if (key == 'p') order = TopOrder::kPackets;
    if (key == 'b') order = TopOrder::kBytes;
    if (key == 'd') order = TopOrder::kDrops;
    if (key != ERR && Clock::now() < deadline) {
      pause = std::chrono::duration<double>(deadline - Clock::now()).count();
      continue;
    }
    before = std::move(after);
    after = read(invocation, order, kFlows);
    pause = interval;
  }
}

int top(const Invocation& invocation) {
  const double interval = invocation.seconds("interval").value_or(1);
  const TopOrder order = order_of(invocation);
  if (invocation.is_on("once") || invocation.json()) return show_once(invocation, interval, order);
  if (::isatty(STDOUT_FILENO) == 0 || ::isatty(STDIN_FILENO) == 0)
    throw UsageError("top needs a terminal: --once prints one reading");
  watch(invocation, interval, order);
  return kDone;
}

}  // namespace

std::span<const Command> top_commands() {
  static const std::vector<Command> commands = {
      {"top",
       "",
       {},
       "a live view: rates, cache levels, upcalls, drops, busy time, the busiest ports and flows",
       {{"interval", "SECONDS", "between two readings, default 1"},
        {"sort", "ORDER", "packets, bytes or drops; default packets"},
        {"once", "", "print one, as plain text"}},
       true,
       top},
  };
  return commands;
}

}  // namespace shunt::cli

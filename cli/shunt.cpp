// SPDX-License-Identifier: Apache-2.0
// shunt, the command: finds what its words mean in the tables of cli/commands/, speaks to the daemon, and ends with 0,
// 1 (refused, the reason on stderr), 2 (usage) or 3 (done, and not stored).
#include <algorithm>
#include <array>
#include <csignal>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

#include "cli/client.h"
#include "cli/command.h"

namespace {

using namespace shunt;
using namespace shunt::cli;

constexpr int kStyle = po::command_line_style::default_style & ~po::command_line_style::allow_guessing;
constexpr std::size_t kHelpWidth = 30;

struct Globals {
  std::string rundir = "/run/shunt", instance = "default";
  double timeout = 60;
  bool json = false, help = false, version = false;
};

std::array<std::span<const Command>, 18> all_commands() {
  return {bridge_commands(),  port_commands(),   flow_commands(),       group_commands(),     meter_commands(),
          table_commands(),   config_commands(), controller_commands(), trace_commands(),     cache_commands(),
          fdb_commands(),     stats_commands(),  top_commands(),        packet_in_commands(), capture_commands(),
          monitor_commands(), worker_commands(), doctor_commands()};
}

po::options_description global_options() {
  const auto text = [](const char* value_name) { return po::value<std::string>()->value_name(value_name); };
  const auto seconds = po::value<double>()->value_name("SECONDS")->default_value(60, "60");
  po::options_description options{"Options, before the command"};
  // clang-format off
  options.add_options()
    ("rundir", text("DIR")->default_value("/run/shunt"), "the daemon's run directory")
    ("instance", text("NAME")->default_value("default"), "the daemon's instance")
    ("timeout", seconds, "wait at most this long for an answer")
    ("json", po::bool_switch(), "reading commands: show what the daemon answered")
    ("version", po::bool_switch(), "show the version of this command")
    ("help,h", po::bool_switch(), "show this text");
  // clang-format on
  return options;
}

// How many words belong to the options before the command.
std::size_t count_global_words(const std::vector<std::string>& words, const po::options_description& options) {
  std::size_t i = 0;
  while (i < words.size() && words[i].starts_with('-') && words[i].size() > 1) {
    const bool has_value = words[i].find('=') != std::string::npos;
    const auto* option = words[i].starts_with("--") ? options.find_nothrow(words[i].substr(2), false) : nullptr;
    i += option != nullptr && !has_value && option->semantic()->min_tokens() > 0 ? 2 : 1;
  }
  return std::min(i, words.size());
}

Globals read_globals(const std::vector<std::string>& words, const po::options_description& options) {
  po::variables_map values;
  const po::positional_options_description none;
  po::store(po::command_line_parser(words).options(options).positional(none).style(kStyle).run(), values);
  po::notify(values);
  Globals globals;
  globals.rundir = values["rundir"].as<std::string>();
  globals.instance = values["instance"].as<std::string>();
  globals.timeout = values["timeout"].as<double>();
  globals.json = values["json"].as<bool>();
  globals.version = values["version"].as<bool>();
  globals.help = values["help"].as<bool>();
  if (!(globals.timeout > 0) || globals.timeout > 86'400)
    throw UsageError("--timeout {}: must be above 0 and at most 86400 seconds", globals.timeout);
  return globals;
}

std::string bare(std::string_view argument) {
  if (argument.starts_with('[')) argument = argument.substr(1, argument.size() - 2);
  return std::string{argument};
}

std::string words_of(const Command& command) {
  return command.verb.empty() ? std::string{command.group} : fmt::format("{} {}", command.group, command.verb);
}

std::string synopsis(const Command& command) {
  std::string text = words_of(command);
  for (const std::string_view argument : command.arguments) text += fmt::format(" {}", argument);
  for (const Option& option : command.options)
    text += option.value.empty() ? fmt::format(" [--{}]", option.name)
                                 : fmt::format(" [--{} {}]", option.name, option.value);
  return text;
}

po::options_description visible_options(const Command& command) {
  po::options_description options{"Options"};
  for (const Option& option : command.options) {
    const std::string name{option.name}, help{option.help};
    if (option.value.empty())
      options.add_options()(name.c_str(), po::bool_switch(), help.c_str());
    else
      options.add_options()(name.c_str(), po::value<std::string>()->value_name(std::string{option.value}),
                            help.c_str());
  }
  if (command.reads) options.add_options()("json", po::bool_switch(), "show what the daemon answered");
  options.add_options()("help,h", po::bool_switch(), "show this text");
  return options;
}

void show_command_help(const Command& command) {
  std::cout << "Usage: shunt [OPTION]... " << synopsis(command) << "\n"
            << command.summary << "\n\n"
            << visible_options(command);
}

void show_help(std::string_view group) {
  if (group.empty())
    std::cout << "Usage: shunt [OPTION]... COMMAND...\nCommands the switch that 'shuntd' runs.\n\n"
              << global_options() << "\n";
  std::cout << "Commands ('shunt COMMAND --help' says more):\n";
  for (const auto& commands : all_commands())
    for (const Command& command : commands) {
      if (!group.empty() && command.group != group) continue;
      std::string text = words_of(command);
      for (const std::string_view argument : command.arguments) text += fmt::format(" {}", argument);
      std::cout << fmt::format("  {:<{}} {}\n", text, kHelpWidth, command.summary);
    }
}

bool is_help(const std::string& word) { return word == "--help" || word == "-h"; }

bool is_group(std::string_view word) {
  for (const auto& commands : all_commands())
    for (const Command& command : commands)
      if (command.group == word) return true;
  return false;
}

// False for a command of one word, as 'drops'.
bool has_verbs(std::string_view word) {
  for (const auto& commands : all_commands())
    for (const Command& command : commands)
      if (command.group == word) return !command.verb.empty();
  return false;
}

// The command that `words` begin with, and how many of them name it.
std::pair<const Command*, std::size_t> find_command(const std::vector<std::string>& words) {
  for (const auto& commands : all_commands())
    for (const Command& command : commands) {
      if (command.group != words[0]) continue;
      if (command.verb.empty()) return {&command, 1};
      if (words.size() > 1 && command.verb == words[1]) return {&command, 2};
    }
  if (!is_group(words[0])) throw UsageError("unknown command '{}'", words[0]);
  if (words.size() > 1) throw UsageError("unknown command '{} {}'", words[0], words[1]);
  throw UsageError("'{}' needs a word that says what to do", words[0]);
}

po::variables_map read_arguments(const Command& command, const std::vector<std::string>& words) {
  po::options_description options;
  options.add(visible_options(command));
  po::positional_options_description positions;
  for (const std::string_view argument : command.arguments) {
    options.add_options()(bare(argument).c_str(), po::value<std::string>());
    positions.add(bare(argument).c_str(), 1);
  }
  po::variables_map values;
  try {
    po::store(po::command_line_parser(words).options(options).positional(positions).style(kStyle).run(), values);
    po::notify(values);
  } catch (const po::too_many_positional_options_error&) {
    throw UsageError("too many arguments (a rule with spaces needs quotes): shunt {}", synopsis(command));
  }
  if (values["help"].as<bool>()) return values;
  for (const std::string_view argument : command.arguments)
    if (!argument.starts_with('[') && values.count(std::string{argument}) == 0)
      throw UsageError("{} is missing: shunt {}", argument, synopsis(command));
  return values;
}

int run_command(const Globals& globals, const std::vector<std::string>& words) {
  if (words.size() > 1 && has_verbs(words[0]) && is_help(words[1])) {
    show_help(words[0]);
    return kDone;
  }
  const auto [command, named] = find_command(words);
  const po::variables_map values =
      read_arguments(*command, {words.begin() + static_cast<std::ptrdiff_t>(named), words.end()});
  if (values["help"].as<bool>()) {
    show_command_help(*command);
    return kDone;
  }
  const bool json = globals.json || (command->reads && values["json"].as<bool>());
  if (json && !command->reads) throw UsageError("'{}' shows nothing that --json could format", words_of(*command));
  Client client{globals.rundir, globals.instance,
                std::chrono::milliseconds{static_cast<std::int64_t>(globals.timeout * 1000) + 1}};
  const int status = command->run(Invocation{client, json, values});
  std::cout.flush();
  if (!std::cout) throw Error("standard output cannot be written");
  return status;
}

int run(const std::vector<std::string>& words) {
  const po::options_description options = global_options();
  const auto split = static_cast<std::ptrdiff_t>(count_global_words(words, options));
  const Globals globals = read_globals({words.begin(), words.begin() + split}, options);
  const std::vector<std::string> command{words.begin() + split, words.end()};
  if (globals.help) {
    show_help("");
    return kDone;
  }
  if (globals.version) {
    std::cout << "shunt " SHUNT_VERSION "\n";
    return kDone;
  }
  if (command.empty()) throw UsageError("no command given");
  return run_command(globals, command);
}

}  // namespace

int main(int argc, char** argv) {
  std::ios::sync_with_stdio(false);
  try {
    return run({argv + 1, argv + argc});
  } catch (const UsageError& error) {
    std::cerr << "shunt: " << error.what() << "\nTry 'shunt --help'.\n";
    return kUsageStatus;
  } catch (const po::error& error) {
    std::cerr << "shunt: " << error.what() << "\nTry 'shunt --help'.\n";
    return kUsageStatus;
  } catch (const NotStored& error) {
    std::cerr << "shunt: " << error.what() << '\n';
    return kNotStoredStatus;
  } catch (const std::exception& error) {
    std::cout.flush();
    std::cerr << "shunt: " << error.what() << '\n';
    return kRefusedStatus;
  }
}

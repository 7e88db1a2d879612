#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the manual pages, docs/cli.md and the bash completion know of commands and options, held against --help, which is
made of the tables that the programs run on.

    manual_test.py SHUNT SHUNTD
"""
import re
import subprocess
import sys
import unittest
from pathlib import Path

SOURCES = Path(__file__).resolve().parents[3]
SHUNT, SHUNTD = sys.argv[1:3]
EVERYWHERE = {"help", "version"}


def help_of(program, *words):
    return subprocess.run([program, *words, "--help"], check=True, capture_output=True, text=True).stdout


def options_in(text):
    """The options of a --help: what each wants, "" where nothing; and its default, "" where there is none."""
    found = re.findall(r"^  (?:-h \[ )?--([a-z-]+)(?: \])?(?: ([A-Z[]\S*|on\|off))?(?: \(=(.*?)\))?(?: .*)?$", text, re.M)
    return {name: (value, default) for name, value, default in found}


HELP = help_of(SHUNT)
# ("port", "attach"), or ("drops", "")
COMMANDS = {(group, verb or "") for group, verb in re.findall(r"^  ([a-z][a-z-]*)(?: ([a-z][a-z-]*))?(?= |$)",
                                                              HELP.split("\nCommands (")[1], re.M)}
GROUPS = {group for group, _ in COMMANDS}
OPTIONS = {command: options_in(help_of(SHUNT, *filter(None, command))) for command in COMMANDS}
GLOBAL = options_in(HELP)
DAEMON = options_in(help_of(SHUNTD))


def verbs_of(group):
    return {verb for other, verb in COMMANDS if other == group}


def read(name):
    return (SOURCES / name).read_text()


def man_options(page):
    return dict(re.findall(r"Fl -([a-z-]+)(?: Ar ([^\s,]+))?", page))


def complete(*words):
    """What bash would offer for the last of these words, without a daemon."""
    script = 'source cli/completion.bash; COMP_WORDS=(shunt "$@"); COMP_CWORD=$#; _shunt; printf "%s\\n" "${COMPREPLY[@]}"'
    return set(subprocess.run(["bash", "-c", script, "bash", *words], cwd=SOURCES, check=True, capture_output=True,
                              text=True).stdout.split())


class Manual(unittest.TestCase):
    def test_help_is_understood(self):
        self.assertIn(("port", "attach"), COMMANDS)
        self.assertIn(("drops", ""), COMMANDS)
        self.assertEqual(OPTIONS["port", "attach"]["tag"], ("V", ""))
        self.assertEqual(DAEMON["flow-limit"][0], "N")
        self.assertEqual(DAEMON["busy-poll"], ("", ""))

    def test_shunt_1_has_each_command_and_no_other(self):
        page = read("docs/man/shunt.1")
        listed = dict(re.findall(r"^\.It Cm ([a-z-]+)\n(.*)$", page, re.M))
        self.assertEqual(set(listed), GROUPS)
        for group, text in listed.items():
            if verbs_of(group) != {""}:
                self.assertEqual(set(text.split(":")[0].split(", ")), verbs_of(group), group)

    def test_shunt_1_has_the_options_before_a_command(self):
        listed = re.findall(r"^\.It Fl -([a-z-]+)(?: Ar (\S+))?$", read("docs/man/shunt.1"), re.M)
        self.assertEqual(dict(listed), {name: value for name, (value, _) in GLOBAL.items() if name != "help"})

    def test_shunt_1_has_each_exit_status(self):
        constants = re.findall(r"k[A-Z]\w+ = (\d)", read("cli/command.h"))
        text = read("docs/man/shunt.1").split(".Sh EXIT STATUS")[1].split(".Sh")[0]
        self.assertGreaterEqual(set(re.findall(r"(\d): ", text)), set(constants))
        for status in re.findall(r"(\d) \(", help_of(SHUNT, "doctor")):
            self.assertIn(status, text.split("doctor")[1])

    def test_shuntd_8_has_each_option_and_no_other(self):
        listed = man_options(read("docs/man/shuntd.8").split(".Sh OPTIONS")[1].split(".El")[0])
        self.assertEqual(listed, {name: value for name, (value, _) in DAEMON.items() if name not in EVERYWHERE})

    def test_cli_md_has_each_option_of_shuntd_with_its_default(self):
        text = read("docs/cli.md").split("\n## shuntd\n")[1].split("\n## ")[0]
        rows = {name: (value, default) for name, value, default in
                re.findall(r"^\| `--([a-z-]+)(?: ([^`]+))?` \| *(?:off|`?([^ `|]*)`?) *\|", text, re.M)}
        self.assertEqual(rows, {name: option for name, option in DAEMON.items() if name not in EVERYWHERE})
        synopsis = text.split("```")[1]
        self.assertEqual(set(re.findall(r"--([a-z-]+)", synopsis)), set(rows))

    def test_cli_md_has_each_command_with_its_options_and_no_other(self):
        sections = re.split(r"\n### ", read("docs/cli.md").split("\n## shunt\n")[1].split("\n## ")[0])[1:]
        described = set()
        for section in sections:
            synopsis = section.split("```")[1]
            here = set()
            for group, verbs in re.findall(r"\bshunt ([a-z-]+)(?: ([a-z|-]+)(?=\s))?", synopsis):
                here |= {(group, verb) for verb in verbs.split("|")} if verbs_of(group) != {""} else {(group, "")}
            described |= here
            known = {name for command in here & COMMANDS for name in OPTIONS[command]} - EVERYWHERE - {"json"}
            named = set(re.findall(r"--([a-z][a-z-]*)", section)) - set(DAEMON) - {"json"}
            self.assertEqual(named, known - set(DAEMON), section.split("\n")[0])
        self.assertEqual(described, COMMANDS)

    def test_completion_knows_commands_and_options(self):
        self.assertEqual(complete(""), GROUPS)
        self.assertEqual(complete("--"), {f"--{name}" for name in GLOBAL})
        for group in GROUPS:
            if verbs_of(group) != {""}:
                self.assertEqual(complete(group, ""), verbs_of(group), group)
        for command, options in OPTIONS.items():
            with self.subTest(command):
                self.assertEqual(complete(*filter(None, command), "--"), {f"--{name}" for name in options})

    def test_completion_takes_what_an_option_wants_for_no_word_of_the_command(self):
        for name in {name for options in (GLOBAL, *OPTIONS.values()) for name in options if options[name][0]}:
            with self.subTest(name):
                self.assertEqual(complete(f"--{name}", "x", ""), GROUPS)
                self.assertNotEqual(complete(f"--{name}", ""), GROUPS)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])

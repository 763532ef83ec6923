#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""--help and the manual pages name the same commands, options and arguments."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
SETMOV = Path(os.environ.get("SETMOV_BUILD") or ROOT / "build").resolve() / "setmov"


def run(*arguments):
    done = subprocess.run([SETMOV, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == "", (arguments, done)
    return done.stdout


def options_of_help(text):
    """{'--connect': ('-c', 'URI')}; each option begins a line."""
    found = re.findall(r"^  (?:(-\w), |    )(--[\w-]+)(?: ([A-Z][\w=]*))?(?=  |\n)", text, re.MULTILINE)
    return {name: (letter, argument) for letter, name, argument in found}


def rendered(page):
    """The page as it is read, without bold and underlined letters; None where nothing can show it."""
    for command in (["mandoc", "-T", "ascii", "-O", "width=100"], ["groff", "-mandoc", "-Tascii", "-P-c"]):
        if shutil.which(command[0]):
            done = subprocess.run([*command, page], capture_output=True, text=True, check=True)
            return re.sub(r".\x08", "", done.stdout)
    print("neither mandoc nor groff is installed")
    sys.exit(77)


def options_of_page(text):
    """The same of a manual page, where an option begins a line, too."""
    found = re.findall(r"^ {2,8}(?:(-\w), )?(--[\w-]+)(?:[ =]([A-Z][\w=]*))?(?=  |\n)", text, re.MULTILINE)
    return {name: (letter, argument) for letter, name, argument in found}


def section(text, name):
    return re.search(rf"^{name}\n(.*?)(?=^\S)", text, re.MULTILINE | re.DOTALL)[1]


def options_of_synopsis(text):
    """All options that the page's SYNOPSIS names, a cluster of letters taken apart."""
    found = set()
    for word in re.findall(r"(?<![\w-])-(-?\w[\w-]*)", section(text, "SYNOPSIS")):
        found |= {"-" + word} if word.startswith("-") else {"-" + letter for letter in word}
    return found


def commands_of_help(text):
    block = text[text.index("Commands:\n"):text.index("Options:\n")]
    return set(re.findall(r"^  (\w+)  ", block, re.MULTILINE))


def check_command(name):
    text = run(name, "--help")
    assert run(name, "-h") == text and run("help", name) == text, f"{name}: three ways to the same help"
    assert text.startswith(f"Usage: setmov {name} "), text
    assert all(len(line) <= 80 for line in text.splitlines()), "80 columns"
    page_path = ROOT / f"docs/setmov-{name}.1"
    page = rendered(page_path)
    helped, paged = options_of_help(text), options_of_page(page)
    assert "--help" in helped and len(helped) >= 3, f"{name}: --help was not understood: {helped}"
    for option in sorted(helped.keys() | paged.keys()):
        if helped.get(option) != paged.get(option):
            sys.exit(f"{option}: setmov {name} --help says {helped.get(option)}, {page_path.name} {paged.get(option)}")
    known = set(helped) | {letter for letter, _ in helped.values()}
    named = options_of_synopsis(page)
    assert named <= known, f"{page_path.name}: SYNOPSIS has {named - known}"
    for option, (letter, _) in helped.items():
        assert "OPTION" in section(page, "SYNOPSIS") or option == "--help" or {option, letter} & named, f"{page_path.name}: SYNOPSIS lacks {option}"


def check_program():
    text = run("--help")
    page = rendered(ROOT / "docs/setmov.1")
    assert run("-h") == text and run("help") == text and run("help", "help") == text
    commands = commands_of_help(text)
    assert {"stat", "graph", "help"} <= commands, commands
    assert commands == set(re.findall(r"^ {2,8}([a-z]+)(?: \[\w+\])?(?=  |\n)", section(page, "DESCRIPTION"), re.MULTILINE)), "commands in setmov(1)"
    assert options_of_help(text) == options_of_page(page), "options in setmov(1)"
    assert re.fullmatch(r"setmov \d+\.\d+\.\d+\n", run("--version"))
    assert run("-V") == run("--version")
    return commands - {"help"}


def check_pages_are_well_formed():
    if not shutil.which("mandoc"):
        return
    for page in sorted((ROOT / "docs").glob("*.[158]")):
        done = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", page], capture_output=True, text=True)
        problems = [line for line in done.stdout.splitlines() if re.search("WARNING|ERROR", line) and "missing date" not in line]
        assert not problems, problems


def main():
    for command in sorted(check_program()):
        check_command(command)
    check_pages_are_well_formed()


if __name__ == "__main__":
    main()

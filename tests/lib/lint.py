# SPDX-License-Identifier: GPL-2.0-or-later
"""What the checks in tests/lint share: a check must first reject what it is there to reject.

A check is a function of a tree's root that returns one line a problem. A
sample is a small tree that breaks the rule, with a part of the line expected.
"""

import os
import re
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
BUILD = Path(os.environ.get("SETMOV_BUILD") or ROOT / "build").resolve()

SOURCES = ("include/setmov/*.h", "src/*/*.[ch]", "plugins/*.[ch]", "hooks/*.[ch]")


def files(root, patterns=SOURCES):
    return sorted(path for pattern in patterns for path in root.glob(pattern) if path.is_file())


def code_only(text):
    """C text with comments and the insides of strings blanked; lines stay where they are."""
    token = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)

    def blank(match):
        found = match[0]
        if found.startswith("/"):
            return re.sub(r"[^\n]", " ", found)
        return found[0] + " " * (len(found) - 2) + found[-1]

    return token.sub(blank, text)


def write_tree(root, sample):
    for name, text in sample.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def prove_and_check(check, samples):
    """Runs the samples, then the check on the repository; ends the program."""
    failed = False
    for what, sample, expected in samples:
        with tempfile.TemporaryDirectory() as directory:
            write_tree(Path(directory), sample)
            problems = check(Path(directory))
        if not any(expected in problem for problem in problems):
            print(f"the check does not reject {what}: wanted {expected!r}, got {problems}")
            failed = True
    problems = check(ROOT)
    for problem in problems:
        print(problem)
    sys.exit(1 if failed or problems else 0)

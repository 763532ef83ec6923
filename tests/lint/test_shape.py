#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Every file says its licence and what it is for; C files keep their size and use no banned function."""

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
import lint  # noqa: E402

MOST_LINES = 600
SPDX = "SPDX-License-Identifier: GPL-2.0-or-later"
WITH_LICENCE = lint.SOURCES + (
    "Makefile", ".ci/run", ".clang-format", ".clang-tidy", "etc/*.conf", "etc/*.db", "docs/*.[1-8]",
    "tests/*/*.[ch]", "tests/.clang-tidy", "tests/*.sh", "tests/run", "tests/*/*.sh", "tests/*/*.py", "tests/lint/*.txt")
# banned.h makes most of these fail to compile where it is included; here they fail everywhere.
BANNED = re.compile(
    r"\b(sprintf|vsprintf|strcpy|strcat|strncpy|strncat|gets|stpcpy|atoi|atol|atoll|atof|strtok|gmtime|"
    r"localtime|ctime|asctime|alloca|system|popen|tmpnam|tempnam|mktemp|rand|setenv|putenv)\s*\(")
# Who waits on such a one for a time waits by the clock that people set.
BANNED_NAMES = re.compile(r"\b(PTHREAD_COND_INITIALIZER)\b")
# Before there are threads: libvirt takes orders on what it writes to stderr from the environment alone.
PERMITTED = (("src/vm/peer.c", "setenv"),)


def check_head(path, text):
    lines = text.splitlines()
    head = lines[1:] if lines and lines[0].startswith("#!") else lines
    if head and head[0].startswith("# shellcheck"):
        head = head[1:]
    if not head or SPDX not in head[0]:
        return f"{path}: its first line is not the {SPDX.split(':')[0]}"
    if path.endswith((".c", ".h", ".sh", ".py")):
        second = head[1].strip() if len(head) > 1 else ""
        if not second.startswith(("/*", "//", "#", '"""')) or second.startswith(("#include", "#ifndef", "#define")):
            return f"{path}: no sentence behind the licence says what it is for"
    return None


def check(root):
    problems = []
    for file in lint.files(root, WITH_LICENCE):
        problem = check_head(file.relative_to(root).as_posix(), file.read_text(errors="replace"))
        if problem:
            problems.append(problem)
    for file in lint.files(root):
        path, text = file.relative_to(root).as_posix(), file.read_text()
        count = text.count("\n")
        if count > MOST_LINES:
            problems.append(f"{path}: {count} lines; {MOST_LINES} are the most")
        for number, line in enumerate(lint.code_only(text).splitlines(), 1):
            match = BANNED.search(line) or BANNED_NAMES.search(line)
            if match and "pragma" not in line and (path, match[1]) not in PERMITTED:
                problems.append(f"{path}:{number}: {match[1]} is banned")
    return problems


HEAD = f"/* {SPDX} */\n/* What it is for. */\n"
SAMPLES = [
    ("a file without licence", {"src/host/a.c": "int a;\n"}, "first line"),
    ("a script without licence", {"tests/cli/test_a.sh": "#!/bin/sh\ntrue\n"}, "first line"),
    ("a file that does not say what it is for", {"src/host/a.c": f"/* {SPDX} */\n#include <stdio.h>\n"}, "no sentence"),
    ("a long file", {"src/host/a.c": HEAD + "\n" * 600}, "600 are the most"),
    ("strcpy", {"plugins/a.c": HEAD + "void f(char *a) { strcpy (a, a); }\n"}, "strcpy is banned"),
    ("atoi behind a comment", {"src/vm/a.c": HEAD + "/* x */ int b = atoi(a);\n"}, "atoi is banned"),
    ("system", {"hooks/qemu.c": HEAD + 'int f(void) { return system("true"); }\n'}, "system is banned"),
    ("a condition of the clock that is set", {"src/vm/a.c": HEAD + "pthread_cond_t a = PTHREAD_COND_INITIALIZER;\n"}, "INITIALIZER is banned"),
]

if __name__ == "__main__":
    lint.prove_and_check(check, SAMPLES)

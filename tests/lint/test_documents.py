#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Documents hang together: links lead somewhere, every command has its page, pages name each other."""

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
import lint  # noqa: E402

LINK = re.compile(r"\]\(([^()\s]+)\)")
COMMAND = re.compile(r'^    \{"(\w+)", "[^"]*", command_\w+\},', re.MULTILINE)
# "setmov-index(1)" in texts, ".Xr setmov-index 1" in mdoc, ".BR setmov\-index (1)" in man.
PAGE = r"((?:collectd-)?setmov(?:[-.][a-z]+)?)"
REFERENCE = re.compile(rf"^\.Xr {PAGE} ([158])\b|\b{PAGE}(?: \(|\()([158])\)", re.MULTILINE)


def references(text):
    """Our pages that a text refers to: {'setmov-index.1'}."""
    return {".".join(filter(None, found.groups())) for found in REFERENCE.finditer(text.replace("\\-", "-"))}


def markdown(root):
    return lint.files(root, ("*.md", "docs/*.md"))


def pages(root):
    return lint.files(root, ("docs/*.[158]",))


def links(root):
    """Every relative link leads to a file, every document is one that README leads to."""
    found = []
    for document in markdown(root):
        text = re.sub(r"^    .*$|`[^`\n]*`", "", document.read_text(), flags=re.MULTILINE)
        for target in LINK.findall(text):
            if "://" in target or target.startswith("#"):
                continue
            if not (document.parent / target.split("#")[0]).exists():
                found.append(f"{document.relative_to(root)}: there is no {target}")
    named = set(LINK.findall((root / "README.md").read_text()))
    return found + [f"README.md does not name {path.relative_to(root)}" for path in markdown(root)
                    if path.name != "README.md" and str(path.relative_to(root)) not in named]


def commands(root):
    """Every command has a page, and stands in setmov(1) and in README."""
    names = [name for name in COMMAND.findall((root / "src/cli/main.c").read_text()) if name != "help"]
    overview, readme = (root / "docs/setmov.1").read_text(), (root / "README.md").read_text()
    found = [] if names else ["src/cli/main.c: no command was found"]
    for name in names:
        if not (root / f"docs/setmov-{name}.1").exists():
            found.append(f"{name}: there is no docs/setmov-{name}.1")
        if f".It Cm {name}\n" not in overview:
            found.append(f"{name}: is not in docs/setmov.1")
        if not re.search(rf"\bsetmov {name}\b", readme):
            found.append(f"{name}: README.md has no 'setmov {name}'")
    return found


def cross_references(root):
    """What is referred to is there; SEE ALSO has what its page refers to, and of setmov(1) every page."""
    there = {page.name for page in pages(root)}
    found = []
    for document in markdown(root) + pages(root):
        name = document.name
        found += [f"{name}: there is no {other}" for other in sorted(references(document.read_text()) - there)]
    for page in pages(root):
        body, _, see_also = re.sub(r'^\.S[hH] "?SEE ALSO"?$', "\0", page.read_text(), flags=re.MULTILINE).partition("\0")
        wanted = there if page.name == "setmov.1" else references(body) | {"setmov.1"}
        found += [f"{page.name}: SEE ALSO lacks {other}" for other in sorted((wanted & there) - references(see_also) - {page.name})]
    return found


def check(root):
    return links(root) + commands(root) + cross_references(root)


TABLE = 'static const struct command commands[] = {\n    {"stat", "shows", command_stat},\n    {"help", "prints", command_help},\n};\n'
GOOD = {
    "README.md": "[a](docs/a.md) setmov stat, **setmov-stat(1)**\n",
    "docs/a.md": "[back](../README.md#tree)\n",
    "docs/setmov.1": ".It Cm stat\n.Xr setmov-stat 1 .\n.Sh SEE ALSO\n.Xr setmov-stat 1\n",
    "docs/setmov-stat.1": ".Sh SEE ALSO\n.Xr setmov 1\n",
    "src/cli/main.c": TABLE,
}
SAMPLES = [
    ("a link that leads nowhere", {**GOOD, "docs/a.md": "[b](b.md)\n"}, "docs/a.md: there is no b.md"),
    ("a document that README does not name", {**GOOD, "docs/b.md": "b\n"}, "README.md does not name docs/b.md"),
    ("a command without a page", {**GOOD, "src/cli/main.c": TABLE.replace("stat", "sync")}, "there is no docs/setmov-sync.1"),
    ("a command that setmov(1) lacks", {**GOOD, "docs/setmov.1": ".Sh SEE ALSO\n.Xr setmov-stat 1\n"}, "stat: is not in docs/setmov.1"),
    ("a command that README lacks", {**GOOD, "README.md": "[a](docs/a.md)\n"}, "README.md has no 'setmov stat'"),
    ("a table that is written otherwise", {**GOOD, "src/cli/main.c": "{ stat }\n"}, "no command was found"),
    ("a page that is not there", {**GOOD, "docs/a.md": "see setmov-none(8)\n"}, "a.md: there is no setmov-none.8"),
    ("the same in man", {**GOOD, "docs/setmov-stat.1": ".SH SEE ALSO\n.BR setmov (1),\n.BR setmov\\-none (5)\n"},
     "setmov-stat.1: there is no setmov-none.5"),
    ("SEE ALSO without what was referred to",
     {**GOOD, "docs/setmov.conf.5": ".Xr setmov-stat 1\n.Sh SEE ALSO\n.Xr setmov 1\n"}, "setmov.conf.5: SEE ALSO lacks setmov-stat.1"),
    ("setmov(1) without one of the pages", {**GOOD, "docs/setmov-x.8": ".Sh SEE ALSO\n.Xr setmov 1\n"}, "setmov.1: SEE ALSO lacks setmov-x.8"),
]

if __name__ == "__main__":
    lint.prove_and_check(check, SAMPLES)

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Pure files reach no I/O, clock or environment, and the library neither prints nor exits.

Every file of src/ but src/cli/ stands in tests/lint/pure.txt or effectful.txt,
so that a new file has to decide. A pure object may use only the functions of
libc that are listed here, what its line in pure.txt adds, and functions that
other pure objects define: so it reaches no effect by a detour either.
"""

import fnmatch
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
import lint  # noqa: E402

LISTS = lint.ROOT / "tests/lint"

PURE_LIBC = set("""
    memchr memcmp memcpy memmem memmove memrchr memset
    strcasecmp strchr strchrnul strcmp strcspn strdup strlen strncasecmp strncmp strndup strnlen
    strpbrk strrchr strspn strstr strtod strtol strtoll strtoul strtoull strtok_r strerror_r
    __xpg_strerror_r snprintf vsnprintf sscanf __isoc99_sscanf asprintf vasprintf tsearch tfind tdelete twalk tdestroy
    malloc calloc realloc reallocarray free qsort qsort_r bsearch
    regcomp regexec regfree regerror fnmatch
    gmtime_r strftime timegm
    ceil exp fabs floor fmax fmin fmod log log10 log2 lrint lround llround nan pow round rint sqrt
    __errno_location __ctype_b_loc __ctype_tolower_loc __ctype_toupper_loc tolower toupper
    __stack_chk_fail _GLOBAL_OFFSET_TABLE_ cleanup_free
""".split())
PURE_LIBC |= {f"__{name}_chk" for name in PURE_LIBC}

NEVER_IN_LIBRARY = set("""
    printf vprintf __printf_chk __vprintf_chk puts putchar perror psignal stdout stderr stdin
    exit quick_exit abort system popen err errx warn warnx getopt getopt_long
""".split())


def read_list(path):
    """{file: [words behind it]}; # begins a comment."""
    entries = {}
    for line in path.read_text().splitlines():
        words = line.split("#")[0].split()
        if words:
            entries[words[0]] = words[1:]
    return entries


def symbols(path):
    """(defined, undefined) names of an object file."""
    output = subprocess.run(["nm", "--format=posix", path], capture_output=True, text=True, check=True).stdout
    defined, undefined = set(), set()
    for line in output.splitlines():
        name, kind = line.split()[:2]
        (undefined if kind in "Uwv" else defined).add(name)
    return defined, undefined


def check_objects(pure, effectful, objects):
    """`objects` gives the object file of a source."""
    problems = []
    table = {}
    for source in list(pure) + list(effectful):
        if not objects(source).is_file():
            problems.append(f"{source}: {objects(source)} was not built")
            continue
        table[source] = symbols(objects(source))
    known = set().union(*(table[source][0] for source in pure if source in table))
    for source, (_, undefined) in table.items():
        for name in sorted(undefined & NEVER_IN_LIBRARY):
            problems.append(f"{source}: uses {name}, but the library neither prints nor exits")
    for source, extra in pure.items():
        for name in sorted(table.get(source, (set(), set()))[1] - PURE_LIBC - known):
            if not any(fnmatch.fnmatchcase(name, pattern) for pattern in extra):
                problems.append(f"{source}: is listed as pure but reaches {name}")
    return problems


def check(root):
    pure = read_list(root / "tests/lint/pure.txt")
    effectful = read_list(root / "tests/lint/effectful.txt")
    problems = []
    sources = {path.relative_to(root).as_posix() for path in lint.files(root, ("src/*/*.c",))
               if path.parent.name != "cli"}
    for source in sorted(sources):
        if (source in pure) == (source in effectful):
            problems.append(f"{source}: must stand in one of tests/lint/pure.txt and effectful.txt")
    for source in sorted((pure.keys() | effectful.keys()) - sources):
        problems.append(f"{source}: is listed in tests/lint but does not exist")
    pure = {source: extra for source, extra in pure.items() if source in sources}
    effectful = {source: extra for source, extra in effectful.items() if source in sources}
    if root == lint.ROOT:
        return problems + check_objects(pure, effectful,
                                        lambda source: (lint.BUILD / "obj" / source).with_suffix(".o"))
    for source in sources:
        subprocess.run(["gcc", "-O1", "-c", source, "-o", Path(source).with_suffix(".o")], cwd=root, check=True)
    return problems + check_objects(pure, effectful, lambda source: (root / source).with_suffix(".o"))


def sample(pure, effectful, **sources):
    tree = {f"src/usage/{name}.c": text for name, text in sources.items()}
    tree["tests/lint/pure.txt"] = "".join(f"src/usage/{name}.c\n" for name in pure)
    tree["tests/lint/effectful.txt"] = "".join(f"src/usage/{name}.c  why\n" for name in effectful)
    return tree


def using(call, headers="<fcntl.h> <unistd.h> <time.h> <stdlib.h> <stdio.h> <sys/socket.h>"):
    return "".join(f"#include {header}\n" for header in headers.split()) + f"long f(void);\nlong f(void) {{ return (long)({call}); }}\n"


SAMPLES = [
    (f"a pure file that uses {name}", sample(["a"], [], a=using(call)), f"reaches {name}")
    for name, call in [
        ("open", 'open("x", 0)'), ("read", "read(0, NULL, 0)"), ("write", "write(1, NULL, 0)"),
        ("clock_gettime", "clock_gettime(0, NULL)"), ("time", "time(NULL)"), ("sleep", "sleep(1)"),
        ("getenv", 'getenv("x")'), ("socket", "socket(1, 1, 0)"), ("fputs", 'fputs("x", fopen("y", "w"))'),
    ]
] + [
    ("a detour through an effectful file",
     sample(["a"], ["b"], a="long g(void);\nlong f(void);\nlong f(void) { return g(); }\n",
            b=using("time(NULL)").replace("f(", "g(")), "reaches g"),
    ("a library file that prints", sample([], ["a"], a=using('printf("%d", getpid())')), "neither prints"),
    ("a library file that exits", sample([], ["a"], a=using("(exit(1), 0)")), "neither prints nor exits"),
    ("a file in no list", sample([], [], a="int f;\n"), "must stand in one"),
    ("a file in both lists", sample(["a"], ["a"], a="int f;\n"), "must stand in one"),
    ("a list that names a file that went", sample(["a"], []), "does not exist"),
]

if __name__ == "__main__":
    lint.prove_and_check(check, SAMPLES)

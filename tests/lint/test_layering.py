#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Includes go down the stages, private headers stay private, each library has one owner."""

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
import lint  # noqa: E402

# Lowest first; a stage sees itself and those before it.
STAGES = ["base", "config", "digest", "image", "fingerprint", "similarity", "catalog", "placement", "transfer",
          "host", "vm", "usage", "history", "peers", "migrate", "gate", "cli"]
# Above all stages but cli, which no plugin or hook needs.
TOPS = {"plugins": STAGES[:-1], "hooks": ["base", "gate"]}

# Library, what its headers look like, where they may be included.
OWNERS = [
    ("libvirt", r"libvirt/", r"src/vm/"),
    ("libxml2", r"libxml/", r"(src/vm/xml\.[ch]|hooks/libxml2\.c)$"),
    ("librrd", r"rrd(_\w+)?\.h$", r"src/history/"),
    ("json-c", r"json(-c/|\.h$)", r"src/cli/"),
    ("collectd", r"(collectd/|(collectd|plugin|liboconfig/.*|configfile|utils/.*|utils_\w+)\.h$|utils/)",
     r"plugins/"),
    ("OpenSSL", r"openssl/", r"src/digest/"),
    ("libzstd", r"zstd", r"src/transfer/"),
    ("libnbd", r"libnbd", r"src/image/nbd(_[a-z]+)?\.[ch]$"),
]

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^">]+)[">]', re.MULTILINE)


def stage_of(path):
    """src/vm/x.c, include/setmov/vm.h, include/setmov/vm_x.h -> vm, plugins/x.c -> plugins."""
    if path.startswith("include/setmov/"):
        name = Path(path).stem
        if name == "banned":
            return "base"
        return name if name in STAGES else name.split("_")[0]
    parts = path.split("/")
    return parts[1] if parts[0] == "src" else parts[0]


def visible(stage):
    if stage in TOPS:
        return TOPS[stage]
    return STAGES[: STAGES.index(stage) + 1]


def check_include(root, path, stage, quote, name):
    for library, header, owner in OWNERS:
        local = quote == '"' and (root / path).parent.joinpath(name).is_file()
        if re.match(header, name) and not local and not re.match(owner, path):
            return f"{path}: includes {name}, but {library} belongs to {owner}"
    if name.startswith("setmov/"):
        target = stage_of("include/" + name)
        if target not in visible(stage):
            return f"{path}: includes {name}, which lies above or outside {stage}"
    elif quote == '"' and "/" in name:
        first = name.split("/")[0]
        if first in (".", "..", "src", "plugins", "hooks") or (first in STAGES and first != stage):
            return f"{path}: includes {name}, a header private to another stage"
    return None


def check(root):
    problems = []
    for file in lint.files(root):
        path = file.relative_to(root).as_posix()
        stage = stage_of(path)
        if stage not in STAGES and stage not in TOPS:
            problems.append(f"{path}: {stage} is not a stage that this test knows")
            continue
        # Strings are not blanked here: the names of includes are strings.
        for quote, name in INCLUDE.findall(file.read_text()):
            problem = check_include(root, path, stage, quote, name)
            if problem:
                problems.append(problem)
    return problems


SAMPLES = [
    ("an include upwards", {"src/host/a.c": '#include "setmov/vm.h"\n'}, "above or outside host"),
    ("a header that includes upwards", {"include/setmov/vm.h": '#include "setmov/usage.h"\n'}, "above"),
    ("a plugin that uses cli", {"plugins/a.c": '#include "setmov/cli.h"\n'}, "above"),
    ("a foreign private header", {"src/cli/a.c": '#include "../vm/domstats.h"\n'}, "private"),
    ("a foreign private header by way of -Isrc", {"src/cli/a.c": '#include "vm/domstats.h"\n'}, "private"),
    ("libvirt in host", {"src/host/a.c": "#include <libvirt/libvirt.h>\n"}, "libvirt belongs"),
    ("libxml2 beside its file", {"src/vm/stats.c": "#  include <libxml/parser.h>\n"}, "libxml2 belongs"),
    ("librrd in cli", {"src/cli/graph.c": "#include <rrd.h>\n"}, "librrd belongs"),
    ("json-c in vm", {"src/vm/a.c": "#include <json-c/json.h>\n"}, "json-c belongs"),
    ("collectd in usage", {"src/usage/a.c": '#include "plugin.h"\n'}, "collectd belongs"),
    ("libvirt in a plugin", {"plugins/a.c": "#include <libvirt/libvirt.h>\n"}, "libvirt belongs"),
    ("libvirt in the hook", {"hooks/qemu.c": "#include <libvirt/libvirt.h>\n"}, "libvirt belongs"),
    ("a stage nobody placed", {"src/extra/a.c": "\n"}, "not a stage"),
]

if __name__ == "__main__":
    lint.prove_and_check(check, SAMPLES)

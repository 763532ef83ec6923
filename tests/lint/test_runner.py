#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""tests/run counts right: failures, skips, hangs, left processes and an empty run are told apart."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def run(scripts, *arguments, units=(), built=()):
    """Runs tests/run of a small tree with these scripts; returns (status, lines)."""
    with tempfile.TemporaryDirectory() as directory:
        tree = Path(directory)
        (tree / "tests/cli").mkdir(parents=True)
        (tree / "tests/unit").mkdir()
        (tree / "build/tests/unit").mkdir(parents=True)
        shutil.copy(ROOT / "tests/run", tree / "tests/run")
        for name, text in scripts.items():
            path = tree / "tests/cli" / name
            path.write_text("#!/bin/bash\n" + text)
            path.chmod(0o755)
        for name in units:
            (tree / "tests/unit" / f"{name}.c").write_text("")
        for name in built:
            path = tree / "build/tests/unit" / name
            path.write_text("#!/bin/bash\nexit 0\n")
            path.chmod(0o755)
        env = {key: value for key, value in os.environ.items() if key != "SETMOV_BUILD"}
        done = subprocess.run([tree / "tests/run", *arguments], capture_output=True, text=True, env=env, timeout=120)
        return done.returncode, done.stdout.splitlines()


def expect(what, result, status, last, *parts):
    code, lines = result
    problems = []
    if code != status:
        problems.append(f"exit status {code}, not {status}")
    if not lines or lines[-1] != last:
        problems.append(f"last line is {lines[-1:]}, not {last!r}")
    problems += [f"no {part!r}" for part in parts if not any(part in line for line in lines)]
    if problems:
        print(f"{what}: {'; '.join(problems)}\n  " + "\n  ".join(lines))
    return not problems


def main():
    good = [
        expect("all pass", run({"test_a.sh": "exit 0"}), 0, "1 passed, 0 failed, 0 skipped", "ok    cli/test_a.sh"),
        expect("one fails", run({"test_a.sh": "exit 0", "test_b.sh": "echo why; exit 3"}), 1,
               "1 passed, 1 failed, 0 skipped", "FAIL  cli/test_b.sh", "| why", "exit status 3"),
        expect("a crash", run({"test_a.sh": "kill -SEGV $$"}), 1, "0 passed, 1 failed, 0 skipped", "SIGSEGV"),
        expect("one is skipped", run({"test_a.sh": "echo x; echo no daemon; exit 77"}), 0,
               "0 passed, 0 failed, 1 skipped", "no daemon"),
        expect("one beside the others", run({"test_a.sh": "# test-beside\nnice; sleep 2; touch $SETMOV_BUILD/a", "test_b.sh": "[ ! -e $SETMOV_BUILD/a ]"},
                                            "-v"), 0, "2 passed, 0 failed, 0 skipped", "| 19", "ok    cli/test_a.sh", "ok    cli/test_b.sh"),
        expect("one beside the others fails", run({"test_a.sh": "# test-beside\nexit 4", "test_b.sh": "exit 0"}), 1,
               "1 passed, 1 failed, 0 skipped", "FAIL  cli/test_a.sh", "exit status 4"),
        expect("one hangs", run({"test_a.sh": "# test-timeout: 1\nsleep 600 & sleep 600"}), 1,
               "0 passed, 1 failed, 0 skipped", "still ran after 1 s"),
        expect("one leaves a process", run({"test_a.sh": "sleep 600 & exit 0"}), 1,
               "0 passed, 1 failed, 0 skipped", "left processes behind"),
        expect("nothing runs", run({}), 1, "0 passed, 0 failed, 0 skipped"),
        expect("nothing of that name", run({"test_a.sh": "exit 0"}, "bed"), 1, "0 passed, 0 failed, 0 skipped"),
        expect("one of two by name", run({"test_a.sh": "exit 0", "test_b.sh": "exit 1"}, "test_a"), 0,
               "1 passed, 0 failed, 0 skipped"),
        expect("a long one among others", run({"test_a.sh": "# test-long\nexit 1", "test_b.sh": "exit 0"}), 0,
               "1 passed, 0 failed, 0 skipped"),
        expect("a long one, named", run({"test_a.sh": "# test-long\nexit 1", "test_b.sh": "exit 0"}, "cli"), 1,
               "1 passed, 1 failed, 0 skipped"),
        expect("a unit test was not built", run({}, units=["test_x", "test_y"], built=["test_y"]), 1,
               "1 passed, 1 failed, 0 skipped", "was not built"),
        expect("unit tests at once", run({}, "-j", "2", units=["test_x", "test_y"], built=["test_x", "test_y"]), 0,
               "2 passed, 0 failed, 0 skipped"),
        expect("build directory and temporary directory are handed on",
               run({"test_a.sh": 'case $SETMOV_BUILD in /*/build) ;; *) exit 1 ;; esac; touch "$TMPDIR/x"'}), 0,
               "1 passed, 0 failed, 0 skipped"),
    ]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())

#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Unit tests, fuzz replay and command line tests pass under the sanitizers (make asan).
# test-timeout: 1800
# test-beside
. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"

# The sanitizers are really on: a small program of the same flags must be caught.
printf '#include <stdlib.h>\nint main(int c, char **v)\n{\n    (void)v;\n    char *a = malloc(1);\n    a[c] = 1;\n    free(a);\n    return 0;\n}\n' >"$WORK/over.c"
flags=$(make -C "$ROOT" --no-print-directory -s print-SANITIZE)
# shellcheck disable=SC2086 # one word a flag
gcc $flags -o "$WORK/over" "$WORK/over.c"
! "$WORK/over" 2>/dev/null || fail "an overrun passes: the sanitizers are not on"

make -C "$ROOT" --no-print-directory -s BUILD="$SETMOV_BUILD" asan

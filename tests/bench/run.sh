#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# `make bench`: runs every measurement there is, one after the other: C programs, then scripts.
# Exit status 77 of one means that this machine cannot run it; its last line says why.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export SETMOV_BUILD=${SETMOV_BUILD:-$here/../../build}
failed=0 ran=0
for bench in "$SETMOV_BUILD"/bench/bench_* "$here"/bench_*.sh "$here"/bench_*.py; do
    [ -f "$bench" ] && [ -x "$bench" ] || continue
    printf '\n== %s\n' "${bench##*/}"
    status=0
    "$bench" || status=$?
    case $status in
    0) ran=$((ran + 1)) ;;
    77) echo "(not measured here)" ;;
    *)
        echo "${bench##*/}: failed with status $status" >&2
        failed=1
        ;;
    esac
done
[ "$ran" -gt 0 ] || echo "nothing was measured" >&2
[ "$ran" -gt 0 ] && [ "$failed" -eq 0 ]

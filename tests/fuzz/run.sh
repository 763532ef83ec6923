#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# `make fuzz`: runs each libFuzzer program for some seconds, beginning from its corpus. What it
# learns stays in the build directory; a crash is left there too, to be added to the corpus.
#
#     tests/fuzz/run.sh DIRECTORY-OF-THE-BUILD SECONDS
set -euo pipefail

build=$1 seconds=$2
corpora=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/corpus
failed=()
ran=0
for program in "$build"/fuzz/fuzz_*; do
    [ -x "$program" ] || continue
    name=${program##*/}
    learned=$build/learned/$name
    crashes=$build/crashes/$name
    mkdir -p "$learned" "$crashes"
    echo "== $name for $seconds s"
    ran=$((ran + 1))
    if ! "$program" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix="$crashes/" "$learned" "$corpora/${name#fuzz_}" >"$build/$name.log" 2>&1; then
        tail -n 40 "$build/$name.log"
        failed+=("$name")
    fi
    grep -E 'number_of_executed_units|new_units_added' "$build/$name.log" || true
done
echo "$ran programs fuzzed, ${#failed[@]} with findings${failed[*]:+: ${failed[*]} (see $build/crashes)}"
[ "$ran" -gt 0 ] && [ ${#failed[@]} -eq 0 ]

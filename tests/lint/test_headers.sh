#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Each header of include/ and src/ compiles alone, with gcc and with clang, without a warning.
. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"

compiles_alone()
{
    local compiler=$1 header=$2
    # A file that includes it twice: guards are tested too, and `#pragma once`-like warnings do not arise.
    printf '#include "%s"\n#include "%s"\n' "$header" "$header" >"$WORK/alone.c"
    # shellcheck disable=SC2046 # one word an option
    "$compiler" -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Wstrict-prototypes -Werror -fsyntax-only \
        -I"$ROOT/include" -I"$ROOT/src" -I/ $(pkg-config --cflags libvirt libxml-2.0 json-c librrd) "$WORK/alone.c"
}

compilers=(gcc)
command -v clang >/dev/null && compilers+=(clang)

printf '#ifndef A_H\n#define A_H\nuint32_t a(size_t b);\n#endif\n' >"$WORK/needs.h"
printf 'struct once { int a; };\n' >"$WORK/unguarded.h"
for compiler in "${compilers[@]}"; do
    for sample in needs unguarded; do
        ! compiles_alone "$compiler" "$WORK/$sample.h" 2>/dev/null ||
            fail "$compiler accepted $sample.h: the check does not work"
    done
    for header in "$ROOT"/include/setmov/*.h "$ROOT"/src/*/*.h; do
        [ -e "$header" ] || continue
        compiles_alone "$compiler" "$header" || fail "$header does not compile alone with $compiler"
    done
done

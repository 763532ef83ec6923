#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# `make help` has a sentence for every target a person calls, and README names only targets there are.
. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"
need make

help=$(make -C "$ROOT" --no-print-directory -s help)
for target in all deps demo check bench asan tidy format-check format fuzz install uninstall clean help \
    chroot-demo chroot-check bed-up bed-down bed-shell; do
    printf '%s\n' "$help" | grep -qE "^  $target +[A-Z\`].*\.$" || fail "make help has no sentence for $target"
done

while read -r target; do
    printf '%s\n' "$help" | grep -qE "^  $target " || fail "README.md names make $target, which is no target"
done < <(grep -ohE '(^|`|    )make [a-z-]+' "$ROOT/README.md" | sed 's/.*make //' | sort -u)

# Everything is installed here, or the test would not run: deps has nothing to do and nothing to say.
same "" "$(make -C "$ROOT" --no-print-directory -s deps)" "make deps on a complete system"

# Not root and something missing: one line that names it.
if [ "$(id -u)" -eq 0 ] && command -v setpriv >/dev/null; then
    run setpriv --reuid 65534 --clear-groups sh "$ROOT/tests/lib/packages.sh" make no-such-package-a no-such-package-b
    [ "$STATUS" -ne 0 ] || fail "missing packages go unnoticed"
    same "deps: not root, so cannot install the missing packages: no-such-package-a no-such-package-b" "$ERR"
fi

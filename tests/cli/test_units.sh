#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# systemd understands the units that make install puts down, each word of them.
. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"
need make
command -v systemd-analyze >/dev/null || skip "systemd-analyze is not installed"
[ -z "${SETMOV_SANITIZED:-}" ] || skip "says nothing under sanitizers"

# The program's own path is in the units, so the tree is installed where it says.
make -C "$ROOT" --no-print-directory -s BUILD="$SETMOV_BUILD" install PREFIX="$WORK/s" COLLECTD_PLUGIN_DIR="$WORK/c" \
    LIBVIRT_HOOK_DIR="$WORK/h" SYSTEMD_UNIT_DIR="$WORK/u"

verify() { systemd-analyze verify --man=no "$@" 2>&1 | grep -F "$WORK/u/" || true; }

same "" "$(verify "$WORK"/u/*)" "what systemd says of the units"
ls "$WORK"/u/*.service "$WORK"/u/*.timer "$WORK"/u/*.path >/dev/null || fail "there are no units"
for timer in "$WORK"/u/*.timer "$WORK"/u/*.path; do
    [ -e "${timer%.*}.service" ] || fail "$timer starts nothing"
done

# Images lie anywhere: who moves, merges or removes them must see and write all of it, as libvirt does.
hides='PrivateTmp|Protect(Home|System)|(Inaccessible|ReadOnly|NoExec)Paths|TemporaryFileSystem|Root(Directory|Image)'
for command in gc recover requests; do
    unit="$WORK/u/setmov-$command.service"
    has "$(cat "$unit")" "ExecStart=$WORK/s/bin/setmov $command"
    same "" "$(grep -E "^($hides)=" "$unit" || true)" "what setmov-$command.service hides or makes read-only"
done

# It would be heard.
sed -i 's/^Type=oneshot/Typ=oneshot/' "$WORK/u/setmov-gc.service"
has "$(verify "$WORK/u/setmov-gc.service")" "Typ"

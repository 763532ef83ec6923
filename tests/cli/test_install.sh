#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# make install puts every file where it belongs below DESTDIR, and uninstall takes all of them away.
. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"
need make

make_here()
{
    make -C "$ROOT" --no-print-directory -s BUILD="$SETMOV_BUILD" "$@"
}

[ -z "${SETMOV_SANITIZED:-}" ] || skip "says nothing under sanitizers"

# Whatever else is made (documents may be added), these are there with these modes.
expected()
{
    local prefix=$1 plugins=$2 hooks=$3 units=$4 page
    echo "755 $prefix/bin/setmov"
    echo "644 $plugins/setmov.so"
    echo "755 $hooks/setmov"
    echo "755 ${hooks%/*}/setmov-apply"
    echo "644 $prefix/share/setmov/setmov.types.db"
    echo "644 $prefix/share/doc/setmov/README.md"
    echo "644 $prefix/share/doc/setmov/LICENSE"
    for page in "$ROOT"/docs/*.md; do
        echo "644 $prefix/share/doc/setmov/${page##*/}"
    done
    for page in "$ROOT"/etc/*.conf; do
        echo "644 $prefix/share/doc/setmov/examples/${page##*/}"
    done
    echo "644 $prefix/share/doc/setmov/examples/setmov.cron"
    for page in "$ROOT"/etc/systemd/*; do
        echo "644 $units/${page##*/}"
    done
    for page in "$ROOT"/docs/*.[158]; do
        echo "644 $prefix/share/man/man${page##*.}/${page##*/}"
    done
}

check_tree()
{
    local destination=$1
    same "$(expected "$2" "$3" "$4" "$5" | sort)" "$(cd "$destination" && find . -type f -printf '%m /%P\n' | sort)" "the installed tree"
}

ls "$ROOT"/docs/*.1 "$ROOT"/docs/*.5 "$ROOT"/etc/*.conf >/dev/null || fail "manual pages or configuration are missing"

make_here install DESTDIR="$WORK/a"
check_tree "$WORK/a" /usr/local /usr/lib/collectd /etc/libvirt/hooks/qemu.d /usr/local/lib/systemd/system

make_here install DESTDIR="$WORK/b" PREFIX=/opt/s COLLECTD_PLUGIN_DIR=/opt/collectd/lib LIBVIRT_HOOK_DIR=/opt/hooks SYSTEMD_UNIT_DIR=/opt/units
check_tree "$WORK/b" /opt/s /opt/collectd/lib /opt/hooks /opt/units

# What a unit or a line of cron starts is there, and it is a command.
grep -rhE '^(ExecStart|Documentation)=' "$WORK/b/opt/units" | grep -oE '/[^ ]*' | sort -u | while read -r path; do
    [ -e "$WORK/b$path" ] || fail "a unit names $path, which is not installed"
done
{ sed -n 's|^ExecStart=/opt/s/bin/setmov ||p' "$WORK/b/opt/units"/*.service
    sed -n 's|^[^#].* setmov \([a-z]*\) .*|\1|p' "$WORK/b/opt/s/share/doc/setmov/examples/setmov.cron"; } |
    sort | uniq -c | while read -r count command; do
    "$SETMOV_BUILD/setmov" $command --help >/dev/null || fail "a unit or cron starts setmov $command"
    same 2 "$count" "units and lines of cron that start setmov $command"
done

has "$("$WORK/a/usr/local/bin/setmov" --help)" "stat"
cmp -s "$SETMOV_BUILD/plugins/setmov.so" "$WORK/a/usr/lib/collectd/setmov.so" || fail "another plugin was installed"

# AppArmor lets libvirtd run what lies there, not what a link leads to.
cmp -s "$SETMOV_BUILD/hooks/setmov" "$WORK/a/etc/libvirt/hooks/qemu.d/setmov" || fail "another hook was installed"
[ ! -L "$WORK/a/etc/libvirt/hooks/qemu.d/setmov" ] || fail "the hook is a link"
cmp -s "$SETMOV_BUILD/hooks/setmov-apply" "$WORK/a/etc/libvirt/hooks/setmov-apply" || fail "another program for the hook was installed"

make_here uninstall DESTDIR="$WORK/a"
same "" "$(find "$WORK/a" -type f)" "what uninstall leaves"

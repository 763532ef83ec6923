#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Installs those of the named Debian packages that are missing; says nothing when all are there.
# Plain sh: it runs on a system that has nothing but make.
set -eu

if ! command -v dpkg-query >/dev/null 2>&1; then
    echo "deps: this is not a Debian system; needed are what Debian 12 calls: $*" >&2
    exit 1
fi

missing=
for package in "$@"; do
    case $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true) in
    installed*) ;;
    *) missing="$missing $package" ;;
    esac
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
    echo "deps: not root, so cannot install the missing packages:$missing" >&2
    exit 1
fi

echo "deps: installing$missing"
export DEBIAN_FRONTEND=noninteractive
install_missing()
{
    # shellcheck disable=SC2086 # one word a package
    apt-get install -y -qq --no-install-recommends -o Dpkg::Use-Pty=0 $missing
}

# A package list that is absent or too old fails here; then, and only then, it is fetched.
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if apt-get install -s -qq --no-install-recommends $missing >/dev/null 2>&1 &&
    install_missing >"$log" 2>&1; then
    exit 0
fi
if ! apt-get update -qq >"$log" 2>&1 || ! install_missing >"$log" 2>&1; then
    cat "$log" >&2
    echo "deps: could not install:$missing" >&2
    exit 1
fi

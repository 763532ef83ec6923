#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The shell scripts pass shellcheck, and the Python scripts compile.
. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"
need shellcheck python3

check_shell()
{
    shellcheck -x --severity=warning --source-path=SCRIPTDIR "$@"
}

# shellcheck disable=SC2016 # the sample is not to be expanded here
printf '#!/bin/bash\ncd $1\nrm -rf "$DIR/"*\n' >"$WORK/sample.sh"
! check_shell "$WORK/sample.sh" >/dev/null || fail "the check does not reject a bad script"

cd "$ROOT"
scripts=(.ci/run)
for script in tests/*.sh tests/*/*.sh; do
    [ -e "$script" ] && scripts+=("$script")
done
check_shell "${scripts[@]}"

for script in tests/run tests/*/*.py; do
    python3 - "$script" <<'END' || fail "$script does not compile"
import sys
compile(open(sys.argv[1], encoding="utf-8").read(), sys.argv[1], "exec", dont_inherit=True)
END
done

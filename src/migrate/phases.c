/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names of a migration's phases. */
#include "setmov/migrate.h"

const char *migrate_phase_name(enum migrate_phase phase)
{
    static const char *const names[MIGRATE_PHASES] = {
        [MIGRATE_CHECKING] = "checking",   [MIGRATE_KNOWING] = "knowing",
        [MIGRATE_FREEZING] = "freezing",   [MIGRATE_READING] = "reading",
        [MIGRATE_PLANNING] = "planning",   [MIGRATE_SENDING] = "sending",
        [MIGRATE_BUILDING] = "building",   [MIGRATE_MOVING] = "moving",
        [MIGRATE_FINISHING] = "finishing", [MIGRATE_ROLLING_BACK] = "rolling-back",
    };

    return (unsigned)phase < MIGRATE_PHASES ? names[phase] : "";
}

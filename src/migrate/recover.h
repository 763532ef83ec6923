/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files recover*.c share: migrations whose process is gone. */
#ifndef MIGRATE_RECOVER_H
#define MIGRATE_RECOVER_H

#include "migrate/end.h"

/*
 * Does what there is to be done for one journal, whose lock is held. The line
 * says what came of it.
 */
enum migrate_recovered migrate_recover_one(const struct config *config, struct journal *journal,
                                           bool (*stopped)(void *context), void *context,
                                           struct vm_lines *left, char ret_text[512]);

/* Removes what was left of journals that were being written, and locks that nobody holds. */
void migrate_recover_sweep(const char *state);

#endif

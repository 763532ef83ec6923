/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of `setmov sync` share. */
#ifndef SETMOV_CLI_SYNC_H
#define SETMOV_CLI_SYNC_H

#include "setmov/peers.h"

/*
 * Prints a line for each host, or the JSON; of `only` (NULL at the end) where
 * it is there. The program's exit status: were all read?
 */
int sync_print(const struct config *config, const struct peers_result *results, size_t count,
               const char *const *only, bool json);

/* "12 min", of an age in seconds; for people. */
struct sync_age {
    char text[32];
};
struct sync_age sync_age(int64_t seconds);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `setmov migrate`: what its files share. */
#ifndef SETMOV_CLI_MIGRATE_H
#define SETMOV_CLI_MIGRATE_H

#include "command.h"
#include "setmov/migrate.h"

#define MIGRATE_COMMAND "migrate"

/* How the way there is shown. */
enum migrate_show { MIGRATE_SHOW_AUTO, MIGRATE_SHOW_BAR, MIGRATE_SHOW_JSON, MIGRATE_SHOW_NONE };

/* ---- progress (migrate_bar.c) ---- */

struct migrate_bar;
/* A line on stderr, where that is a terminal; or lines of JSON on stdout; NULL: nothing is shown. */
struct migrate_bar *migrate_bar_new(const char *vm, enum migrate_show show);
/* `context`: the bar, or NULL. */
void migrate_bar_update(void *context, const struct migrate_progress *progress);
/* Takes the line away, for another one to be printed. NULL is fine. */
void migrate_bar_clear(struct migrate_bar *bar);
void migrate_bar_free(struct migrate_bar *bar);

/* ---- the outcome (migrate_report.c) ---- */

struct migrate_outcome {
    const struct migrate_options *options;
    const char *to; /* for people */
    const struct migrate_summary *summary;
    int code;          /* of migrate_run() */
    const char *error; /* the line; NULL */
};
void migrate_print(const struct migrate_outcome *outcome);
struct json_object *migrate_json(const struct migrate_outcome *outcome);

/* ---- where to (migrate_choose.c) ---- */

/*
 * The host that `setmov choose` names first. Prints why. STATUS_OK with a name that the
 * caller frees, or with NULL: it stays where it is, which is said; or a status.
 */
int migrate_choose(const struct config *config, const char *operand, bool quiet, char **ret_host);

#endif

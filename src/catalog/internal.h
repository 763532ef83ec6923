/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of catalog/ share: names of fingerprints, identities, the directory. */
#ifndef SETMOV_CATALOG_INTERNAL_H
#define SETMOV_CATALOG_INTERNAL_H

#include "setmov/catalog.h"

/* ---- names (names.c; pure) ---------------------------------------------------- */

/* Whatever it is called else: a name of one that is not hidden, which index directories read. */
bool catalog_name_is_fingerprint(const char *name);

/* What setmov writes beside fingerprints: "manifest", "*.request", "*.lease". */
bool catalog_name_is_told(const char *name);

/* Is this what an unfinished fingerprint is called (".NAME.XXXXXX.tmp")? */
bool catalog_name_is_leftover(const char *name);

struct catalog_kind catalog_kind_of_view(const struct fingerprint_view *view);
struct catalog_kind catalog_kind_of_wish(const struct fingerprint_wish *wish);

/* ---- identities (identity.c; pure) ---------------------------------------------- */

/* Files changed later than so long before they were read are not trusted: clocks are coarse. */
#define CATALOG_RACY_S 2

/* Does `path` lie below `directory` (both resolved), or is it that? */
bool catalog_lies_in(const char *path, const char *directory);

/* ---- the directory (directory.c) -------------------------------------------------- */

/* An index directory whose lock is held. */
struct catalog_directory {
    char *path;
    const struct catalog_update_options *options;
    int fd, lock; /* -1: none */
    char **names; /* of the fingerprints that were there at first, ascending */
    size_t count, capacity;
    size_t problems; /* entries that could not be removed */
};

/* Makes, opens, locks, removes what is unfinished, lists. -EBUSY, -ECANCELED. */
int catalog_directory_open(const char *path, const struct catalog_update_options *options,
                           struct catalog_directory *ret_directory, struct error *err);
void catalog_directory_release(struct catalog_directory *directory);

/* The fingerprints whose names begin with that hash: [*ret_first, *ret_end) of `names`. */
void catalog_directory_find(const struct catalog_directory *directory, const char *hash,
                            size_t *ret_first, size_t *ret_end);
/* False where that cannot be: it is reported, and costs nothing else. */
bool catalog_directory_remove(struct catalog_directory *directory, const char *name);

/* malloc'ed "DIRECTORY/name", or NULL. */
char *catalog_path_join(const char *directory, const char *name);

/* Names in a directory, ascending, but "." and "..". `fd` stays the caller's. 0 or negative errno. */
int catalog_list(int fd, char ***ret_names, size_t *ret_count);
void catalog_list_free(char **names, size_t count);

/* ---- what vanished (gone.c) ---------------------------------------------------------- */

/*
 * Should the fingerprint of an image that is not among those that were found
 * go? `in_scope`: its place was searched to its end.
 */
bool catalog_is_gone(const struct fingerprint_layer *top, bool in_scope);

#endif

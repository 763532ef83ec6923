/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A merged index (catalog_merged.h) that is kept in a file, so that a ranking
 * of a thousand hosts costs one look at each one's directory. Each change of an
 * index is a rename in its directory, which the directory's times tell; the
 * file is made anew where one of them changed. Only fingerprints count, no
 * images. Effects: reads directories and fingerprints, maps and writes the file.
 */
#ifndef SETMOV_CATALOG_MERGED_FILE_H
#define SETMOV_CATALOG_MERGED_FILE_H

#include "setmov/catalog.h"
#include "setmov/catalog_merged.h"

struct catalog_merged_source {
    const char *name, *directory;
};

/* What is known of a host beside its figures. */
struct catalog_merged_state {
    int code;         /* negative errno of the directory, which cannot be used; 0: it can */
    size_t images;    /* fingerprints that count; 65535: so many or more */
    bool problems;    /* some could not be used */
    bool other_kinds; /* there are others, which were passed over */
    bool provisional; /* some were made of images that somebody wrote to, or could have */
    bool images_only; /* no fingerprint, but other files */
};

struct catalog_merged_options {
    const char *temporary;          /* directory of temporary files; NULL: $TMPDIR or /var/tmp */
    bool (*stopped)(void *context); /* may be NULL */
    /* A fingerprint of a host could not be used, seen while the file is made. May be NULL. */
    int (*problem)(void *context, size_t host, const char *path, const struct error *error);
    void *context;
};

struct catalog_merged_file;

/*
 * Opens `path`, or makes it anew, where it is not of these hosts as they are
 * now, and of that kind (a whole one). What is wrong with one host or with its
 * fingerprints costs that alone. Without any host that can be used there is
 * nothing to do, and the file stays as it is. -EEXIST: the file is something
 * else, which is never overwritten; -ECANCELED: stopped.
 */
int catalog_merged_file_open(const char *path, const struct catalog_merged_source *hosts,
                             size_t count, const struct catalog_kind *kind,
                             const struct catalog_merged_options *options,
                             struct catalog_merged_file **ret_file, struct error *err);
void catalog_merged_file_close(struct catalog_merged_file *file); /* NULL is fine */

/*
 * Opens a file as it is, for who may not look anywhere else: no host's
 * directory is looked at, nothing is written. The file's own hosts are its
 * hosts then, in its order: `host` below is a row of it, from 0 to
 * catalog_merged_file_host_count(), which catalog_merged_file_host_name() names;
 * the name is what other lists know the host by (catalog_known_host_find()).
 * What is said of a host is as old as the file, and no host has a `code`.
 * -ENOENT; -EINVAL: no merged index, or a damaged one; -ENOTSUP: another
 * version; -EIO.
 */
int catalog_merged_file_map(const char *path, struct catalog_merged_file **ret_file,
                            struct error *err);

/* That of a whole kind in a cache directory (catalog_known.h). */
int catalog_merged_file_map_kind(const char *cache, const struct catalog_kind *kind,
                                 struct catalog_merged_file **ret_file, struct error *err);

/* How many hosts there are: those of the file, or those it was opened with. */
size_t catalog_merged_file_host_count(const struct catalog_merged_file *file);
/* NULL: its directory cannot be used. Stays until the file is closed. */
const char *catalog_merged_file_host_name(const struct catalog_merged_file *file, size_t host);

/*
 * Where the hosts of these names are; the count of hosts stands for one that is
 * not among those that can be used. -ENOMEM.
 */
int catalog_merged_file_find(const struct catalog_merged_file *file, const char *const *names,
                             size_t count, size_t *ret_hosts);

/*
 * Is what the file says of the host all that lies in its directory now, of that
 * kind? False where the directory changed since the file was made, and where it
 * had changed so shortly before that nobody can tell. Costs one look at it.
 */
bool catalog_merged_file_is_current(const struct catalog_merged_file *file, size_t host,
                                    const char *directory, const struct catalog_kind *kind);

/* As catalog_merged_verify(): for who has the time to read all of it. -EIO: cut short. */
int catalog_merged_file_verify(const struct catalog_merged_file *file, struct error *err);

/* Was the file made anew? */
bool catalog_merged_file_is_new(const struct catalog_merged_file *file);

struct catalog_merged_state catalog_merged_file_state(const struct catalog_merged_file *file,
                                                      size_t host);

/*
 * As catalog_merged_query(): ret_all has room for all hosts; of those whose
 * directory cannot be used it is zeroed. -EIO: somebody cut the file short.
 */
int catalog_merged_file_query(const struct catalog_merged_file *file,
                              const struct fingerprint_view *query,
                              struct similarity_estimate *ret_all, struct error *err);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Stage peers/: what this host reads from others, and keeps (catalog_known.h).
 * Above vm/ and catalog/; what talks to libvirt is in vm/. Effects throughout.
 */
#ifndef SETMOV_PEERS_H
#define SETMOV_PEERS_H

#include "setmov/catalog_known.h"
#include "setmov/config.h"

/* So many hosts are asked at a time. They only wait: those that do not answer must not add up. */
#define PEERS_AT_ONCE 64

/* What came of one host. Strings are the result's own. */
struct peers_result {
    const char *name; /* the configuration's */
    int code;         /* 0, or why it could not be read; -EAGAIN: was read lately, not asked */
    struct error error;
    int64_t read_s; /* when it was last read without a problem, this time included; 0: never */
    int64_t made_s; /* when the manifest was made that was read now; 0: none was */
    uint64_t bytes_read;
    size_t fingerprints, read, dropped; /* there; read anew; gone since */
    size_t damaged;                     /* passed over, with the first one's reason in `error` */
    bool budget_ended;                  /* the rest is read next time */
};

struct peers_options {
    uint64_t max_age_s;             /* hosts that were read later are not asked; 0: all are */
    const char *const *only;        /* names of hosts, then NULL; NULL: all */
    bool (*stopped)(void *context); /* may be NULL */
    void (*event)(void *context, const struct peers_result *result); /* as each ends; may be NULL */
    void *context;
};

/*
 * Reads the peers of this host's trust domain (manifest, heads, sketches: only
 * what changed, at most the budget a peer, each within the time limit), brings
 * this host's own facts in, and makes `known` and the merged indexes anew. Peers
 * that fail keep what was known of them, with its age. Only one at a time works
 * in a cache directory (it waits). `ret_results` has room for
 * config->host_count + 1: this host comes first, then its peers by name.
 * Returns 0 even if peers failed; errors of this host's own disk; -ECANCELED.
 */
int peers_sync(const struct config *config, const struct peers_options *options,
               struct peers_result *ret_results, size_t *ret_count, struct error *err);

/* One image on a peer whose exact fingerprint is wanted. */
struct peers_want {
    const char *host; /* configured name */
    const char *name; /* file name of the fingerprint */
    int result;       /* 0: all of it is in the cache now */
    uint64_t bytes_read;
    struct error error;
};

/*
 * Fetches all sections of fingerprints into the cache's files, the first ones
 * first, as long as `budget_bytes` lasts (-EDQUOT in the result of the others);
 * what is there already costs nothing.
 */
int peers_fetch(const struct config *config, struct peers_want *wants, size_t count,
                uint64_t budget_bytes, const struct peers_options *options, struct error *err);

/*
 * Has libvirt look what is in this host's pool of disk images (`pool` of
 * [setmov]): it does not see by itself what came, went or grew there, and its
 * free space is what peers are told. No such pool: nothing to do. At most a
 * minute. -EIO ...: libvirt's line; its list is then as old as it was.
 */
int peers_refresh_own(const struct config *config, bool (*stopped)(void *context), void *context,
                      struct error *err);

/* What there was to do for peers that want to read this host's index. */
struct peers_offering {
    size_t fingerprints, vms;
    bool is_new; /* the manifest was written anew */
    char *
        *problems; /* a line each: domains that could not be asked, fingerprints that are damaged */
    size_t problem_count, problem_capacity;
};

/*
 * Makes this host's index readable for its peers: its directory is the libvirt
 * pool `setmov_pool` of [setmov], which is refreshed where something changed, and
 * has a manifest, which is written last, and only where it says something new or
 * is older than half of what peers believe (max_age_s of [hook]). Makes also the
 * directory `incoming`, for this user alone, and its pool `incoming_pool`; what
 * goes wrong with these is one of the problems. At most a minute for libvirt. The
 * caller releases.
 */
int peers_offer(const struct config *config, bool (*stopped)(void *context), void *context,
                struct peers_offering *ret_offering, struct error *err);
void peers_offering_release(struct peers_offering *offering);

/* The directory of a host's fingerprints: the index for this one. The caller frees; NULL: no memory. */
char *peers_directory(const struct config *config, const char *host);

#endif

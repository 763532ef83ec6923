/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of peers/ share. */
#ifndef SETMOV_PEERS_INTERNAL_H
#define SETMOV_PEERS_INTERNAL_H

#include "setmov/base_new_file.h"
#include "setmov/catalog.h"
#include "setmov/catalog_load.h"
#include "setmov/peers.h"
#include "setmov/vm_peer.h"

/*
 * What a peer may claim: a sparse file costs no space, but is mapped whole, and
 * so are all those of a host together. The fingerprint of 40 TiB in blocks of
 * 4096 bytes is shorter.
 */
#define PEERS_FINGERPRINT_MAX_BYTES (UINT64_C(1) << 38)
#define PEERS_HOST_MAX_BYTES        (UINT64_C(1) << 44)

/* ---- what is to be read (plan.c; pure) ------------------------------------------ */

/* A fingerprint in the cache. */
struct peers_cached {
    char *name;
    uint64_t length, checksum; /* as a manifest has them */
    int64_t changed_s;         /* when it was put there */
};

struct peers_cached_list {
    struct peers_cached *items;
    size_t count, capacity;
};
void peers_cached_release(struct peers_cached_list *list);

struct peers_plan {
    size_t *read, read_count; /* of the manifest: missing ones first, then what waited longest */
    size_t *gone, gone_count; /* of the cache */
    size_t accepted;          /* of the manifest: all but those that are refused */
    size_t refused;           /* of the manifest: no name that an index gives, too long */
    struct error why;         /* of the first one */
};
int peers_plan_make(const struct catalog_manifest *manifest, const struct peers_cached_list *cached,
                    struct peers_plan *ret_plan);
void peers_plan_release(struct peers_plan *plan);

/* A stretch of a fingerprint that is read at once, and has a checksum. */
struct peers_range {
    struct fingerprint_section section;
    uint64_t known; /* so many bytes of it are there already, behind another checksum */
};

/* The sections that a sketch needs; `ret_ranges` has room for FINGERPRINT_MAX_SECTIONS. */
size_t peers_sketch_ranges(const struct fingerprint_head *head, struct peers_range *ret_ranges);
/* All others, where `ret_ranges` has the same room and the sketch is there. */
size_t peers_exact_ranges(const struct fingerprint_head *head, struct peers_range *ret_ranges);
uint64_t peers_ranges_bytes(const struct peers_range *ranges, size_t count);

/* ---- what came of a host, from run to run (state.c; pure) --------------------------- */

struct peers_state {
    int64_t tried_s, read_s; /* last time, and last time without a problem; 0: never */
    uint64_t cpus;           /* 0: not known */
    uint64_t memory_bytes, memory_free_bytes, pool_free_bytes; /* UNKNOWN_U64 */
    struct error problem;                                      /* of the last time; "" */
};

#define PEERS_STATE_NAME  "state"
#define PEERS_STATE_BYTES 1024 /* its text is shorter */

void peers_state_init(struct peers_state *state);
void peers_state_encode(const struct peers_state *state, char ret_text[PEERS_STATE_BYTES]);
/* What cannot be read is not known. */
void peers_state_parse(struct text text, struct peers_state *ret_state);

/* ---- the cache directory (cache.c) ------------------------------------------------------ */

struct peers_cache {
    const char *path;
    int lock; /* -1: none */
};

/* Makes and locks it. -ECANCELED. */
int peers_cache_open(const char *path, const struct peers_options *options,
                     struct peers_cache *ret_cache, struct error *err);
void peers_cache_release(struct peers_cache *cache);

/* malloc'ed "CACHE/KIND/HOST[/NAME]", or NULL; `kind`: CATALOG_HOSTS_NAME, CATALOG_ABOUT_NAME. */
char *peers_cache_path(const char *cache, const char *kind, const char *host, const char *name);

/* With parents; for the owner alone. */
int peers_make_directory(const char *path, struct error *err);

/* Removes a directory with the files in it; what is not there is no error. */
int peers_remove_directory(const char *path, struct error *err);

/* Removes what is unfinished in it. */
void peers_sweep(const char *directory);

/* The fingerprints in a directory, with what a manifest says of them. -ENOENT: none such. */
int peers_list(const char *directory, struct peers_cached_list *ret_list, struct error *err);

/* Names in a directory of hosts that `keep` does not want any more are removed. */
int peers_remove_others(const char *cache, const char *kind,
                        bool (*keep)(const struct config *config, const char *name),
                        const struct config *config, struct error *err);

/* ---- reading from a peer (read.c) --------------------------------------------------------- */

/* A volume of a peer's pool, and what it may cost. */
struct peers_source {
    struct vm_peer *peer;
    const char *pool, *volume;
    uint64_t budget_bytes; /* what is left; UINT64_MAX: no limit */
    uint64_t *bytes_read;  /* counts up */
};

/* Whose fault it was. */
enum peers_fault { PEERS_THERE, PEERS_HERE };

/* All of a volume that is at most `most` bytes long. The caller frees. -EFBIG, -ENOENT, -EIO. */
int peers_read_whole(struct peers_source *source, size_t most, char **ret_bytes, size_t *ret_length,
                     struct error *err);

/* Head of a fingerprint that is as the manifest says. -ESTALE: it is another one. */
int peers_read_head(struct peers_source *source,
                    const struct catalog_manifest_fingerprint *fingerprint,
                    uint8_t ret_bytes[FINGERPRINT_HEAD_MAX], struct fingerprint_head *ret_head,
                    struct error *err);

/* Into the file, at their places; the checksum of each is compared. */
int peers_read_ranges(struct peers_source *source, const struct peers_range *ranges, size_t count,
                      const struct new_file *file, enum peers_fault *ret_fault, struct error *err);

/* ---- one host (host.c) ------------------------------------------------------------------------ */

/*
 * What one host's thread works on. It belongs to two, the thread and who
 * started it, and goes with the last of them. All names in the cache are made
 * and changed under the mutex, and none once it is closed: a thread that was
 * given up and goes on at last changes nothing any more.
 */
struct peers_host;

struct peers_host_order {
    const struct config *config;    /* nothing of it is used later */
    const struct config_host *peer; /* NULL: this host itself, of which only facts are read */
    const char *name;
};
struct peers_host *peers_host_new(const struct peers_host_order *order); /* NULL: no memory */
void peers_host_unref(void *context);

/* For struct vm_task; the context is the host. */
int peers_host_run(void *context, struct error *err);

/* What a thread has come to; nothing changes behind this. */
struct peers_outcome {
    struct peers_result result; /* without name and code */
    bool disk_failed;           /* of this host: nobody else can write either */
    struct vm_peer_facts facts;
    bool has_facts;
    int64_t facts_s;
};
void peers_host_close(struct peers_host *host, struct peers_outcome *ret_outcome);

/* ---- what all hosts come to (known.c) ------------------------------------------------------------ */

/* A host of which something may be known. */
struct peers_member {
    const char *name;
    bool is_self;
    char *directory, *about; /* of its fingerprints; of what is told of it */
    struct peers_state state;
};

/* Makes `known` and the merged indexes. */
int peers_make_known(const struct config *config, const struct peers_member *members, size_t count,
                     const struct peers_options *options, struct error *err);

/* ---- what this host offers (offer_make.c; pure) ----------------------------------------------------- */

struct vm_domains;

/*
 * A manifest of these fingerprints (names, lengths, checksums are copied) and
 * domains; `resolved` has the path of each disk, all symbolic links followed,
 * domain by domain, or NULL where there is none.
 */
int peers_manifest_make(const char *host, int64_t made_s, const struct peers_cached_list *list,
                        const struct vm_domains *domains, char *const *resolved,
                        struct catalog_manifest *ret_manifest);

/* Do they say the same, but for when they were made? */
bool peers_manifest_same(const struct catalog_manifest *left, const struct catalog_manifest *right);

#endif

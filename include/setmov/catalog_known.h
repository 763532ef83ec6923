/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What this host knows of itself and its peers, on its own disk, kept by
 * `setmov sync` for whoever may not ask libvirt (the hook) or does not want to
 * wait. The cache directory (setmov.conf: cache of [sync]) holds
 *
 *   hosts/NAME/HASH.KIND.fingerprint  a peer's fingerprints: sparse files, of which head, layers
 *                                     and sketch are there, all else only if it was asked for
 *   about/NAME/manifest, load, state  catalog_manifest.h, catalog_load.h, what came of reading it
 *                                     (apart, so that hosts/NAME changes only with fingerprints)
 *   KIND.merged                       catalog_merged.h over all hosts, this one included, a file a
 *                                     kind ("sha256-4096.merged"); hosts by name
 *   known                             this header: hosts, and VMs by UUID, in one file
 *   lock                              held (flock) by whoever changes the directory
 *
 * "known" is one file with one checksum, replaced by rename, to be mapped: to
 * find a VM among a hundred thousand takes a binary search. It names hosts; rows
 * of a merged index are found by that name, so neither depends on the other's
 * age. Format: docs/catalog-format.md.
 */
#ifndef SETMOV_CATALOG_KNOWN_H
#define SETMOV_CATALOG_KNOWN_H

#include "setmov/catalog_manifest.h"

#define CATALOG_KNOWN_NAME "known"
#define CATALOG_HOSTS_NAME "hosts" /* the directory of peers' directories */
#define CATALOG_ABOUT_NAME "about" /* the directory of what is told of hosts */
#define CATALOG_LOAD_NAME  "load"

/* One host, as it was when it was last read. Strings belong to whoever made or keeps it. */
struct catalog_known_host {
    const char *name;
    const char *directory; /* of its fingerprints: below the cache, or this host's index */
    const char *problem;   /* why nothing new is known of it, one line; NULL: all went well */
    bool is_self;
    int64_t read_s;     /* when it was last read without a problem; 0: never */
    int64_t made_s;     /* when its manifest was made; 0: none */
    double cpu_percent; /* load, NaN: not known */
    uint64_t cpus;      /* 0: not known */
    uint64_t memory_free_bytes, memory_bytes; /* UNKNOWN_U64 */
    uint64_t pool_free_bytes;                 /* of its pool for disks; UNKNOWN_U64 */
};

struct catalog_known_disk {
    const char *target, *path;
    char image[CATALOG_IMAGE_ID_BYTES]; /* "" where there is no fingerprint */
    uint64_t capacity_bytes;
};

/* A VM on one host. Points into the mapped file, but for the array of disks, which the caller frees. */
struct catalog_known_vm {
    struct uuid uuid;
    const char *name;
    size_t host; /* index into the hosts */
    bool active;
    uint64_t memory_bytes;
    uint32_t vcpus;
    struct catalog_known_disk *disks;
    size_t disk_count;
};

/* ---- making ------------------------------------------------------------------ */

struct catalog_known_source {
    struct catalog_known_host host;
    const struct catalog_manifest *manifest; /* NULL: none */
};

/*
 * Hosts and manifests in any order; their strings may have any bytes. Pure; the
 * caller frees. `made_s`: now. -EINVAL: a name twice, no name (config_is_name()),
 * two VMs of one host with one UUID; -EOVERFLOW: 2^32 bytes of strings, or more;
 * -ENOMEM.
 */
int catalog_known_encode(const struct catalog_known_source *sources, size_t count, int64_t made_s,
                         uint8_t **ret_bytes, size_t *ret_length, struct error *err);

/* ---- reading ----------------------------------------------------------------- */

struct catalog_known;

/* Lays it over bytes that stay there until it is released. -EINVAL: damaged; -ENOTSUP. Pure. */
int catalog_known_decode(const void *bytes, size_t length, const char *what,
                         struct catalog_known **ret_known, struct error *err);

/*
 * Maps CATALOG_KNOWN_NAME of a cache directory, and reads all of it, for its
 * checksum: about a millisecond for 100,000 VMs (22 MB). Who wants to survive
 * that somebody cuts the file short meanwhile calls
 * fingerprint_file_guard_install() at the start; strings of it are "" then.
 * (Effects.) -ENOENT: never synced; -EIO: cut short while it was read.
 */
int catalog_known_open(const char *cache, struct catalog_known **ret_known, struct error *err);
void catalog_known_close(struct catalog_known *known); /* NULL is fine */

int64_t catalog_known_made_s(const struct catalog_known *known);
/* By name, ascending (strcmp). */
size_t catalog_known_host_count(const struct catalog_known *known);
const struct catalog_known_host *catalog_known_host(const struct catalog_known *known, size_t i);
/* The index, or the count of hosts when there is none of that name. */
size_t catalog_known_host_find(const struct catalog_known *known, const char *name);

/*
 * All hosts that say they have the VM: running ones first, then the one whose
 * manifest is youngest first, then by the hosts' names. The caller releases.
 * None: a count of 0. -EINVAL: damaged; -EIO: the file was cut short; -ENOMEM.
 */
int catalog_known_find(const struct catalog_known *known, const struct uuid *uuid,
                       struct catalog_known_vm **ret_vms, size_t *ret_count, struct error *err);
/*
 * By name or by UUID, as a group of setmov.conf has it: what can be a UUID and
 * is none that is known is taken for a name. A name takes a look at every VM (a
 * fifth of a millisecond for 100,000), and can be that of several.
 */
int catalog_known_find_text(const struct catalog_known *known, const char *name_or_uuid,
                            struct catalog_known_vm **ret_vms, size_t *ret_count,
                            struct error *err);
void catalog_known_vms_free(struct catalog_known_vm *vms, size_t count);

#endif

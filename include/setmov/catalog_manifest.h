/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What an index directory says of itself, for peers that read it from afar: its
 * fingerprints, and which VM has which of the images. One small text file in
 * the index directory, written last and renamed, so that a peer who reads it
 * finds what it names (or finds that it was replaced meanwhile, by length and
 * checksum). Format: docs/catalog-format.md. Pure.
 */
#ifndef SETMOV_CATALOG_MANIFEST_H
#define SETMOV_CATALOG_MANIFEST_H

#include "setmov/base_uuid.h"

#define CATALOG_MANIFEST_NAME "manifest" /* in the index directory */

/* What a parser takes, at most; more is an error. Names: 255 bytes, paths: 4095. */
#define CATALOG_MANIFEST_MAX_BYTES        ((size_t)64 << 20)
#define CATALOG_MANIFEST_MAX_VMS          100000
#define CATALOG_MANIFEST_MAX_DISKS        256 /* of one VM */
#define CATALOG_MANIFEST_MAX_ALL_DISKS    1000000
#define CATALOG_MANIFEST_MAX_FINGERPRINTS 1000000

/* 32 hexadecimal digits: with what the names of an image's fingerprints begin (catalog.h). */
#define CATALOG_IMAGE_ID_BYTES 33

struct catalog_manifest_fingerprint {
    char *name; /* of the file: no slash, not hidden, ends with CATALOG_SUFFIX */
    uint64_t length;
    uint64_t checksum; /* fingerprint_checksum() of the first FINGERPRINT_HEAD_MAX bytes, or all */
};

struct catalog_manifest_disk {
    char *target;                       /* "vda" */
    char *path;                         /* as the domain has it */
    char image[CATALOG_IMAGE_ID_BYTES]; /* "": it is not in the index */
    uint64_t capacity_bytes;            /* virtual size; UNKNOWN_U64 */
};

struct catalog_manifest_vm {
    struct uuid uuid;
    char *name;
    bool active;
    uint64_t memory_bytes; /* most that it may have */
    uint32_t vcpus;
    struct catalog_manifest_disk
        *disks; /* those with a local file or device, in the domain's order */
    size_t disk_count, disk_capacity;
};

struct catalog_manifest {
    char *host;                                        /* config_host's name */
    int64_t made_s;                                    /* seconds since 1970 */
    struct catalog_manifest_fingerprint *fingerprints; /* by name, ascending */
    size_t fingerprint_count, fingerprint_capacity;
    struct catalog_manifest_vm *vms; /* by UUID, ascending */
    size_t vm_count, vm_capacity;
};

/*
 * The text, with a NUL behind it; the caller frees. The order of fingerprints
 * and VMs does not matter. -EINVAL: what the parser would refuse, with the VM or
 * the fingerprint that it is (above a limit, a name twice, no name); -ENOMEM.
 */
int catalog_manifest_encode(const struct catalog_manifest *manifest, char **ret_text,
                            size_t *ret_length, struct error *err);

/*
 * The text is a peer's. `what` begins the message: "WHAT: line 3: ...".
 * -EINVAL: not a manifest, cut, damaged, above a limit, a name twice;
 * -ENOTSUP: another version; -ENOMEM.
 */
int catalog_manifest_parse(struct text text, const char *what,
                           struct catalog_manifest *ret_manifest, struct error *err);
void catalog_manifest_release(struct catalog_manifest *manifest);

const struct catalog_manifest_fingerprint *
catalog_manifest_find(const struct catalog_manifest *manifest, const char *name);

#endif

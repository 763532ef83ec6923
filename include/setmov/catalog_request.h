/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two small text files with a checksum in the last line, so that a half-written
 * one is none (docs/catalog-format.md). Pure.
 *
 * A request: "the VM there should move to that host". The hook that refused a
 * migration leaves it in its host's index directory as UUID.request; `setmov
 * requests` there puts it into the index directory of the host that has the VM,
 * through that one's libvirt pool, and `setmov requests` on that host carries it
 * out, once, if it has not expired.
 *
 * A lease: an image that the hook made for a VM that is on its way here.
 */
#ifndef SETMOV_CATALOG_REQUEST_H
#define SETMOV_CATALOG_REQUEST_H

#include "setmov/base_uuid.h"

#define CATALOG_REQUEST_SUFFIX ".request"
#define CATALOG_LEASE_SUFFIX   ".lease"
#define CATALOG_SMALL_BYTES    65536 /* no request or lease is longer */

struct catalog_request {
    struct uuid vm;
    char *vm_name;                        /* for messages */
    char *holder;                         /* the host that has the VM */
    char *refuser;                        /* the host that refused it */
    char *target;                         /* where it should go */
    int64_t made_s, expires_s;            /* seconds since 1970 */
    uint64_t refuser_bytes, target_bytes; /* that a move there would send; UNKNOWN_U64 */
};

int catalog_request_encode(const struct catalog_request *request, char **ret_text,
                           size_t *ret_length, struct error *err);
/*
 * `what` begins the message. -EINVAL: none, cut or damaged; a name that cannot be
 * a host's; expires before it was made. -ENOTSUP: another version. -ENOMEM.
 */
int catalog_request_parse(struct text text, const char *what, struct catalog_request *ret_request,
                          struct error *err);
void catalog_request_release(struct catalog_request *request);

struct catalog_lease {
    struct uuid vm;
    char *path; /* of the image, absolute */
    uint64_t device, inode;
    int64_t made_s, expires_s;
};

/* -EINVAL: as above; a path that is not absolute, ends with '/' or has "." or ".." in it. */
int catalog_lease_encode(const struct catalog_lease *lease, char **ret_text, size_t *ret_length,
                         struct error *err);
int catalog_lease_parse(struct text text, const char *what, struct catalog_lease *ret_lease,
                        struct error *err);
void catalog_lease_release(struct catalog_lease *lease);

#endif

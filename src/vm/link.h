/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One open libvirt connection. Opening and closing may hang, so both are jobs
 * for workers.h. Effects: libvirt.
 */
#ifndef SETMOV_VM_LINK_H
#define SETMOV_VM_LINK_H

#include "setmov/vm.h"
#include "vm/lifecycle.h"
#include "vm/workers.h"

#include <libvirt/libvirt.h>
#include <stdatomic.h>

/* Shared by the sampler and by the jobs under way; closed with the last reference. */
struct link {
    atomic_uint references;
    virConnectPtr connection;
    int callbacks[LIFECYCLE_CALLBACKS]; /* -1: none */
    bool tells_devices;                 /* events say when devices are plugged */
    char type[32];
    bool local; /* the URI names no other host */
    bool session;
    atomic_uint host_cpus;
};

struct link *link_ref(struct link *link);
void link_unref(struct link *link); /* may block: for worker threads */

/* ---- connect ----------------------------------------------------------------- */

struct connect_job {
    struct job job;
    char *uri; /* NULL: libvirt's default */
    bool read_only;
    struct lifecycle *lifecycle; /* a reference */
    struct link *link;           /* out: a reference, NULL on failure */
    struct error error;          /* out */
};

struct connect_job *connect_job_new(const char *uri, bool read_only, struct lifecycle *lifecycle);

/*
 * Drops the caller's reference in a worker thread: closing talks to the server,
 * which may hang. Without a thread for it the connection is left open.
 */
void link_close(struct link *link, struct workers *workers);

/* Asks for the number of the host's processors. */
void link_read_node(struct link *link);

/* Leaves libvirt's last error in `err` and returns `code`. */
int link_error(struct error *err, int code, const char *what);

#endif

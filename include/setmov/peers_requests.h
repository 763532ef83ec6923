/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests (catalog_request.h) in this host's index directory: sent on to the
 * host that has the VM, or carried out, if that is this one. Effects throughout.
 *
 * What a request says is believed only as far as setmov.conf goes: it can name
 * a VM of this host and a configured host of its trust domain, no more. Moves
 * that were begun are noted below `state` of [setmov], as requests/UUID.done, so
 * that no request moves a VM a second time within `request-expiry` of [hook],
 * nor one that a killed run had begun with.
 */
#ifndef SETMOV_PEERS_REQUESTS_H
#define SETMOV_PEERS_REQUESTS_H

#include "setmov/catalog_request.h"
#include "setmov/config.h"

/* So many files are looked at in one round; what is left comes in the next. */
#define PEERS_REQUESTS_MAX 256

enum peers_request_result {
    PEERS_REQUEST_WAITS,     /* listed only, or it may still be coming in */
    PEERS_REQUEST_FORWARDED, /* it is where the VM is, and no longer here */
    PEERS_REQUEST_MOVED,
    PEERS_REQUEST_FAILED,  /* a move that did not come about; it is not tried again */
    PEERS_REQUEST_KEPT,    /* the host it should go to cannot be reached: later */
    PEERS_REQUEST_DROPPED, /* with the reason */
};

/* What became of one. Strings are the caller's only until the function returns. */
struct peers_request_event {
    const char *file;                      /* its name */
    const struct catalog_request *request; /* NULL: it could not be read */
    enum peers_request_result result;
    const char *text; /* one line; of names and messages from elsewhere */
};

struct peers_requests_options {
    bool list;                      /* nothing is done, but said what waits */
    bool (*stopped)(void *context); /* may be NULL */
    void (*event)(void *context, const struct peers_request_event *event);
    /*
     * Moves a VM of this host, which runs, to a configured host; called in a thread of
     * its own, which is waited for, also when `stopped` says that it is to end.
     * `ret_text` may get some words about it. -EPROTONOSUPPORT: it knows no way to
     * there; then, and where this is NULL, libvirt alone does it, whole disks and all.
     */
    int (*move)(void *context, const struct uuid *vm, const struct config_host *host,
                bool (*stopped)(void *context), void *stopped_context, char *ret_text, size_t size,
                struct error *err);
    void *context;
};

/*
 * Deals with all that is there, one move at a time, and, while a move goes on,
 * forwards what comes in. A peer may take `timeout` of [sync], a move a day:
 * it is told to end then, and failed.
 * Returns 0 whatever came of single requests. -EBUSY: another run is at work;
 * -ECANCELED; errors of this host's own disk and memory.
 */
int peers_requests(const struct config *config, const struct peers_requests_options *options,
                   struct error *err);

/*
 * Removes requests and notes that expired (`setmov gc`), where no run is at work;
 * with `dry_run` it only counts them.
 */
int peers_requests_expire(const struct config *config, bool dry_run, size_t *ret_removed,
                          struct error *err);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Opens and closes libvirt connections. */
#include "vm/link.h"

#include <errno.h>
#include <libvirt/virterror.h>

int link_error(struct error *err, int code, const char *what)
{
    const virError *last = virGetLastError();

    return error_set(err, code, "%s: %s", what,
                     last && last->message ? last->message : "unknown libvirt error");
}

struct link *link_ref(struct link *link)
{
    atomic_fetch_add(&link->references, 1);
    return link;
}

void link_unref(struct link *link)
{
    if (!link || atomic_fetch_sub(&link->references, 1) != 1)
        return;
    if (link->connection) {
        for (size_t i = 0; i < LIFECYCLE_CALLBACKS; i++)
            if (link->callbacks[i] >= 0)
                virConnectDomainEventDeregisterAny(link->connection, link->callbacks[i]);
        virConnectClose(link->connection);
    }
    free(link);
}

/* ---- connect ------------------------------------------------------------------- */

/* "qemu:///system" and "qemu+unix:///session" are here; "qemu+ssh://host/..." is not. */
static void describe_link(struct link *link)
{
    char *uri = virConnectGetURI(link->connection);
    const char *type = virConnectGetType(link->connection);
    const char *authority = uri ? strstr(uri, "://") : NULL;

    if (type)
        string_copy(link->type, sizeof(link->type), type);
    link->local = authority && authority[3] == '/';
    link->session = uri && strstr(uri, ":///session") != NULL;
    free(uri);
}

void link_read_node(struct link *link)
{
    virNodeInfo info;

    if (virNodeGetInfo(link->connection, &info) == 0)
        atomic_store(&link->host_cpus, info.cpus);
}

static void connect_run(struct job *base)
{
    struct connect_job *job = (struct connect_job *)base;
    struct link *link = calloc(1, sizeof(*link));

    if (!link) {
        error_set(&job->error, -ENOMEM, "out of memory");
        return;
    }
    atomic_init(&link->references, 1);
    memset(link->callbacks, 0xff, sizeof(link->callbacks));
    lifecycle_start_event_loop();
    link->connection =
        job->read_only ? virConnectOpenReadOnly(job->uri) : virConnectOpenAuth(job->uri, NULL, 0);
    if (!link->connection) {
        link_error(&job->error, -ENOTCONN, job->uri ? job->uri : "default connection");
        link_unref(link);
        return;
    }
    virConnectSetKeepAlive(link->connection, 5, 3); /* not every driver has it */
    describe_link(link);
    link_read_node(link);
    link->tells_devices = lifecycle_listen(job->lifecycle, link->connection, link->callbacks);
    job->link = link;
}

static void connect_free(struct job *base)
{
    struct connect_job *job = (struct connect_job *)base;

    link_unref(job->link);
    lifecycle_unref(job->lifecycle);
    free(job->uri);
    free(job);
}

struct connect_job *connect_job_new(const char *uri, bool read_only, struct lifecycle *lifecycle)
{
    struct connect_job *job = calloc(1, sizeof(*job));

    if (!job)
        return NULL;
    job->job.run = connect_run;
    job->job.free = connect_free;
    job->read_only = read_only;
    job->uri = uri ? strdup(uri) : NULL;
    if (uri && !job->uri) {
        free(job);
        return NULL;
    }
    job->lifecycle = lifecycle_ref(lifecycle);
    return job;
}

struct close_job {
    struct job job;
    struct link *link;
};

static void close_run(struct job *base)
{
    link_unref(((struct close_job *)base)->link);
}

static void close_free(struct job *base)
{
    free(base);
}

void link_close(struct link *link, struct workers *workers)
{
    struct close_job *job = calloc(1, sizeof(*job));

    if (!job)
        return;
    job->job.run = close_run;
    job->job.free = close_free;
    job->link = link;
    if (workers_submit(workers, &job->job) < 0)
        free(job);
    else
        workers_abandon(workers, &job->job);
}

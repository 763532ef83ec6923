/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What disks a libvirt host has, within a time limit. */
#include "vm/storage_job.h"

#include <errno.h>

/* How long the threads that are done may take to end. */
#define LEAVE_S 1.0

struct asking {
    const char *uri;
    double until_s, timeout_s;
    struct workers *workers;
    struct lifecycle *lifecycle;
};

static const char *name_of(const char *uri)
{
    return uri ? uri : "libvirt's default connection";
}

/* Waits for the job; on failure it is out of the caller's hands. */
static int run_job(const struct asking *asking, struct job *job, struct error *err)
{
    int r = workers_submit(asking->workers, job);

    if (r < 0) {
        job->free(job);
        return error_set(err, r, "%s: no thread to be had", name_of(asking->uri));
    }
    if (workers_wait(asking->workers, job, asking->until_s))
        return 0;
    workers_abandon(asking->workers, job);
    return error_set(err, -ETIMEDOUT, "%s did not answer within %g s", name_of(asking->uri),
                     asking->timeout_s);
}

static int connect_to(const struct asking *asking, struct link **ret_link, struct error *err)
{
    struct connect_job *job = connect_job_new(asking->uri, true, asking->lifecycle);
    struct link *link;
    int r;

    if (!job)
        return error_set(err, -ENOMEM, "out of memory");
    r = run_job(asking, &job->job, err);
    if (r < 0)
        return r;
    link = job->link;
    job->link = NULL;
    if (!link)
        r = error_set(err, -EIO, "%s", job->error.text);
    job->job.free(&job->job);
    if (link && !link->local) {
        link_close(link, asking->workers);
        return error_set(err, -EINVAL, "%s is not this host, and only this host's images are read",
                         name_of(asking->uri));
    }
    *ret_link = link;
    return r;
}

static int ask(const struct asking *asking, struct vm_storage *ret_storage, struct error *err)
{
    struct storage_job *job;
    struct link *link = NULL;
    int r = connect_to(asking, &link, err);

    if (r < 0)
        return r;
    job = storage_job_new(link);
    if (!job) {
        link_close(link, asking->workers);
        return error_set(err, -ENOMEM, "out of memory");
    }
    r = run_job(asking, &job->job, err);
    if (r == 0) {
        r = job->result;
        if (r < 0) {
            error_set(err, r, "%s", job->error.text);
        } else {
            *ret_storage = job->storage;
            job->storage = (struct vm_storage){0};
        }
        job->job.free(&job->job);
    }
    link_close(link, asking->workers);
    return r;
}

int vm_storage_list(const char *uri, double timeout_s, struct vm_storage *ret_storage,
                    struct error *err)
{
    struct asking asking = {
        .uri = uri,
        .until_s = clock_monotonic_s() + timeout_s,
        .timeout_s = timeout_s,
    };
    int r = workers_new(&asking.workers);

    if (r == 0)
        r = lifecycle_new(&asking.lifecycle);
    if (r == 0)
        r = ask(&asking, ret_storage, err);
    else
        error_set(err, r, "out of memory");
    lifecycle_unref(asking.lifecycle);
    workers_free(asking.workers, r == -ETIMEDOUT ? 0 : LEAVE_S);
    return r;
}

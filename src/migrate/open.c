/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A connection that is given up when it takes too long: in a task, whose thread keeps it then. */
#include "migrate/end.h"

#include <errno.h>

/* Its thread's alone once it is abandoned. */
struct opening {
    char *uri;
    struct vm_peer *peer;
};

static int open_peer(void *context, struct error *err)
{
    struct opening *opening = context;

    return vm_peer_open(opening->uri, &opening->peer, err);
}

static void opening_free(void *context)
{
    struct opening *opening = context;

    if (opening == NULL)
        return;
    vm_peer_close(opening->peer);
    free(opening->uri);
    free(opening);
}

int migrate_open(const struct config *config, const char *uri, bool (*stopped)(void *context),
                 void *context, struct vm_peer **ret_peer, struct error *err)
{
    struct opening *opening = calloc(1, sizeof(*opening));
    struct vm_task task = {.run = open_peer, .release = opening_free, .context = opening};
    int rc;

    if (opening == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    opening->uri = strdup(uri);
    if (opening->uri == NULL) {
        opening_free(opening);
        return error_set(err, -ENOMEM, "out of memory");
    }
    rc = vm_tasks_run(&task, 1, 1, (double)config->sync.timeout_s, stopped, context, err);
    if (rc == 0 && task.result < 0)
        rc = error_set(err, task.result, "%s", task.error.text);
    opening = task.context;
    if (rc == 0 && opening != NULL) {
        *ret_peer = opening->peer;
        opening->peer = NULL;
    }
    opening_free(opening);
    return rc;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which files are in use: what libvirt says of its domains, and what their images are made of. */
#include "peers/gc.h"
#include "setmov/image.h"
#include "setmov/vm_move.h"

#include <errno.h>
#include <sys/stat.h>

#define REFRESH_TIMEOUT_S 60.0
/* Of every domain's images the headers are read. */
#define USES_TIMEOUT_S 300.0

/* A visit in a thread: it owns what it was told, and what it brings. */
struct visit {
    char *uri, *pool;
    bool refresh;
    struct gc_uses uses;
};

static void visit_free(void *context)
{
    struct visit *visit = context;

    if (visit == NULL)
        return;
    gc_uses_release(&visit->uses);
    free(visit->uri);
    free(visit->pool);
    free(visit);
}

/* ---- in the thread -------------------------------------------------------------------- */

/* The files of an image; the backing files may lie anywhere. */
static int add_layers(struct visit *visit, const char *path, struct error *err)
{
    const struct image_options options = {.follow_backing_outside = true};
    struct image_layer *layers = NULL;
    size_t count = 0;
    int rc = image_look(path, &options, &layers, &count, err);

    if (rc < 0)
        return error_prefix(err, rc, "what %s is made of cannot be known", path);
    for (size_t i = 0; i < count && rc == 0; i++) {
        const struct gc_use use = {.path = layers[i].path,
                                   .user = i > 0 ? (char *)path : NULL,
                                   .device = layers[i].device,
                                   .inode = layers[i].inode};

        rc = gc_uses_add(&visit->uses, &use);
    }
    image_layers_free(layers, count);
    return rc;
}

static int add_directory(struct visit *visit, const char *path)
{
    CLEANUP(cleanup_free) char *resolved = realpath(path, NULL);
    const struct gc_use use = {.path = resolved, .is_directory = true};

    return resolved != NULL ? gc_uses_add(&visit->uses, &use) : 0;
}

static int add_path(struct visit *visit, const char *path, struct error *err)
{
    struct gc_use use = {.path = (char *)path};
    struct stat status;

    if (path[0] != '/')
        return 0;
    if (stat(path, &status) < 0) {
        if (errno != ENOENT && errno != ENOTDIR)
            return error_set(err, -errno, "%s, which a domain names: %s", path, strerror(errno));
        return gc_uses_add(&visit->uses, &use);
    }
    use.is_directory = S_ISDIR(status.st_mode);
    use.device = status.st_dev;
    use.inode = status.st_ino;
    if (gc_uses_add(&visit->uses, &use) < 0)
        return -ENOMEM;
    if (use.is_directory)
        return add_directory(visit, path);
    return S_ISREG(status.st_mode) || S_ISBLK(status.st_mode) ? add_layers(visit, path, err) : 0;
}

static int visit_run(void *context, struct error *err)
{
    struct visit *visit = context;
    struct vm_lines paths = {NULL, 0, 0};
    struct vm_peer *peer = NULL;
    int rc = vm_peer_open(visit->uri, &peer, err);

    if (rc == 0 && visit->refresh)
        rc = vm_peer_refresh(peer, visit->pool, err);
    else if (rc == 0)
        rc = vm_files_in_use(peer, &paths, err);
    vm_peer_close(peer);
    for (size_t i = 0; i < paths.count && rc == 0; i++)
        rc = add_path(visit, paths.lines[i], err);
    vm_lines_release(&paths);
    return rc == -ENOMEM ? error_set(err, rc, "out of memory") : rc;
}

/* ---- around it --------------------------------------------------------------------------- */

static struct visit *visit_new(const struct config *config, bool refresh)
{
    struct visit *visit = calloc(1, sizeof(*visit));

    if (visit == NULL)
        return NULL;
    visit->uri = strdup(config->setmov.connect);
    visit->pool = strdup(config->setmov.pool);
    visit->refresh = refresh;
    if (visit->uri != NULL && visit->pool != NULL)
        return visit;
    visit_free(visit);
    return NULL;
}

static int pay_visit(const struct config *config, bool refresh, bool (*stopped)(void *context),
                     void *context, struct gc_uses *ret_uses, struct error *err)
{
    struct vm_task task = {.run = visit_run, .release = visit_free};
    struct visit *visit = visit_new(config, refresh);
    int rc;

    if (visit == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    task.context = visit;
    rc = vm_tasks_run(&task, 1, 1, refresh ? REFRESH_TIMEOUT_S : USES_TIMEOUT_S, stopped, context,
                      err);
    if (rc == 0 && task.result < 0)
        rc = error_set(err, task.result, "%s: %s", config->setmov.connect, task.error.text);
    if (rc == 0 && ret_uses != NULL) {
        *ret_uses = visit->uses;
        visit->uses = (struct gc_uses){NULL, 0, 0};
    }
    if (task.context != NULL) /* else it is its thread's */
        visit_free(visit);
    return rc;
}

int gc_uses_read(const struct config *config, bool (*stopped)(void *context), void *context,
                 struct gc_uses *ret_uses, struct error *err)
{
    return pay_visit(config, false, stopped, context, ret_uses, err);
}

int gc_refresh(const struct config *config, bool (*stopped)(void *context), void *context,
               struct error *err)
{
    return pay_visit(config, true, stopped, context, NULL, err);
}

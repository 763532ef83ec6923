/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which files are in use: what libvirt says of its domains, and what their images are made of. */
#include "peers/gc.h"
#include "setmov/image.h"
#include "setmov/vm_move.h"

#include <errno.h>
#include <sys/stat.h>

#define REFRESH_TIMEOUT_S 60.0

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

/* Can the file name others? What is raw cannot, whatever its guest has written to it. */
static bool may_have_layers(const struct vm_file *file)
{
    static const char *const formats[] = {"qcow2", "qcow", "qed", "vmdk"};

    if (file->format == NULL)
        return file->kind != VM_FILE_PLAIN;
    for (size_t i = 0; i < ARRAY_LENGTH(formats); i++) {
        if (strcmp(file->format, formats[i]) == 0)
            return true;
    }
    return false;
}

/* The files of an image; the backing files may lie anywhere. */
static int add_layers(struct visit *visit, const char *path, const char *format, struct error *err)
{
    const struct image_options options = {.format = format, .follow_backing_outside = true};
    struct image_layer *layers = NULL;
    size_t count = 0;
    int rc = image_look(path, &options, &layers, &count, err);

    if (rc == -ENOMEDIUM && format == NULL)
        return 0; /* an empty drive */
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

/* What is missing may lie in a file system that is not mounted: nobody knows what it is made of. */
static int add_missing(struct visit *visit, const struct vm_file *file, struct error *err)
{
    const struct gc_use use = {.path = file->path};

    if ((errno != ENOENT && errno != ENOTDIR) || file->path[0] != '/')
        return error_set(err, -errno, "%s, which a domain names: %s", file->path, strerror(errno));
    if (file->kind == VM_FILE_IMAGE && may_have_layers(file))
        return error_set(err, -errno,
                         "%s, which a domain names, is missing: what it is made of cannot be known",
                         file->path);
    return gc_uses_add(&visit->uses, &use);
}

static int add_file(struct visit *visit, const struct vm_file *file, struct error *err)
{
    CLEANUP(cleanup_free) char *absolute = NULL;
    const char *path = file->path;
    struct gc_use use = {.path = file->path};
    struct stat status;

    /* libvirt, and QEMU with it, is in "/". */
    if (path[0] != '/') {
        if (asprintf(&absolute, "/%s", path) < 0) {
            absolute = NULL;
            return -ENOMEM;
        }
        use.path = absolute;
        path = absolute;
    }
    if (stat(path, &status) < 0)
        return add_missing(visit, file, err);
    use.is_directory = S_ISDIR(status.st_mode);
    use.device = status.st_dev;
    use.inode = status.st_ino;
    if (gc_uses_add(&visit->uses, &use) < 0)
        return -ENOMEM;
    if (use.is_directory)
        return add_directory(visit, path);
    if (!may_have_layers(file) || !(S_ISREG(status.st_mode) || S_ISBLK(status.st_mode)))
        return 0;
    return add_layers(visit, path, file->format, err);
}

static int visit_run(void *context, struct error *err)
{
    struct visit *visit = context;
    struct vm_files files = {NULL, 0, 0};
    struct vm_peer *peer = NULL;
    int rc = vm_peer_open(visit->uri, &peer, err);

    if (rc == 0 && visit->refresh)
        rc = vm_peer_refresh(peer, visit->pool, err);
    else if (rc == 0)
        rc = vm_files_in_use(peer, &files, err);
    vm_peer_close(peer);
    for (size_t i = 0; i < files.count && rc == 0; i++)
        rc = add_file(visit, &files.files[i], err);
    vm_files_release(&files);
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

static int pay_visit(const struct config *config, bool refresh, double timeout_s,
                     bool (*stopped)(void *context), void *context, struct gc_uses *ret_uses,
                     struct error *err)
{
    struct vm_task task = {.run = visit_run, .release = visit_free};
    struct visit *visit = visit_new(config, refresh);
    int rc;

    if (visit == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    task.context = visit;
    rc = vm_tasks_run(&task, 1, 1, timeout_s, stopped, context, err);
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

int gc_uses_read(const struct config *config, double timeout_s, bool (*stopped)(void *context),
                 void *context, struct gc_uses *ret_uses, struct error *err)
{
    return pay_visit(config, false, timeout_s, stopped, context, ret_uses, err);
}

int gc_refresh(const struct config *config, bool (*stopped)(void *context), void *context,
               struct error *err)
{
    return pay_visit(config, true, REFRESH_TIMEOUT_S, stopped, context, NULL, err);
}

/* ---- one file ---------------------------------------------------------------------------- */

static int tell_use(const struct gc_use *use, struct error *err)
{
    if (use == NULL)
        return 0;
    return use->user != NULL
               ? error_set(err, -EBUSY, "%s, which a domain names, is made of it", use->user)
               : error_set(err, -EBUSY, "a domain of this host names it");
}

int peers_gc_check_unused(const struct config *config, const char *path,
                          bool (*stopped)(void *context), void *context, struct error *err)
{
    CLEANUP(cleanup_free) char *resolved = realpath(path, NULL);
    struct gc_uses uses = {NULL, 0, 0};
    struct gc_suspect suspect = {.path = path, .resolved = resolved};
    struct stat status;
    int rc;

    if (resolved == NULL || stat(resolved, &status) < 0)
        return error_set(err, -errno, "%s: %s", path, strerror(errno));
    suspect.device = status.st_dev;
    suspect.inode = status.st_ino;
    rc = gc_uses_read(config, GC_USES_TIMEOUT_S, stopped, context, &uses, err);
    if (rc == 0)
        rc = tell_use(gc_uses_find(&uses, &suspect), err);
    gc_uses_release(&uses);
    return rc;
}

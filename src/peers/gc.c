/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Leases whose time is over, and their images: removed, released or kept. */
#include "peers/gc.h"
#include "peers/internal.h"
#include "setmov/peers_requests.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/file.h>
#include <unistd.h>

/* So many images are held open at a time, and libvirt is asked once for them. */
#define BATCH 256

/* A lease that is over, and its image. */
struct entry {
    char *name; /* of the lease */
    struct catalog_lease lease;
    struct gc_image image;
};

struct gc {
    const struct config *config;
    const struct peers_gc_options *options;
    struct peers_gc_summary *summary;
    char *directory; /* of leases */
    int lock;        /* -1: none */
    char **names;    /* of leases */
    size_t name_count, name_capacity;
    struct entry entries[BATCH];
    size_t count;
    struct error trouble; /* why libvirt could not be asked; "" */
};

static bool is_stopped(const struct gc *gc)
{
    return gc->options->stopped != NULL && gc->options->stopped(gc->options->context);
}

/* ---- saying what became of one ------------------------------------------------------- */

static void report(struct gc *gc, const struct entry *entry, enum peers_gc_result result,
                   const char *format, ...) PRINTF_LIKE(4, 5);

static void report(struct gc *gc, const struct entry *entry, enum peers_gc_result result,
                   const char *format, ...)
{
    struct peers_gc_event event = {.lease = entry->name,
                                   .path = entry->lease.path,
                                   .result = result,
                                   .bytes = result == PEERS_GC_REMOVED ? entry->image.bytes : 0};
    char text[1024];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    text_make_one_line(text);
    event.text = text;
    switch (result) {
    case PEERS_GC_REMOVED:
        gc->summary->images++;
        break;
    case PEERS_GC_RELEASED:
        gc->summary->leases++;
        break;
    case PEERS_GC_KEPT:
        gc->summary->kept++;
        break;
    default:
        gc->summary->failed++;
        break;
    }
    gc->options->event(gc->options->context, &event);
}

/* ---- leases ------------------------------------------------------------------------------ */

static int open_directory(struct gc *gc, struct error *err)
{
    CLEANUP(cleanup_free) char *lock = NULL;

    if (asprintf(&gc->directory, "%s/" GC_DIRECTORY, gc->config->setmov.state) < 0) {
        gc->directory = NULL;
        error_set(err, -ENOMEM, "out of memory");
        return -ENOMEM;
    }
    if (asprintf(&lock, "%s/lock", gc->directory) < 0) {
        lock = NULL;
        error_set(err, -ENOMEM, "out of memory");
        return -ENOMEM;
    }
    if (peers_make_directory(gc->directory, err) < 0)
        return -EIO;
    gc->lock = open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (gc->lock < 0)
        return error_set(err, -errno, "%s cannot be opened: %s", lock, strerror(errno));
    if (flock(gc->lock, LOCK_EX | LOCK_NB) == 0)
        return 0;
    return errno == EWOULDBLOCK
               ? error_set(err, -EBUSY, "another run is at work (%s is locked)", lock)
               : error_set(err, -errno, "%s cannot be locked: %s", lock, strerror(errno));
}

static int compare_names(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

static int take_name(struct gc *gc, const char *name)
{
    size_t length = strlen(name), end = strlen(CATALOG_LEASE_SUFFIX);

    if (name[0] == '.' || length <= end || strcmp(name + length - end, CATALOG_LEASE_SUFFIX) != 0)
        return 0;
    if (array_reserve(&gc->names, &gc->name_capacity, gc->name_count + 1, sizeof(*gc->names)) < 0)
        return -ENOMEM;
    gc->names[gc->name_count] = strdup(name);
    if (gc->names[gc->name_count] == NULL)
        return -ENOMEM;
    gc->name_count++;
    return 0;
}

static int list_leases(struct gc *gc, struct error *err)
{
    DIR *entries = opendir(gc->directory);
    const struct dirent *entry;
    int rc = 0;

    if (entries == NULL)
        return error_set(err, -errno, "%s: %s", gc->directory, strerror(errno));
    while (rc == 0 && (entry = readdir(entries)) != NULL)
        rc = take_name(gc, entry->d_name);
    closedir(entries);
    if (rc < 0)
        return error_set(err, rc, "out of memory");
    if (gc->name_count > 0)
        qsort(gc->names, gc->name_count, sizeof(*gc->names), compare_names);
    return 0;
}

static int read_lease(const struct gc *gc, const char *name, struct catalog_lease *ret_lease,
                      struct error *err)
{
    CLEANUP(file_buffer_release) struct file_buffer buffer = {NULL, 0, 0};
    CLEANUP(cleanup_free) char *path = NULL;
    int rc;

    if (asprintf(&path, "%s/%s", gc->directory, name) < 0) {
        path = NULL;
        return error_set(err, -ENOMEM, "out of memory");
    }
    rc = file_read(AT_FDCWD, path, &buffer);
    if (rc < 0)
        return error_set(err, rc, "%s", strerror(-rc));
    return catalog_lease_parse(text_of(buffer.bytes, buffer.length), "the lease", ret_lease, err);
}

/* True: it is gone (or would be). */
static bool remove_lease(struct gc *gc, const struct entry *entry)
{
    CLEANUP(cleanup_free) char *path = NULL;

    if (gc->options->dry_run)
        return true;
    if (asprintf(&path, "%s/%s", gc->directory, entry->name) < 0) {
        path = NULL;
        return false;
    }
    if (unlink(path) == 0 || errno == ENOENT)
        return true;
    report(gc, entry, PEERS_GC_FAILED, "%s cannot be removed: %s", path, strerror(errno));
    return false;
}

/* ---- images --------------------------------------------------------------------------------- */

static void entry_release(struct entry *entry)
{
    gc_image_close(&entry->image);
    catalog_lease_release(&entry->lease);
    *entry = (struct entry){.name = NULL, .image = {.directory = -1, .fd = -1}};
}

/* Takes the lease into the batch, where it is over and the image can be removed but for its users. */
static void consider(struct gc *gc, char *name)
{
    struct entry *entry = &gc->entries[gc->count];
    struct error why = {""};
    int64_t now_s = time(NULL);
    enum gc_look look = GC_LOOK_KEEP;

    *entry = (struct entry){.name = name, .image = {.directory = -1, .fd = -1}};
    if (read_lease(gc, name, &entry->lease, &why) < 0) {
        report(gc, entry, PEERS_GC_KEPT, "kept: %s", why.text);
    } else if (entry->lease.expires_s > now_s) {
        report(gc, entry, PEERS_GC_KEPT, "kept: its lease expires in %lld s",
               (long long)(entry->lease.expires_s - now_s));
    } else {
        look = gc_image_open(gc->config, &entry->lease, &entry->image, &why);
        if (look == GC_LOOK_KEEP)
            report(gc, entry, PEERS_GC_KEPT, "kept: %s", why.text);
        else if (look == GC_LOOK_GONE && remove_lease(gc, entry))
            report(gc, entry, PEERS_GC_RELEASED, "is not there any more: lease removed");
    }
    if (look == GC_LOOK_OK)
        gc->count++;
    else
        entry_release(entry);
}

static void release(struct gc *gc, const struct entry *entry, const struct gc_use *use)
{
    if (!remove_lease(gc, entry))
        return;
    if (use->user != NULL)
        report(gc, entry, PEERS_GC_RELEASED,
               "kept for good: %s, which a domain names, is made of it; lease removed", use->user);
    else
        report(gc, entry, PEERS_GC_RELEASED, "kept for good: a domain names it; lease removed");
}

static const struct gc_use *find_use(const struct entry *entry, const struct gc_uses *uses)
{
    const struct gc_suspect suspect = {entry->lease.path, entry->image.resolved,
                                       entry->image.device, entry->image.inode};

    return gc_uses_find(uses, &suspect);
}

/* True: nobody uses it, and it is locked. */
static bool lock_unused(struct gc *gc, const struct entry *entry, const struct gc_uses *uses)
{
    const struct gc_use *use = find_use(entry, uses);
    struct error why = {""};

    if (use != NULL)
        release(gc, entry, use);
    else if (gc_image_lock(&entry->image, &why) < 0)
        report(gc, entry, PEERS_GC_KEPT, "kept: %s", why.text);
    else
        return true;
    return false;
}

/* Of one that is locked. */
static void remove_unused(struct gc *gc, const struct entry *entry, const struct gc_uses *uses)
{
    const struct gc_use *use = find_use(entry, uses);
    struct error why = {""};

    if (use != NULL)
        release(gc, entry, use);
    else if (!gc->options->dry_run && gc_image_remove(&entry->image, &why) < 0)
        report(gc, entry, PEERS_GC_FAILED, "cannot be removed: %s", why.text);
    else if (remove_lease(gc, entry))
        report(gc, entry, PEERS_GC_REMOVED, "%s: nobody uses it, and its lease is over",
               gc->options->dry_run ? "would be removed" : "removed");
}

static int ask(struct gc *gc, double timeout_s, struct gc_uses *ret_uses)
{
    if (gc->count == 0)
        return 0;
    return gc_uses_read(gc->config, timeout_s, gc->options->stopped, gc->options->context, ret_uses,
                        &gc->trouble);
}

/* Only those stay in the batch that nobody uses. */
static void lock_batch(struct gc *gc, const struct gc_uses *uses)
{
    size_t count = 0;

    for (size_t i = 0; i < gc->count; i++) {
        if (lock_unused(gc, &gc->entries[i], uses))
            gc->entries[count++] = gc->entries[i];
        else
            entry_release(&gc->entries[i]);
    }
    gc->count = count;
}

/*
 * libvirt may take its time. So it is asked before anything is locked, and again
 * of the few that are: who is not among the users then cannot become one.
 */
static int judge_batch(struct gc *gc, struct error *err)
{
    CLEANUP(gc_uses_release) struct gc_uses uses = {NULL, 0, 0}, again = {NULL, 0, 0};
    int rc = ask(gc, GC_USES_TIMEOUT_S, &uses);

    if (rc == 0) {
        lock_batch(gc, &uses);
        rc = ask(gc, GC_LOCKED_TIMEOUT_S, &again);
    }
    for (size_t i = 0; i < gc->count; i++) {
        if (rc == 0)
            remove_unused(gc, &gc->entries[i], &again);
        else if (rc != -ECANCELED)
            report(gc, &gc->entries[i], PEERS_GC_KEPT, "kept: what is in use cannot be known");
        entry_release(&gc->entries[i]);
    }
    gc->count = 0;
    return rc < 0 ? error_set(err, rc == -ECANCELED ? rc : -EIO, "no image was removed: %s",
                              gc->trouble.text)
                  : 0;
}

static int judge_all(struct gc *gc, struct error *err)
{
    int rc = 0;

    for (size_t i = 0; i < gc->name_count && rc == 0; i++) {
        if (is_stopped(gc))
            return error_set(err, -ECANCELED, "stopped");
        consider(gc, gc->names[i]);
        if (gc->count == BATCH)
            rc = judge_batch(gc, err);
    }
    return rc == 0 ? judge_batch(gc, err) : rc;
}

/* ---- the contract ----------------------------------------------------------------------------- */

static int collect(struct gc *gc, struct error *err)
{
    const struct peers_gc_options *options = gc->options;
    struct error other = {""};
    int rc = open_directory(gc, err), also;

    if (rc == 0)
        rc = list_leases(gc, err);
    if (rc < 0)
        return rc;
    rc = judge_all(gc, err);
    if (rc == -ECANCELED)
        return rc;
    gc->summary->temporary = gc_left_remove(gc->config, options->dry_run);
    also = peers_requests_expire(gc->config, options->dry_run, &gc->summary->requests, &other);
    if (also == 0 && gc->summary->images > 0 && !options->dry_run)
        also = gc_refresh(gc->config, options->stopped, options->context, &other);
    if (rc == 0 && also < 0)
        rc = error_set(err, also, "%s", other.text);
    return rc;
}

int peers_gc(const struct config *config, const struct peers_gc_options *options,
             struct peers_gc_summary *ret_summary, struct error *err)
{
    struct gc *gc = calloc(1, sizeof(*gc));
    int rc;

    *ret_summary = (struct peers_gc_summary){.images = 0};
    if (gc == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    gc->config = config;
    gc->options = options;
    gc->summary = ret_summary;
    gc->lock = -1;
    rc = collect(gc, err);
    for (size_t i = 0; i < gc->name_count; i++)
        free(gc->names[i]);
    free(gc->names);
    free(gc->directory);
    cleanup_close(&gc->lock);
    free(gc);
    return rc;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Leases and records of old images whose time is over: removed with the images, released or kept. */
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

#define FOREVER_S (INT64_C(100) * 365 * 86400) /* nobody means a time that is so far away */

/* A lease that is over, or a record of an old image, and the image. */
struct entry {
    char *name; /* of the lease */
    bool over_quota;
    struct catalog_lease lease;
    struct gc_image image;
};

/* The two directories of such files. */
struct kind {
    const char *directory; /* below `state` */
    const char *noun;
    bool is_old;
};
static const struct kind leases = {GC_DIRECTORY, "lease", false};
static const struct kind old_images = {PEERS_GC_OLD_DIRECTORY, "record", true};

struct gc {
    const struct config *config;
    const struct peers_gc_options *options;
    struct peers_gc_summary *summary;
    int lock; /* -1: none */
    /* What is at work. */
    const struct kind *kind;
    char *directory;
    char **names; /* of leases */
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
                                   .is_old = gc->kind->is_old,
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
        *(gc->kind->is_old ? &gc->summary->old_images : &gc->summary->images) += 1;
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

static int set_directory(struct gc *gc, const struct kind *kind, struct error *err)
{
    free(gc->directory);
    gc->kind = kind;
    if (asprintf(&gc->directory, "%s/%s", gc->config->setmov.state, kind->directory) >= 0)
        return 0;
    gc->directory = NULL;
    error_set(err, -ENOMEM, "out of memory");
    return -ENOMEM;
}

static int take_lock(struct gc *gc, struct error *err)
{
    CLEANUP(cleanup_free) char *lock = NULL;

    if (asprintf(&lock, "%s/lock", gc->directory) < 0) {
        lock = NULL;
        return error_set(err, -ENOMEM, "out of memory");
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

    if (entries == NULL && errno == ENOENT)
        return 0;
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
        error_set(err, -ENOMEM, "out of memory");
        return -ENOMEM;
    }
    rc = file_read(AT_FDCWD, path, &buffer);
    if (rc < 0) {
        error_set(err, rc, "%s", strerror(-rc));
        return rc;
    }
    return catalog_lease_parse(text_of(buffer.bytes, buffer.length),
                               gc->kind->is_old ? "the record" : "the lease", ret_lease, err);
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

static void keep_young(struct gc *gc, const struct entry *entry, int64_t left_s)
{
    if (!gc->kind->is_old)
        report(gc, entry, PEERS_GC_KEPT, "kept: its lease expires in %lld s", (long long)left_s);
    else if (left_s > FOREVER_S)
        report(gc, entry, PEERS_GC_KEPT, "kept: an old image, without an expiry");
    else
        report(gc, entry, PEERS_GC_KEPT, "kept: an old image, which expires in %lld s",
               (long long)left_s);
}

/*
 * Takes the lease into the batch, where it is over (or what it lists is too much)
 * and the image can be removed but for its users.
 */
static void consider(struct gc *gc, char *name, bool over_quota)
{
    struct entry *entry = &gc->entries[gc->count];
    struct error why = {""};
    int64_t now_s = time(NULL);
    enum gc_look look = GC_LOOK_KEEP;

    *entry = (struct entry){
        .name = name, .over_quota = over_quota, .image = {.directory = -1, .fd = -1}};
    if (read_lease(gc, name, &entry->lease, &why) < 0) {
        report(gc, entry, PEERS_GC_KEPT, "kept: %s", why.text);
    } else if (!over_quota && entry->lease.expires_s > now_s) {
        keep_young(gc, entry, entry->lease.expires_s - now_s);
    } else {
        look = gc_image_open(gc->config, &entry->lease, gc->kind->is_old, &entry->image, &why);
        if (look == GC_LOOK_KEEP)
            report(gc, entry, PEERS_GC_KEPT, "kept: %s", why.text);
        else if (look == GC_LOOK_GONE && remove_lease(gc, entry))
            report(gc, entry, PEERS_GC_RELEASED, "is not there any more: %s removed",
                   gc->kind->noun);
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
               "kept for good: %s, which a domain names, is made of it; %s removed", use->user,
               gc->kind->noun);
    else
        report(gc, entry, PEERS_GC_RELEASED, "kept for good: a domain names it; %s removed",
               gc->kind->noun);
}

static const struct gc_use *find_use(const struct entry *entry, const struct gc_uses *uses)
{
    const struct gc_suspect suspect = {entry->lease.path, entry->image.resolved,
                                       entry->image.device, entry->image.inode};

    return gc_uses_find(uses, &suspect);
}

/* True: nobody uses it, and it is locked (or would be). */
static bool lock_unused(struct gc *gc, const struct entry *entry, const struct gc_uses *uses)
{
    const struct gc_use *use = find_use(entry, uses);
    struct error why = {""};

    if (use != NULL)
        release(gc, entry, use);
    else if (gc_image_lock(&entry->image, gc->options->dry_run, &why) < 0)
        report(gc, entry, PEERS_GC_KEPT, "kept: %s", why.text);
    else
        return true;
    return false;
}

/* All that happened since it was read took time: somebody may wait for the image anew. */
static bool is_still_over(struct gc *gc, const struct entry *entry)
{
    CLEANUP(catalog_lease_release) struct catalog_lease lease = {.path = NULL};
    struct error why = {""};

    if (read_lease(gc, entry->name, &lease, &why) < 0) {
        report(gc, entry, PEERS_GC_KEPT, "kept: its %s is not what it was: %s", gc->kind->noun,
               why.text);
        return false;
    }
    if (lease.device == entry->lease.device && lease.inode == entry->lease.inode &&
        lease.expires_s == entry->lease.expires_s && strcmp(lease.path, entry->lease.path) == 0)
        return true;
    report(gc, entry, PEERS_GC_KEPT, "kept: its %s was renewed", gc->kind->noun);
    return false;
}

/* Of one that is locked. */
static void remove_unused(struct gc *gc, const struct entry *entry, const struct gc_uses *uses)
{
    const struct gc_use *use = find_use(entry, uses);
    struct error why = {""};

    if (use != NULL)
        release(gc, entry, use);
    else if (!is_still_over(gc, entry))
        return;
    else if (!gc->options->dry_run && gc_image_remove(&entry->image, &why) < 0)
        report(gc, entry, PEERS_GC_FAILED, "cannot be removed: %s", why.text);
    else if (remove_lease(gc, entry))
        report(gc, entry, PEERS_GC_REMOVED, "%s: nobody uses it, and %s",
               gc->options->dry_run ? "would be removed" : "removed",
               entry->over_quota  ? "old images take more than old-images-quota"
               : gc->kind->is_old ? "the time of an old image is over"
                                  : "its lease is over");
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

/* Which of the old images are too much. The caller frees. */
static int judge_quota(struct gc *gc, bool **ret_over, struct error *err)
{
    CLEANUP(cleanup_free) struct gc_old *images = calloc(gc->name_count + 1, sizeof(*images));
    bool *over = calloc(gc->name_count + 1, sizeof(*over));

    if (images == NULL || over == NULL) {
        free(over);
        error_set(err, -ENOMEM, "out of memory");
        return -ENOMEM;
    }
    for (size_t i = 0; i < gc->name_count && gc->kind->is_old; i++) {
        CLEANUP(catalog_lease_release) struct catalog_lease lease = {.path = NULL};
        struct gc_image image = {.directory = -1, .fd = -1};
        struct error why = {""};

        if (read_lease(gc, gc->names[i], &lease, &why) == 0 &&
            gc_image_open(gc->config, &lease, true, &image, &why) == GC_LOOK_OK)
            images[i] = (struct gc_old){.device = image.device,
                                        .inode = image.inode,
                                        .bytes = image.bytes,
                                        .made_s = lease.made_s,
                                        .expires_s = lease.expires_s};
        gc_image_close(&image);
    }
    gc_old_over_quota(images, gc->name_count, time(NULL),
                      gc->config->migrate.old_images_quota_bytes, over);
    *ret_over = over;
    return 0;
}

static int judge_all(struct gc *gc, struct error *err)
{
    CLEANUP(cleanup_free) bool *over = NULL;
    int rc = judge_quota(gc, &over, err);

    for (size_t i = 0; i < gc->name_count && rc == 0; i++) {
        if (is_stopped(gc))
            return error_set(err, -ECANCELED, "stopped");
        consider(gc, gc->names[i], over[i]);
        if (gc->count == BATCH)
            rc = judge_batch(gc, err);
    }
    return rc == 0 ? judge_batch(gc, err) : rc;
}

static void forget_batch(struct gc *gc)
{
    for (size_t i = 0; i < gc->count; i++)
        entry_release(&gc->entries[i]);
    gc->count = 0;
}

static void forget_names(struct gc *gc)
{
    for (size_t i = 0; i < gc->name_count; i++)
        free(gc->names[i]);
    gc->name_count = 0;
}

static int judge_kind(struct gc *gc, const struct kind *kind, struct error *err)
{
    int rc = set_directory(gc, kind, err);

    if (rc == 0)
        rc = list_leases(gc, err);
    if (rc == 0)
        rc = judge_all(gc, err);
    forget_batch(gc);
    forget_names(gc);
    return rc;
}

/* ---- the contract ----------------------------------------------------------------------------- */

/* The first failure counts. */
static void keep_first(int *rc, struct error *err, int also, const struct error *other)
{
    if (*rc == 0 && also < 0)
        *rc = error_set(err, also, "%s", other->text);
}

static int collect(struct gc *gc, struct error *err)
{
    const struct peers_gc_options *options = gc->options;
    struct peers_gc_summary *summary = gc->summary;
    struct error other = {""};
    int rc = set_directory(gc, &leases, err);

    if (rc == 0)
        rc = take_lock(gc, err);
    if (rc < 0)
        return rc;
    /* What needs no libvirt goes whatever libvirt says. */
    summary->incoming = gc_incoming_remove(gc->config, options->dry_run);
    summary->temporary = gc_left_remove(gc->config, options->dry_run);
    rc = judge_kind(gc, &leases, err);
    if (rc != -ECANCELED)
        keep_first(&rc, err, judge_kind(gc, &old_images, &other), &other);
    if (rc == -ECANCELED)
        return rc;
    keep_first(&rc, err,
               peers_requests_expire(gc->config, options->dry_run, &summary->requests, &other),
               &other);
    if (summary->images + summary->old_images > 0 && !options->dry_run)
        keep_first(&rc, err, gc_refresh(gc->config, options->stopped, options->context, &other),
                   &other);
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
    forget_names(gc);
    free(gc->names);
    free(gc->directory);
    cleanup_close(&gc->lock);
    free(gc);
    return rc;
}

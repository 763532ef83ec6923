/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `setmov choose VM`: the domain, its disks, and their fingerprints. */
#include "choose_vm.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static int out_of_memory(struct error *err)
{
    return error_set(err, -ENOMEM, "out of memory");
}

/* ---- what the operand is ------------------------------------------------------------------ */

static int add_disk(struct choose_vm *vm, const char *target, const char *path, const char *format)
{
    struct choose_vm_disk disk = {0};

    if (array_reserve(&vm->disks, &vm->disk_capacity, vm->disk_count + 1, sizeof(disk)) < 0)
        return -ENOMEM;
    disk.target = strdup(target);
    disk.path = strdup(path);
    disk.format = format != NULL ? strdup(format) : NULL;
    vm->disks[vm->disk_count++] = disk;
    if (disk.target == NULL || disk.path == NULL || (format != NULL && disk.format == NULL))
        return -ENOMEM;
    return 0;
}

/* For all that is asked of this host's own libvirt. */
#define LOOK_TIMEOUT_S 60.0

/* A visit to this host's libvirt, in a thread that may be given up: what it is told, what it brings. */
struct visit {
    char *uri, *pool, *operand;
    struct choose_vm_shared *shared;
};

static void visit_free(void *context)
{
    struct visit *visit = context;

    if (visit == NULL)
        return;
    free(visit->uri);
    free(visit->pool);
    free(visit->operand);
    choose_vm_shared_drop(visit->shared);
    free(visit);
}

static struct visit *visit_new(const struct choose_vm *vm)
{
    struct visit *visit = calloc(1, sizeof(*visit));

    if (visit == NULL)
        return NULL;
    visit->uri = strdup(vm->config->setmov.connect);
    visit->pool = strdup(vm->config->setmov.pool);
    visit->operand = strdup(vm->operand);
    visit->shared = calloc(1, sizeof(*visit->shared));
    if (visit->shared != NULL)
        visit->shared->references = 1;
    if (visit->uri != NULL && visit->pool != NULL && visit->operand != NULL &&
        visit->shared != NULL)
        return visit;
    visit_free(visit);
    return NULL;
}

static int visit_run(void *context, struct error *err)
{
    struct visit *visit = context;
    struct choose_vm_shared *shared = visit->shared;
    struct vm_peer_facts facts = {.uuid = ""};
    struct vm_peer *peer = NULL;
    int rc = vm_peer_open(visit->uri, &peer, err);

    if (rc < 0)
        return rc;
    rc = vm_move_read(peer, visit->operand, &shared->move, err);
    shared->is_vm = rc == 0;
    /* Without it a host that is this one under another name is not known for it; no more. */
    if (rc == 0 && vm_peer_facts(peer, visit->pool, &facts, NULL) == 0)
        string_copy(shared->own_uuid, sizeof(shared->own_uuid), facts.uuid);
    vm_peer_close(peer);
    return rc;
}

/* -ENOENT where it is none. */
static int find_domain(struct choose_vm *vm, struct error *err)
{
    struct visit *visit = visit_new(vm);
    struct vm_task task = {.run = visit_run, .release = visit_free, .context = visit};
    int rc;

    if (visit == NULL)
        return out_of_memory(err);
    rc = vm_tasks_run(&task, 1, 1, LOOK_TIMEOUT_S, blocks_stopped, NULL, err);
    if (rc == 0 && task.result == -ETIMEDOUT)
        rc = error_set(err, -ETIMEDOUT, "%s: %s", vm->config->setmov.connect, task.error.text);
    else if (rc == 0 && task.result < 0)
        rc = error_set(err, task.result, "%s", task.error.text);
    if (rc == 0) {
        choose_vm_shared_drop(vm->shared);
        vm->shared = visit->shared;
        visit->shared = NULL;
    }
    visit_free(task.context); /* NULL where it is its thread's */
    for (size_t i = 0; rc == 0 && i < vm->shared->move.disk_count; i++) {
        const struct vm_move_disk *disk = &vm->shared->move.disks[i];

        if (add_disk(vm, disk->target, disk->path, disk->format) < 0)
            rc = out_of_memory(err);
    }
    return rc;
}

int choose_vm_find(struct choose_vm *vm, struct error *err)
{
    bool is_path = strchr(vm->operand, '/') != NULL;
    int rc;

    vm->shared = calloc(1, sizeof(*vm->shared));
    if (vm->shared == NULL)
        return out_of_memory(err);
    vm->shared->references = 1;
    if (!is_path) {
        rc = find_domain(vm, err);
        if (rc == 0 || rc == -ENOMEM || rc == -ECANCELED)
            return rc;
        if (access(vm->operand, F_OK) != 0)
            return rc == -ENOENT
                       ? error_set(err, rc, "%s has no domain '%s', and there is no such file",
                                   vm->config->setmov.connect, vm->operand)
                       : rc;
        /* A file, then; that libvirt could not be asked does not matter for it. */
        *err = (struct error){""};
    }
    return add_disk(vm, "", vm->operand, vm->settings->image.format) < 0 ? out_of_memory(err) : 0;
}

/* ---- fingerprints ------------------------------------------------------------------------------ */

struct image_options choose_vm_image_options(const struct choose_vm *vm,
                                             const struct choose_vm_disk *disk)
{
    struct image_options options = vm->settings->image;

    if (vm->shared->is_vm) {
        options.format = disk->format;
        options.follow_backing_outside = true;
    }
    return options;
}

static struct blocks_settings settings_of(const struct choose_vm *vm,
                                          const struct choose_vm_disk *disk)
{
    struct blocks_settings settings = *vm->settings;

    settings.image = choose_vm_image_options(vm, disk);
    return settings;
}

static bool same_files(const struct fingerprint_identity *then, const struct image_layer *now,
                       size_t count)
{
    if (then->layer_count != count)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(then->layers[i].path, now[i].path) != 0 ||
            strcmp(then->layers[i].format, now[i].format) != 0)
            return false;
    }
    return true;
}

/* "3 h ago"; whole units. */
static void age_in_words(int64_t made_s, char *text, size_t size)
{
    const int64_t minute = 60, hour = 60 * minute, day = 24 * hour;
    int64_t age = (int64_t)time(NULL) - made_s;

    if (age < minute)
        string_format(text, size, "less than a minute ago");
    else if (age < 2 * hour)
        string_format(text, size, "%lld min ago", (long long)(age / minute));
    else if (age < 2 * day)
        string_format(text, size, "%lld h ago", (long long)(age / hour));
    else
        string_format(text, size, "%lld days ago", (long long)(age / day));
}

/*
 * Does the fingerprint count for the image as it is now? Of a disk that a VM
 * writes to none is ever true; the last one counts then, and a note says so.
 */
static int judge(struct choose_vm *vm, const struct choose_vm_disk *disk,
                 const struct fingerprint_file *file, const struct image_layer *layers,
                 size_t count, bool *ret_counts)
{
    const struct fingerprint_identity *identity = &file->view.identity;
    char age[64];

    *ret_counts = catalog_identity_holds(identity, layers, count);
    if (*ret_counts || !identity->provisional || !vm->shared->move.active ||
        !same_files(identity, layers, count))
        return 0;
    *ret_counts = true;
    age_in_words(identity->made_s, age, sizeof(age));
    return vm_lines_add(&vm->notes,
                        "disk %s was indexed %s while the VM was running: figures are of then",
                        disk->target, age);
}

/* From this host's index; ret_file stays NULL where it has none that counts. */
static int open_indexed(struct choose_vm *vm, const struct choose_vm_disk *disk,
                        const struct blocks_settings *settings, struct fingerprint_file **ret_file,
                        struct error *err)
{
    char hash[CATALOG_HASH_BYTES], name[CATALOG_NAME_BYTES];
    struct catalog_kind kind = choose_vm_kind(vm);
    CLEANUP(cleanup_free) char *path = NULL;
    struct fingerprint_file *file = NULL;
    struct image_layer *layers = NULL;
    size_t count = 0;
    bool counts = false;
    int rc = image_look(disk->path, &settings->image, &layers, &count, err);

    if (rc < 0)
        return rc;
    catalog_hash(layers[0].path, hash);
    catalog_name_make(hash, &kind, name);
    if (asprintf(&path, "%s/%s", vm->config->setmov.index, name) < 0) {
        path = NULL;
        rc = out_of_memory(err);
    } else if (fingerprint_file_open(path, FINGERPRINT_PART_DIGESTS, false, &file, NULL) == 0) {
        rc = judge(vm, disk, file, layers, count, &counts);
    }
    image_layers_free(layers, count);
    if (rc == 0 && counts)
        *ret_file = file;
    else
        fingerprint_file_close(file);
    return rc;
}

static int fingerprint_of(struct choose_vm *vm, struct choose_vm_disk *disk, struct error *err)
{
    struct blocks_settings settings = settings_of(vm, disk);
    struct fingerprint_file *file = NULL;
    int rc = 0;

    /* An image that is given as such may be a fingerprint; a disk never is, whatever is in it. */
    if (!vm->shared->is_vm && blocks_is_fingerprint(disk->path, &settings)) {
        rc = blocks_adopt((const char *const *)&disk->path, 1, vm->settings, err);
        if (rc == 0)
            rc = blocks_open(disk->path, vm->settings, FINGERPRINT_PART_DIGESTS, &file, err);
        disk->fingerprint = file;
        disk->is_fingerprint = true;
        return rc;
    }
    rc = open_indexed(vm, disk, &settings, &file, err);
    if (rc == 0 && file == NULL) {
        rc = blocks_read(disk->path, &settings, NULL, &file, err);
        if (rc == 0 && file->view.identity.provisional)
            rc = vm_lines_add(&vm->notes, "%s " BLOCKS_PROVISIONAL ", just now", disk->path);
    }
    disk->fingerprint = file;
    return rc;
}

int choose_vm_fingerprints(struct choose_vm *vm, struct error *err)
{
    for (size_t i = 0; i < vm->disk_count; i++) {
        struct choose_vm_disk *disk = &vm->disks[i];
        int rc = fingerprint_of(vm, disk, err);
        const struct fingerprint_totals *totals;
        uint64_t space;

        if (rc == -ENOMEM)
            return out_of_memory(err);
        if (rc < 0 || disk->fingerprint == NULL)
            return *disk->target != '\0' ? error_prefix(err, rc, "disk %s", disk->target) : rc;
        if (blocks_stopped(NULL))
            return -ECANCELED;
        totals = &disk->fingerprint->view.totals;
        space = (totals->blocks - totals->zero) * disk->fingerprint->view.block_size;
        if (__builtin_add_overflow(vm->space_bytes, space, &vm->space_bytes))
            vm->space_bytes = UINT64_MAX;
        vm->image_bytes += choose_image_bytes(&disk->fingerprint->view);
    }
    return 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `setmov choose VM`: what all candidates hold of the VM's disks, out of the
 * merged index that `setmov sync` keeps: one query a disk instead of every
 * fingerprint of every host. It counts for a host only as long as the host's
 * directory is as it was when the index was made.
 */
#include "choose_vm.h"
#include "setmov/catalog_merged_file.h"
#include "setmov/peers.h"

#include <errno.h>

static void cleanup_merged(struct catalog_merged_file **file)
{
    catalog_merged_file_close(*file);
}

/* NULL: there is none, or none that can be used, which is noted. */
static int open_merged(struct choose_vm *vm, const struct catalog_kind *kind,
                       struct catalog_merged_file **ret_file)
{
    CLEANUP(cleanup_merged) struct catalog_merged_file *file = NULL;
    struct error why = {""};
    int rc = catalog_merged_file_map_kind(vm->config->sync.cache, kind, &file, &why);

    if (rc == 0)
        rc = catalog_merged_file_verify(file, &why);
    if (rc == 0) {
        *ret_file = file;
        file = NULL;
    }
    if (rc == 0 || rc == -ENOENT || rc == -ENOMEM)
        return rc == -ENOMEM ? rc : 0;
    return vm_lines_add(&vm->notes, "each host's fingerprints were read by themselves: %s",
                        why.text);
}

/* ---- of whom it counts -------------------------------------------------------------- */

/* Is all that the host's directory holds of that kind in the row? */
static bool is_true(const struct choose_vm *vm, const struct choose_vm_host *host,
                    const struct catalog_merged_file *file, size_t row,
                    const struct catalog_kind *kind)
{
    CLEANUP(cleanup_free) char *directory = NULL;

    if (!host->is_known || row >= catalog_merged_file_host_count(file) ||
        catalog_merged_file_state(file, row).problems) /* what they are is found there */
        return false;
    directory = peers_directory(vm->config, host->config->name);
    return directory != NULL && catalog_merged_file_is_current(file, row, directory, kind);
}

static int take_host(struct choose_vm *vm, struct choose_vm_host *host,
                     const struct catalog_merged_state *state)
{
    host->is_merged = true;
    if (state->images == 0 && state->other_kinds && vm->disk_count > 0)
        return choose_vm_other_kinds(vm, host);
    host->figures = calloc(vm->disk_count + 1, sizeof(*host->figures));
    return host->figures != NULL ? 0 : -ENOMEM;
}

/* The rows, and room for the figures of those hosts of which they are true. */
static int take_hosts(struct choose_vm *vm, const struct catalog_merged_file *file,
                      const struct catalog_kind *kind, size_t *rows)
{
    CLEANUP(cleanup_free) const char **names = calloc(vm->host_count + 1, sizeof(*names));
    int rc = names != NULL ? 0 : -ENOMEM;

    for (size_t i = 0; i < vm->host_count && rc == 0; i++)
        names[i] = vm->hosts[i].config->name;
    if (rc == 0)
        rc = catalog_merged_file_find(file, names, vm->host_count, rows);
    for (size_t i = 0; i < vm->host_count && rc == 0; i++) {
        struct choose_vm_host *host = &vm->hosts[i];

        if (is_true(vm, host, file, rows[i], kind)) {
            const struct catalog_merged_state state = catalog_merged_file_state(file, rows[i]);

            rc = take_host(vm, host, &state);
        }
    }
    return rc;
}

/* ---- the figures -------------------------------------------------------------------- */

static int query(struct choose_vm *vm, const struct catalog_merged_file *file, const size_t *rows,
                 struct error *err)
{
    CLEANUP(cleanup_free)
    struct similarity_estimate *all =
        calloc(catalog_merged_file_host_count(file) + 1, sizeof(*all));

    if (all == NULL)
        return -ENOMEM;
    for (size_t d = 0; d < vm->disk_count; d++) {
        int rc = catalog_merged_file_query(file, &vm->disks[d].fingerprint->view, all, err);

        if (rc < 0)
            return rc;
        for (size_t i = 0; i < vm->host_count; i++) {
            if (vm->hosts[i].figures != NULL)
                vm->hosts[i].figures[d] = all[rows[i]];
        }
        if (blocks_stopped(NULL))
            return -ECANCELED;
    }
    return 0;
}

/* As if there were no merged index. */
static int forget(struct choose_vm *vm, const struct error *why)
{
    for (size_t i = 0; i < vm->host_count; i++) {
        free(vm->hosts[i].figures);
        vm->hosts[i].figures = NULL;
        vm->hosts[i].is_merged = false;
    }
    return vm_lines_add(&vm->notes, "each host's fingerprints were read by themselves: %s",
                        why->text);
}

int choose_vm_merged(struct choose_vm *vm, struct error *err)
{
    const struct catalog_kind kind = choose_vm_kind(vm);
    CLEANUP(cleanup_merged) struct catalog_merged_file *file = NULL;
    CLEANUP(cleanup_free) size_t *rows = calloc(vm->host_count + 1, sizeof(*rows));
    struct error why = {""};
    int rc = rows != NULL ? open_merged(vm, &kind, &file) : -ENOMEM;

    if (rc == 0 && file != NULL)
        rc = take_hosts(vm, file, &kind, rows);
    if (rc == 0 && file != NULL) {
        rc = query(vm, file, rows, &why);
        if (rc == -ECANCELED)
            return rc;
        if (rc < 0 && rc != -ENOMEM)
            rc = forget(vm, &why);
    }
    return rc < 0 ? error_set(err, -ENOMEM, "out of memory") : 0;
}

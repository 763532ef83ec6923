/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzz target: the file of known hosts, as it comes and with the checksum that
 * it should have. Whatever is accepted answers for each of its VMs, by UUID and
 * by name, with strings that end and hosts that there are, or says that it is
 * damaged.
 */

#include "catalog/known.h"
#include "sealed.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MOST_ASKED 64 /* VMs: each question may take a look at all */

static void check_answer(const struct catalog_known *known, int rc, struct catalog_known_vm *vms,
                         size_t count, const struct error *err)
{
    uint64_t sum = 0;

    if (rc < 0) {
        must(vms == NULL && strncmp(err->text, "k is damaged: ", 14) == 0);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        must(vms[i].host < catalog_known_host_count(known));
        must(i == 0 || vms[i - 1].active || !vms[i].active);
        must(vms[i].disk_count <= CATALOG_MANIFEST_MAX_DISKS);
        sum += strlen(vms[i].name);
        for (size_t j = 0; j < vms[i].disk_count; j++)
            sum += strlen(vms[i].disks[j].target) + strlen(vms[i].disks[j].path) +
                   strlen(vms[i].disks[j].image);
    }
    must(sum < UINT64_MAX);
    catalog_known_vms_free(vms, count);
}

static void ask(const struct catalog_known *known, const uint8_t *line)
{
    uint32_t name = get_u32(line + KNOWN_VM_NAME);
    struct catalog_known_vm *vms = NULL;
    struct error err = {""};
    struct uuid uuid;
    size_t count = 0;
    int rc;

    memcpy(uuid.bytes, line + KNOWN_VM_UUID, UUID_BYTES);
    rc = catalog_known_find(known, &uuid, &vms, &count, &err);
    must(rc < 0 || count <= catalog_known_host_count(known));
    check_answer(known, rc, vms, count, &err);
    if (name >= known->strings_length)
        return;
    vms = NULL;
    rc = catalog_known_find_text(known, (const char *)known->strings + name, &vms, &count, &err);
    must(rc < 0 || count > 0);
    check_answer(known, rc, vms, count, &err);
}

static void try_file(const uint8_t *bytes, size_t size)
{
    struct catalog_known *known = NULL;
    struct error err = {""};

    if (catalog_known_decode(bytes, size, "k", &known, &err) < 0) {
        must(known == NULL && err.text[0] == 'k');
        return;
    }
    for (size_t i = 0; i < catalog_known_host_count(known); i++) {
        const struct catalog_known_host *host = catalog_known_host(known, i);

        must(catalog_known_host_find(known, host->name) == i);
        must(strlen(host->directory) < size && host->read_s >= 0 && host->made_s >= 0);
        must(host->problem == NULL || strlen(host->problem) < size);
    }
    for (size_t i = 0; i < known->vm_count && i < MOST_ASKED; i++)
        ask(known, known->vms + i * KNOWN_VM_BYTES);
    catalog_known_close(known);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *bytes = calloc(1, size > 0 ? size : 1);

    if (bytes == NULL)
        return 0;
    if (size > 0)
        memcpy(bytes, data, size);
    try_file(bytes, size);
    if (size >= KNOWN_HEADER_BYTES) {
        put_u64(bytes + KNOWN_AT_CHECKSUM, known_checksum(bytes, size));
        try_file(bytes, size);
    }
    free(bytes);
    return 0;
}

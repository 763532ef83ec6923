/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzz target: manifests, as they come and with the checksum that they should
 * have. What is refused says why; what is taken keeps what the header promises,
 * is the same once more when it is written and read, and can be known.
 */

#include "sealed.h"
#include "setmov/catalog_known.h"
#include "setmov/catalog_manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_vm(const struct catalog_manifest *manifest, size_t index)
{
    const struct catalog_manifest_vm *vm = &manifest->vms[index];

    must(vm->name[0] != '\0' && vm->disk_count <= CATALOG_MANIFEST_MAX_DISKS);
    must(index == 0 || memcmp(&vm[-1].uuid, &vm->uuid, sizeof(vm->uuid)) < 0);
    for (size_t i = 0; i < vm->disk_count; i++) {
        size_t length = strlen(vm->disks[i].image);

        must(vm->disks[i].target[0] != '\0' && vm->disks[i].path[0] != '\0');
        must(length == 0 || length == CATALOG_IMAGE_ID_BYTES - 1);
    }
}

static void check(const struct catalog_manifest *manifest)
{
    must(strchr(manifest->host, '/') == NULL && manifest->host[0] != '.');
    must(manifest->made_s >= 0);
    for (size_t i = 0; i < manifest->fingerprint_count; i++) {
        const struct catalog_manifest_fingerprint *fingerprint = &manifest->fingerprints[i];

        must(strchr(fingerprint->name, '/') == NULL && fingerprint->name[0] != '.');
        must(catalog_manifest_find(manifest, fingerprint->name) == fingerprint);
    }
    for (size_t i = 0; i < manifest->vm_count; i++)
        check_vm(manifest, i);
}

/* Written, read and written: both texts are equal. */
static void check_again(const struct catalog_manifest *manifest)
{
    struct catalog_manifest again;
    char *text, *text_again;
    size_t length, length_again;

    must(catalog_manifest_encode(manifest, &text, &length, NULL) == 0);
    must(catalog_manifest_parse(text_of(text, length), "m", &again, NULL) == 0);
    must(catalog_manifest_encode(&again, &text_again, &length_again, NULL) == 0);
    must(length == length_again && memcmp(text, text_again, length) == 0);
    catalog_manifest_release(&again);
    free(text_again);
    free(text);
}

static void check_known(const struct catalog_manifest *manifest)
{
    const struct catalog_known_source source = {
        .host = {.name = manifest->host, .directory = "d", .made_s = manifest->made_s},
        .manifest = manifest};
    struct catalog_known *known;
    uint8_t *bytes;
    size_t length;

    must(catalog_known_encode(&source, 1, 1, &bytes, &length, NULL) == 0);
    must(catalog_known_decode(bytes, length, "k", &known, NULL) == 0);
    for (size_t i = 0; i < manifest->vm_count; i++) {
        struct catalog_known_vm *vms;
        size_t count;

        must(catalog_known_find(known, &manifest->vms[i].uuid, &vms, &count, NULL) == 0);
        must(count == 1 && strcmp(vms[0].name, manifest->vms[i].name) == 0);
        must(vms[0].disk_count == manifest->vms[i].disk_count);
        catalog_known_vms_free(vms, count);
    }
    catalog_known_close(known);
    free(bytes);
}

static void try_text(const char *text, size_t size)
{
    struct catalog_manifest manifest = {.host = NULL};
    struct error err = {""};

    if (catalog_manifest_parse(text_of(text, size), "m", &manifest, &err) < 0) {
        must(manifest.host == NULL && strncmp(err.text, "m: ", 3) == 0);
        return;
    }
    check(&manifest);
    check_again(&manifest);
    check_known(&manifest);
    catalog_manifest_release(&manifest);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t length;
    char *text = fuzz_seal(data, size, &length);

    try_text((const char *)data, size);
    try_text(text, length);
    free(text);
    return 0;
}

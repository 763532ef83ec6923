/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Known hosts: what goes in comes out, and is found by UUID and by name. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "known_park.h"

#include <errno.h>

#define PARKS 40

/* ---- what goes in comes out -------------------------------------------------------------- */

static void check_same(const char *have, const char *want)
{
    assert_int_equal(have == NULL, want == NULL);
    if (want != NULL)
        assert_string_equal(have, want);
}

static void check_host(const struct catalog_known *known, const struct catalog_known_host *want)
{
    size_t i = catalog_known_host_find(known, want->name);
    const struct catalog_known_host *host;

    assert_true(i < catalog_known_host_count(known));
    host = catalog_known_host(known, i);
    assert_string_equal(host->name, want->name);
    assert_string_equal(host->directory, want->directory);
    check_same(host->problem, want->problem);
    assert_int_equal(host->is_self, want->is_self);
    assert_int_equal(host->read_s, want->read_s);
    assert_int_equal(host->made_s, want->made_s);
    assert_true(isnan(want->cpu_percent) ? isnan(host->cpu_percent)
                                         : host->cpu_percent == want->cpu_percent);
    assert_int_equal(host->cpus, want->cpus);
    assert_int_equal(host->memory_free_bytes, want->memory_free_bytes);
    assert_int_equal(host->memory_bytes, want->memory_bytes);
    assert_int_equal(host->pool_free_bytes, want->pool_free_bytes);
}

static void check_vm(const struct catalog_known_vm *vm, const struct catalog_manifest_vm *want)
{
    assert_memory_equal(&vm->uuid, &want->uuid, sizeof(vm->uuid));
    assert_string_equal(vm->name, want->name);
    assert_int_equal(vm->active, want->active);
    assert_int_equal(vm->memory_bytes, want->memory_bytes);
    assert_int_equal(vm->vcpus, want->vcpus);
    assert_int_equal(vm->disk_count, want->disk_count);
    for (size_t i = 0; i < vm->disk_count; i++) {
        assert_string_equal(vm->disks[i].target, want->disks[i].target);
        assert_string_equal(vm->disks[i].path, want->disks[i].path);
        assert_string_equal(vm->disks[i].image, want->disks[i].image);
        assert_int_equal(vm->disks[i].capacity_bytes, want->disks[i].capacity_bytes);
    }
}

/* Is `vm` the park's, and how many of them are there by that test? */
static size_t count_of(const struct park *park, const struct uuid *uuid, const char *name)
{
    size_t count = 0;

    for (size_t host = 0; host < park->count; host++) {
        const struct catalog_manifest *manifest = park->sources[host].manifest;

        for (size_t i = 0; manifest != NULL && i < manifest->vm_count; i++)
            count += (uuid == NULL || memcmp(&manifest->vms[i].uuid, uuid, sizeof(*uuid)) == 0) &&
                     (name == NULL || strcmp(manifest->vms[i].name, name) == 0);
    }
    return count;
}

/* Running first, then by the age of the manifest, then by name, then by UUID. */
static bool is_before(const struct catalog_known *known, const struct catalog_known_vm *a,
                      const struct catalog_known_vm *b)
{
    const struct catalog_known_host *of_a = catalog_known_host(known, a->host);
    const struct catalog_known_host *of_b = catalog_known_host(known, b->host);
    int order = strcmp(of_a->name, of_b->name);

    if (a->active != b->active)
        return a->active;
    if (of_a->made_s != of_b->made_s)
        return of_a->made_s > of_b->made_s;
    return order != 0 ? order < 0 : memcmp(&a->uuid, &b->uuid, sizeof(a->uuid)) < 0;
}

static void check_found(const struct park *park, const struct catalog_known *known,
                        const struct catalog_known_vm *vms, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *host = catalog_known_host(known, vms[i].host)->name;
        const struct catalog_manifest *manifest = NULL;
        size_t at = 0;

        for (size_t j = 0; j < park->count; j++) {
            if (strcmp(park->hosts[j], host) == 0)
                manifest = park->sources[j].manifest;
        }
        assert_non_null(manifest);
        while (at < manifest->vm_count &&
               memcmp(&manifest->vms[at].uuid, &vms[i].uuid, sizeof(struct uuid)) != 0)
            at++;
        assert_true(at < manifest->vm_count);
        check_vm(&vms[i], &manifest->vms[at]);
        assert_true(i == 0 || is_before(known, &vms[i - 1], &vms[i]));
    }
}

static void check_uuids(const struct park *park, const struct catalog_known *known)
{
    struct uuid uuid = {{0}};

    for (size_t i = 0; i < 3 * 256; i++) {
        struct catalog_known_vm *vms, *again;
        size_t count, count_again;
        char text[UUID_TEXT_BYTES];

        uuid.bytes[0] = (uint8_t)(i / 256);
        uuid.bytes[15] = (uint8_t)i;
        assert_int_equal(catalog_known_find(known, &uuid, &vms, &count, NULL), 0);
        assert_int_equal(count, count_of(park, &uuid, NULL));
        check_found(park, known, vms, count);
        uuid_format(&uuid, text);
        assert_int_equal(catalog_known_find_text(known, text, &again, &count_again, NULL), 0);
        assert_int_equal(count_again, count);
        for (size_t j = 0; j < count; j++)
            assert_int_equal(again[j].host, vms[j].host);
        catalog_known_vms_free(again, count_again);
        catalog_known_vms_free(vms, count);
    }
}

static void check_names(const struct park *park, const struct catalog_known *known)
{
    for (size_t i = 0; i < 21; i++) {
        struct catalog_known_vm *vms;
        char name[24];
        size_t count;

        string_format(name, sizeof(name), "vm-%zu", i);
        assert_int_equal(catalog_known_find_text(known, name, &vms, &count, NULL), 0);
        assert_int_equal(count, count_of(park, NULL, name));
        check_found(park, known, vms, count);
        catalog_known_vms_free(vms, count);
    }
}

static void all_that_is_known_is_found(void **state)
{
    (void)state;
    for (size_t i = 0; i < PARKS; i++) {
        struct park *park = make_park(i % (MOST_HOSTS + 1));
        size_t length = 0;
        uint8_t *bytes = encoded(park, &length);
        struct catalog_known *known = decoded(bytes, length);

        assert_int_equal(catalog_known_made_s(known), 1700000000);
        assert_int_equal(catalog_known_host_count(known), park->count);
        for (size_t host = 0; host < park->count; host++)
            check_host(known, &park->sources[host].host);
        for (size_t host = 1; host < park->count; host++)
            assert_true(strcmp(catalog_known_host(known, host - 1)->name,
                               catalog_known_host(known, host)->name) < 0);
        assert_int_equal(catalog_known_host_find(known, "host"), park->count);
        assert_int_equal(catalog_known_host_find(known, "host-99"), park->count);
        check_uuids(park, known);
        check_names(park, known);
        catalog_known_close(known);
        free(bytes);
        free(park);
    }
    catalog_known_close(NULL);
    catalog_known_vms_free(NULL, 0);
}

/* A VM that is called like another one's UUID is found when there is no such UUID. */
static void a_name_can_look_like_a_uuid(void **state)
{
    char name[] = "01000000-0000-0000-0000-000000000000", none[] = "";
    struct catalog_manifest_vm vm = {.name = name};
    struct catalog_manifest manifest = {.vms = &vm, .vm_count = 1};
    struct catalog_known_source source = {.host = {.name = "a", .directory = none},
                                          .manifest = &manifest};
    struct catalog_known_vm *vms;
    struct catalog_known *known;
    size_t length, count;
    uint8_t *bytes;

    (void)state;
    assert_int_equal(catalog_known_encode(&source, 1, 1, &bytes, &length, NULL), 0);
    known = decoded(bytes, length);
    assert_int_equal(catalog_known_find_text(known, name, &vms, &count, NULL), 0);
    assert_int_equal(count, 1);
    catalog_known_vms_free(vms, count);
    /* Whole names only, and nothing beyond the last. */
    assert_int_equal(catalog_known_find_text(known, "0000-000000000000", &vms, &count, NULL), 0);
    assert_int_equal(count, 0);
    catalog_known_vms_free(vms, count);
    assert_int_equal(catalog_known_find_text(known, "", &vms, &count, NULL), 0);
    assert_int_equal(count, 0);
    catalog_known_vms_free(vms, count);
    catalog_known_close(known);
    free(bytes);
}

/* ---- what is not made ----------------------------------------------------------------------- */

static void not_made(const struct catalog_known_source *sources, size_t count, int64_t made_s,
                     const char *message)
{
    struct error err = {""};
    uint8_t *bytes = NULL;
    size_t length = 0;

    assert_int_equal(catalog_known_encode(sources, count, made_s, &bytes, &length, &err), -EINVAL);
    assert_string_equal(err.text, message);
    assert_null(bytes);
}

static void what_cannot_be_is_not_made(void **state)
{
    char name[] = "x";
    struct catalog_manifest_vm vms[2] = {{.name = name}, {.name = name}};
    struct catalog_manifest manifest = {.vms = vms, .vm_count = 2};
    struct catalog_known_source sources[2] = {{.host = {.name = "a", .directory = name}},
                                              {.host = {.name = "a", .directory = name}}};

    (void)state;
    not_made(sources, 2, 1, "host a is there twice");
    not_made(sources, 1, -1, "made at no time: -1");
    sources[1].host.name = "../b";
    not_made(sources, 2, 1, "'../b' cannot be a host's name");
    sources[1].host.name = "b";
    sources[1].host.read_s = INT64_MAX;
    not_made(sources, 2, 1, "host b: no time when it was read, or made");
    sources[1].host.read_s = 0;
    sources[1].manifest = &manifest;
    not_made(sources, 2, 1, "two VMs of host b, one of them 'x', have the same UUID");
    vms[1].uuid.bytes[3] = 1;
    vms[1].disk_count = CATALOG_MANIFEST_MAX_DISKS + 1;
    not_made(sources, 2, 1, "VM 'x' on host b has 257 disks; at most 256 are kept");
}

static void loads_that_cannot_be_are_not_known(void **state)
{
    static const double percents[] = {-1, INFINITY, -INFINITY, NAN};

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(percents); i++) {
        struct catalog_known_source source = {
            .host = {.name = "a", .directory = "", .cpu_percent = percents[i]}};
        struct catalog_known *known;
        uint64_t bits;
        size_t length;
        uint8_t *bytes;
        double written;

        assert_int_equal(catalog_known_encode(&source, 1, 1, &bytes, &length, NULL), 0);
        bits = get_u64(bytes + KNOWN_HEADER_BYTES + KNOWN_HOST_CPU_PERCENT);
        memcpy(&written, &bits, sizeof(written));
        assert_true(isnan(written));
        memcpy(&bits, &percents[i], sizeof(bits));
        known = decoded(bytes, length);
        assert_true(isnan(catalog_known_host(known, 0)->cpu_percent));
        catalog_known_close(known);
        put_u64(bytes + KNOWN_HEADER_BYTES + KNOWN_HOST_CPU_PERCENT, bits);
        mend(bytes, length);
        known = decoded(bytes, length);
        assert_true(isnan(catalog_known_host(known, 0)->cpu_percent));
        catalog_known_close(known);
        free(bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_that_is_known_is_found),
        cmocka_unit_test(a_name_can_look_like_a_uuid),
        cmocka_unit_test(what_cannot_be_is_not_made),
        cmocka_unit_test(loads_that_cannot_be_are_not_known),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

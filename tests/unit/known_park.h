/* SPDX-License-Identifier: GPL-2.0-or-later */
/* For tests: hosts and VMs that are made up, and the file of them. */
#ifndef KNOWN_PARK_H
#define KNOWN_PARK_H

#include "catalog/known.h"
#include "made_fingerprint.h"

#include <math.h>

#define HASH       "0cd9d99d1b4f3c3fd0b0c4b0b5a0c3a1"
#define MOST_HOSTS 12
#define MOST_VMS   40 /* of each */
#define PARKS      40

static uint64_t state_of_random = 1;

static inline size_t below(size_t limit)
{
    return made_random(&state_of_random) % limit;
}

struct park {
    size_t count;
    struct catalog_known_source sources[MOST_HOSTS];
    struct catalog_manifest manifests[MOST_HOSTS];
    struct catalog_manifest_vm vms[MOST_HOSTS][MOST_VMS];
    struct catalog_manifest_disk disks[MOST_HOSTS][MOST_VMS][3];
    char names[MOST_HOSTS][MOST_VMS][24], hosts[MOST_HOSTS][24];
};

static inline void make_vm(struct park *park, size_t host, size_t i, uint8_t number)
{
    struct catalog_manifest_vm *vm = &park->vms[host][i];
    static char target[] = "vda", plain[] = "/images/a.qcow2", odd[] = "/images/\n\xff.qcow2";
    struct catalog_manifest_disk *disks = park->disks[host][i];

    *vm = (struct catalog_manifest_vm){.name = park->names[host][i],
                                       .active = below(2) == 0,
                                       .memory_bytes = below(3) == 0 ? UNKNOWN_U64 : below(1000),
                                       .vcpus = (uint32_t)below(9),
                                       .disks = disks,
                                       .disk_count = below(4)};
    vm->uuid.bytes[0] = (uint8_t)below(2); /* in the file's order, numbers are not */
    vm->uuid.bytes[15] = number;
    string_format(park->names[host][i], sizeof(park->names[host][i]), "vm-%zu", below(20));
    for (size_t j = 0; j < vm->disk_count; j++) {
        disks[j] = (struct catalog_manifest_disk){
            .target = target, .path = below(2) == 0 ? plain : odd, .capacity_bytes = below(1000)};
        if (below(2) == 0)
            string_copy(disks[j].image, sizeof(disks[j].image), HASH);
    }
}

/* Of a few dozen UUIDs and names, so that several hosts have them. */
static inline struct park *make_park(size_t count)
{
    struct park *park = made_memory(sizeof(*park));

    park->count = count;
    for (size_t host = 0; host < count; host++) {
        struct catalog_manifest *manifest = &park->manifests[host];
        uint8_t number = 0;

        string_format(park->hosts[host], sizeof(park->hosts[host]), "host-%zu",
                      (host * 7 + 3) % 12);
        manifest->vms = park->vms[host];
        for (; manifest->vm_count < MOST_VMS; manifest->vm_count++) {
            number = (uint8_t)(number + 1 + below(3));
            make_vm(park, host, manifest->vm_count, number);
            if (below(30) == 0)
                break;
        }
        park->sources[host] = (struct catalog_known_source){
            .host = {.name = park->hosts[host],
                     .directory = "/cache/hosts/x",
                     .problem = below(2) == 0 ? "it is down" : NULL,
                     .is_self = host == 1,
                     .read_s = (int64_t)below(1000),
                     .made_s = (int64_t)below(3),
                     .cpu_percent = below(2) == 0 ? 12.5 : NAN,
                     .cpus = below(100),
                     .memory_free_bytes = below(2) == 0 ? UNKNOWN_U64 : 5,
                     .memory_bytes = below(1000),
                     .pool_free_bytes = below(1000)},
            .manifest = below(8) == 0 ? NULL : manifest};
    }
    return park;
}

static inline uint8_t *encoded(const struct park *park, size_t *ret_length)
{
    struct error err = {""};
    uint8_t *bytes = NULL;

    if (catalog_known_encode(park->sources, park->count, 1700000000, &bytes, ret_length, &err) < 0)
        fail_msg("not made: %s", err.text);
    return bytes;
}

static inline struct catalog_known *decoded(const uint8_t *bytes, size_t length)
{
    struct catalog_known *known = NULL;
    struct error err = {""};

    if (catalog_known_decode(bytes, length, "k", &known, &err) < 0)
        fail_msg("refused: %s", err.text);
    return known;
}

static inline void mend(uint8_t *bytes, size_t length)
{
    put_u64(bytes + KNOWN_AT_CHECKSUM, known_checksum(bytes, length));
}

#endif

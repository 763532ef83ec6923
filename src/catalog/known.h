/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What writer and reader of the file of known hosts share: where its fields
 * lie. The words for it are in docs/catalog-format.md.
 */
#ifndef CATALOG_KNOWN_H
#define CATALOG_KNOWN_H

#include "setmov/base_bytes.h"
#include "setmov/catalog_known.h"
#include "setmov/fingerprint_file.h"

#define KNOWN_MAGIC       "SETMOVKN"
#define KNOWN_MAGIC_BYTES (sizeof(KNOWN_MAGIC) - 1)
#define KNOWN_VERSION     1
#define KNOWN_MAX_HOSTS   65535

enum known_header {
    KNOWN_AT_MAGIC = 0,
    KNOWN_AT_VERSION = 8,
    KNOWN_AT_HOSTS = 12,
    KNOWN_AT_VMS = 16,
    KNOWN_AT_DISKS = 20,
    KNOWN_AT_STRINGS = 24, /* their bytes */
    KNOWN_AT_MADE = 32,
    KNOWN_AT_CHECKSUM = 40, /* of what stands before it, and of all behind it */
    KNOWN_HEADER_BYTES = 48,
};

enum known_host_field {
    KNOWN_HOST_NAME = 0, /* strings: where in the strings they begin */
    KNOWN_HOST_DIRECTORY = 4,
    KNOWN_HOST_PROBLEM = 8,
    KNOWN_HOST_FLAGS = 12,
    KNOWN_HOST_READ = 16,
    KNOWN_HOST_MADE = 24,
    KNOWN_HOST_CPU_PERCENT = 32,
    KNOWN_HOST_CPUS = 40,
    KNOWN_HOST_MEMORY_FREE = 48,
    KNOWN_HOST_MEMORY = 56,
    KNOWN_HOST_POOL_FREE = 64,
    KNOWN_HOST_BYTES = 72,
};

enum known_vm_field {
    KNOWN_VM_UUID = 0,
    KNOWN_VM_NAME = 16,
    KNOWN_VM_DISKS_END = 20, /* its disks begin where those of the VM before it end */
    KNOWN_VM_MEMORY = 24,
    KNOWN_VM_VCPUS = 32,
    KNOWN_VM_HOST = 36,  /* 2 bytes */
    KNOWN_VM_FLAGS = 38, /* 2 bytes */
    KNOWN_VM_BYTES = 40,
};

enum known_disk_field {
    KNOWN_DISK_TARGET = 0,
    KNOWN_DISK_PATH = 4,
    KNOWN_DISK_CAPACITY = 8,
    KNOWN_DISK_IMAGE = 16, /* zeroes: it has no fingerprint */
    KNOWN_DISK_BYTES = 32,
};

#define KNOWN_IMAGE_BYTES ((CATALOG_IMAGE_ID_BYTES - 1) / 2)
#define KNOWN_NO_STRING   UINT32_MAX

enum known_host_flags { KNOWN_HOST_IS_SELF = 1 };
enum known_vm_flags { KNOWN_VM_IS_ACTIVE = 1 };

struct catalog_known {
    const uint8_t *bytes;
    size_t length;
    char *what; /* begins messages */
    int64_t made_s;
    struct catalog_known_host *hosts; /* by name, ascending */
    size_t host_count, vm_count, disk_count, strings_length;
    const uint8_t *vms, *disks, *strings;
    /* Of a mapping: was something of it lost? Set by who mapped. */
    void *mapped;
    struct file_guard *guard;
    bool (*is_lost)(const struct file_guard *guard);
};

static inline uint64_t known_checksum(const uint8_t *bytes, size_t length)
{
    struct fingerprint_checksum sum;

    fingerprint_checksum_init(&sum);
    fingerprint_checksum_add(&sum, bytes, KNOWN_AT_CHECKSUM);
    fingerprint_checksum_add(&sum, bytes + KNOWN_HEADER_BYTES, length - KNOWN_HEADER_BYTES);
    return fingerprint_checksum_value(&sum);
}

/*
 * Does it begin as such a file of that length does? Asked before a file is
 * mapped, too: all of a mapping is read. `have`: bytes of the head that there are.
 */
int known_check_head(const uint8_t *head, size_t have, uint64_t length, const char *what,
                     struct error *err);

/* All but what is mapped. NULL is fine. Pure. */
void known_release(struct catalog_known *known);

#endif

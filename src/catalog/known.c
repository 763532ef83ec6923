/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The file of known hosts over bytes in memory: what is checked once, and the hosts. */

#include "catalog/known.h"
#include "catalog/lines.h"
#include "setmov/config.h"

#include <errno.h>
#include <math.h>

static int damaged(const struct catalog_known *known, struct error *err, const char *what)
{
    return error_set(err, -EINVAL, "%s is damaged: %s", known->what, what);
}

/* ---- the header ------------------------------------------------------------------ */

static int check_header(struct catalog_known *known, struct error *err)
{
    const uint8_t *bytes = known->bytes;

    if (known->length < KNOWN_HEADER_BYTES ||
        memcmp(bytes + KNOWN_AT_MAGIC, KNOWN_MAGIC, KNOWN_MAGIC_BYTES) != 0)
        return error_set(err, -EINVAL, "%s is no list of known hosts", known->what);
    if (get_u32(bytes + KNOWN_AT_VERSION) != KNOWN_VERSION)
        return error_set(err, -ENOTSUP,
                         "%s: a list of known hosts of version %u; this program knows %d",
                         known->what, get_u32(bytes + KNOWN_AT_VERSION), KNOWN_VERSION);
    known->host_count = get_u32(bytes + KNOWN_AT_HOSTS);
    known->vm_count = get_u32(bytes + KNOWN_AT_VMS);
    known->disk_count = get_u32(bytes + KNOWN_AT_DISKS);
    known->strings_length = get_u64(bytes + KNOWN_AT_STRINGS);
    known->made_s = (int64_t)get_u64(bytes + KNOWN_AT_MADE);
    if (known->host_count > KNOWN_MAX_HOSTS)
        return damaged(known, err, "the number of hosts");
    if (known->made_s < 0 || known->made_s > LINES_TIME_MAX)
        return damaged(known, err, "when it was made");
    return 0;
}

/* The sections lie one behind the other, and the file ends with the last. */
static int place_sections(struct catalog_known *known, struct error *err)
{
    /* Numbers of 32 bits times less than a hundred: no sum overflows. */
    uint64_t hosts = (uint64_t)known->host_count * KNOWN_HOST_BYTES;
    uint64_t vms = (uint64_t)known->vm_count * KNOWN_VM_BYTES;
    uint64_t disks = (uint64_t)known->disk_count * KNOWN_DISK_BYTES;
    uint64_t fixed = KNOWN_HEADER_BYTES + hosts + vms + disks;

    if (fixed > known->length || known->strings_length != known->length - fixed)
        return damaged(known, err, "its length is not what its head tells");
    known->vms = known->bytes + KNOWN_HEADER_BYTES + hosts;
    known->disks = known->vms + vms;
    known->strings = known->disks + disks;
    if (get_u64(known->bytes + KNOWN_AT_CHECKSUM) != known_checksum(known->bytes, known->length))
        return damaged(known, err, "its checksum");
    if (known->strings_length > 0 && known->strings[known->strings_length - 1] != '\0')
        return damaged(known, err, "a string has no end");
    return 0;
}

/* ---- hosts ------------------------------------------------------------------------- */

/* The last byte of the strings is a NUL, so every one that begins there ends there. */
static const char *string_at(const struct catalog_known *known, const uint8_t *field)
{
    uint32_t at = get_u32(field);

    return at < known->strings_length ? (const char *)known->strings + at : NULL;
}

static double percent_at(const uint8_t *field)
{
    uint64_t bits = get_u64(field);
    double value;

    memcpy(&value, &bits, sizeof(value));
    return value >= 0 && isfinite(value) ? value : NAN;
}

static bool is_time(int64_t time_s)
{
    return time_s >= 0 && time_s <= LINES_TIME_MAX;
}

/* NULL, or what is wrong. */
static const char *read_host(const struct catalog_known *known, const uint8_t *line,
                             struct catalog_known_host *host)
{
    uint32_t flags = get_u32(line + KNOWN_HOST_FLAGS);

    *host = (struct catalog_known_host){
        .name = string_at(known, line + KNOWN_HOST_NAME),
        .directory = string_at(known, line + KNOWN_HOST_DIRECTORY),
        .problem = string_at(known, line + KNOWN_HOST_PROBLEM),
        .is_self = (flags & KNOWN_HOST_IS_SELF) != 0,
        .read_s = (int64_t)get_u64(line + KNOWN_HOST_READ),
        .made_s = (int64_t)get_u64(line + KNOWN_HOST_MADE),
        .cpu_percent = percent_at(line + KNOWN_HOST_CPU_PERCENT),
        .cpus = get_u64(line + KNOWN_HOST_CPUS),
        .memory_free_bytes = get_u64(line + KNOWN_HOST_MEMORY_FREE),
        .memory_bytes = get_u64(line + KNOWN_HOST_MEMORY),
        .pool_free_bytes = get_u64(line + KNOWN_HOST_POOL_FREE),
    };
    if (host->name == NULL || !config_is_name(host->name))
        return "a host's name";
    if (host->directory == NULL ||
        (host->problem == NULL && get_u32(line + KNOWN_HOST_PROBLEM) != KNOWN_NO_STRING) ||
        (flags & ~(uint32_t)KNOWN_HOST_IS_SELF) != 0 || !is_time(host->read_s) ||
        !is_time(host->made_s))
        return "what it says of a host";
    return NULL;
}

static int read_hosts(struct catalog_known *known, struct error *err)
{
    const uint8_t *line = known->bytes + KNOWN_HEADER_BYTES;

    known->hosts = calloc(known->host_count + 1, sizeof(*known->hosts));
    if (known->hosts == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    for (size_t i = 0; i < known->host_count; i++, line += KNOWN_HOST_BYTES) {
        const char *wrong = read_host(known, line, &known->hosts[i]);

        if (wrong == NULL && i > 0 && strcmp(known->hosts[i - 1].name, known->hosts[i].name) >= 0)
            wrong = "the order of hosts";
        if (wrong != NULL)
            return damaged(known, err, wrong);
    }
    return 0;
}

/* ---- the contract -------------------------------------------------------------------- */

int catalog_known_decode(const void *bytes, size_t length, const char *what,
                         struct catalog_known **ret_known, struct error *err)
{
    struct catalog_known *known = calloc(1, sizeof(*known));
    int rc = 0;

    if (known != NULL)
        known->what = strdup(what);
    if (known == NULL || known->what == NULL) {
        known_release(known);
        return error_set(err, -ENOMEM, "out of memory");
    }
    known->bytes = bytes;
    known->length = length;
    rc = check_header(known, err);
    if (rc == 0)
        rc = place_sections(known, err);
    if (rc == 0)
        rc = read_hosts(known, err);
    if (rc < 0)
        known_release(known);
    else
        *ret_known = known;
    return rc;
}

void known_release(struct catalog_known *known)
{
    if (known == NULL)
        return;
    free(known->hosts);
    free(known->what);
    free(known);
}

int64_t catalog_known_made_s(const struct catalog_known *known)
{
    return known->made_s;
}

size_t catalog_known_host_count(const struct catalog_known *known)
{
    return known->host_count;
}

const struct catalog_known_host *catalog_known_host(const struct catalog_known *known, size_t i)
{
    return &known->hosts[i];
}

size_t catalog_known_host_find(const struct catalog_known *known, const char *name)
{
    size_t first = 0, end = known->host_count;

    while (first < end) {
        size_t middle = first + (end - first) / 2;
        int order = strcmp(known->hosts[middle].name, name);

        if (order == 0)
            return middle;
        if (order < 0)
            first = middle + 1;
        else
            end = middle;
    }
    return known->host_count;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The file of known hosts over bytes in memory: what is checked once, and the hosts. */

#include "catalog/known.h"
#include "setmov/catalog_lines.h"
#include "setmov/config.h"

#include <errno.h>
#include <math.h>

static int damaged(const char *file, struct error *err, const char *what)
{
    return error_set(err, -EINVAL, "%s is damaged: %s", file, what);
}

static bool is_time(int64_t time_s)
{
    return time_s >= 0 && time_s <= LINES_TIME_MAX;
}

/* ---- the header ------------------------------------------------------------------ */

/* The sections lie one behind the other, and the file ends with the last. */
static bool is_length(const uint8_t *head, uint64_t length)
{
    /* Numbers of 32 bits times less than a hundred: no sum overflows. */
    uint64_t fixed = KNOWN_HEADER_BYTES +
                     (uint64_t)get_u32(head + KNOWN_AT_HOSTS) * KNOWN_HOST_BYTES +
                     (uint64_t)get_u32(head + KNOWN_AT_VMS) * KNOWN_VM_BYTES +
                     (uint64_t)get_u32(head + KNOWN_AT_DISKS) * KNOWN_DISK_BYTES;

    return fixed <= length && get_u64(head + KNOWN_AT_STRINGS) == length - fixed;
}

int known_check_head(const uint8_t *head, size_t have, uint64_t length, const char *what,
                     struct error *err)
{
    if (have < KNOWN_HEADER_BYTES ||
        memcmp(head + KNOWN_AT_MAGIC, KNOWN_MAGIC, KNOWN_MAGIC_BYTES) != 0)
        return error_set(err, -EINVAL, "%s is no list of known hosts", what);
    if (get_u32(head + KNOWN_AT_VERSION) != KNOWN_VERSION)
        return error_set(err, -ENOTSUP,
                         "%s: a list of known hosts of version %u; this program knows %d", what,
                         get_u32(head + KNOWN_AT_VERSION), KNOWN_VERSION);
    if (get_u32(head + KNOWN_AT_HOSTS) > KNOWN_MAX_HOSTS)
        return damaged(what, err, "the number of hosts");
    if (!is_time((int64_t)get_u64(head + KNOWN_AT_MADE)))
        return damaged(what, err, "when it was made");
    if (!is_length(head, length))
        return damaged(what, err, "its length is not what its head tells");
    return 0;
}

static int place_sections(struct catalog_known *known, struct error *err)
{
    const uint8_t *bytes = known->bytes;

    known->host_count = get_u32(bytes + KNOWN_AT_HOSTS);
    known->vm_count = get_u32(bytes + KNOWN_AT_VMS);
    known->disk_count = get_u32(bytes + KNOWN_AT_DISKS);
    known->strings_length = get_u64(bytes + KNOWN_AT_STRINGS);
    known->made_s = (int64_t)get_u64(bytes + KNOWN_AT_MADE);
    known->vms = bytes + KNOWN_HEADER_BYTES + known->host_count * KNOWN_HOST_BYTES;
    known->disks = known->vms + known->vm_count * KNOWN_VM_BYTES;
    known->strings = known->disks + known->disk_count * KNOWN_DISK_BYTES;
    if (get_u64(bytes + KNOWN_AT_CHECKSUM) != known_checksum(bytes, known->length))
        return damaged(known->what, err, "its checksum");
    if (known->strings_length > 0 && known->strings[known->strings_length - 1] != '\0')
        return damaged(known->what, err, "a string has no end");
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
            return damaged(known->what, err, wrong);
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
    rc = known_check_head(bytes, length, length, what, err);
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

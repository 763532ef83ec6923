/* SPDX-License-Identifier: GPL-2.0-or-later */
/* HEX.blocks in a directory: written whole, and all of them found again. */
#include "setmov/base_new_file.h"
#include "transfer/blocks.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEX_DIGITS (2 * (size_t)TRANSFER_HASH_BYTES)
#define NAME_BYTES (HEX_DIGITS + sizeof(BLOCKS_SUFFIX))

static struct blocks_kind kind_of(enum digest_kind kind, uint32_t block_size,
                                  const uint8_t key_id[8])
{
    struct blocks_kind made = {.kind = kind, .block_size = block_size};

    memcpy(made.key_id, key_id, sizeof(made.key_id));
    return made;
}

int transfer_blocks_save(const char *directory, const struct transfer_plan *plan,
                         const struct transfer_packed *packed, struct error *err)
{
    struct blocks_kind kind = kind_of(plan->kind, plan->block_size, plan->key_id);
    size_t size = strlen(directory) + 1 + NAME_BYTES, length;
    char name[TRANSFER_PART_NAME_BYTES];
    CLEANUP(cleanup_free) char *path = NULL;
    CLEANUP(cleanup_free) uint8_t *bytes = NULL;
    int rc;

    /* Pieces that are no blocks of the plan's size: nothing can be found again. */
    if (packed->digests == NULL)
        return 0;
    path = malloc(size);
    if (path == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    transfer_part_name(packed->part.sha256, name);
    string_format(path, size, "%s/%s" BLOCKS_SUFFIX, directory,
                  name + strlen(TRANSFER_PART_PREFIX));
    rc = blocks_encode(&kind, &packed->part, packed->digests, packed->digest_count, &bytes, &length,
                       err);
    return rc == 0 ? new_file_replace(path, bytes, length, false, err)
                   : error_prefix(err, rc, "%s", path);
}

/* ---- finding ------------------------------------------------------------------------------- */

/* "HEX.blocks", HEX as transfer_part_name() writes it. */
static bool name_parse(const char *name, uint8_t ret_sha256[TRANSFER_HASH_BYTES])
{
    char part[TRANSFER_PART_NAME_BYTES];

    if (strlen(name) != NAME_BYTES - 1 || strcmp(name + HEX_DIGITS, BLOCKS_SUFFIX) != 0)
        return false;
    string_format(part, sizeof(part), TRANSFER_PART_PREFIX "%.*s", (int)HEX_DIGITS, name);
    return transfer_part_name_parse(part, ret_sha256);
}

/* NULL: it cannot be read, or is too long for one. */
static uint8_t *read_file(int directory, const char *name, size_t *ret_length)
{
    CLEANUP(cleanup_close)
    int fd = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat status;
    uint8_t *bytes;
    size_t at = 0;

    if (fd < 0 || fstat(fd, &status) < 0 || !S_ISREG(status.st_mode) ||
        (uint64_t)status.st_size < BLOCKS_HEADER_BYTES ||
        (uint64_t)status.st_size > BLOCKS_MAX_BYTES)
        return NULL;
    bytes = malloc((size_t)status.st_size);
    while (bytes != NULL && at < (size_t)status.st_size) {
        ssize_t got = pread(fd, bytes + at, (size_t)status.st_size - at, (off_t)at);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            free(bytes);
            return NULL;
        }
        at += (size_t)got;
    }
    *ret_length = at;
    return bytes;
}

struct search {
    struct blocks_kind kind;
    bool (*has)(void *context, const struct transfer_part *part);
    void *context;
    struct transfer_known_parts *parts;
};

static bool is_same_kind(const struct blocks_kind *left, const struct blocks_kind *right)
{
    return left->kind == right->kind && left->block_size == right->block_size &&
           memcmp(left->key_id, right->key_id, sizeof(left->key_id)) == 0;
}

/* What is damaged, or of another version, is as if it were not there: its blocks are sent again. */
static int look(const struct search *search, int directory, const char *name, struct error *err)
{
    struct transfer_known_parts *parts = search->parts;
    uint8_t sha256[TRANSFER_HASH_BYTES];
    CLEANUP(cleanup_free) uint8_t *bytes = NULL;
    struct transfer_known_part part;
    struct blocks_kind kind;
    size_t length = 0;

    if (!name_parse(name, sha256) || parts->count >= TRANSFER_PLAN_MAX_PARTS)
        return 0;
    bytes = read_file(directory, name, &length);
    if (bytes == NULL || blocks_decode(bytes, length, &kind, &part, NULL) < 0)
        return 0;
    if (!is_same_kind(&kind, &search->kind) ||
        memcmp(part.part.sha256, sha256, sizeof(sha256)) != 0 ||
        (search->has != NULL && !search->has(search->context, &part.part))) {
        free(part.digests);
        return 0;
    }
    if (array_reserve(&parts->parts, &parts->capacity, parts->count + 1, sizeof(*parts->parts)) <
        0) {
        free(part.digests);
        return error_set(err, -ENOMEM, "out of memory");
    }
    parts->parts[parts->count++] = part;
    return 0;
}

static int by_sha256(const void *left, const void *right)
{
    const struct transfer_known_part *l = left, *r = right;

    return memcmp(l->part.sha256, r->part.sha256, sizeof(l->part.sha256));
}

int transfer_blocks_load(const char *directory, enum digest_kind kind, uint32_t block_size,
                         const uint8_t key_id[8],
                         bool (*has)(void *context, const struct transfer_part *part),
                         void *context, struct transfer_known_parts *ret_parts, struct error *err)
{
    CLEANUP(transfer_known_parts_release) struct transfer_known_parts parts = {0};
    struct search search = {kind_of(kind, block_size, key_id), has, context, &parts};
    const struct dirent *entry;
    int rc = 0;
    DIR *stream = opendir(directory);

    if (stream == NULL && errno == ENOENT) {
        *ret_parts = (struct transfer_known_parts){0};
        return 0;
    }
    if (stream == NULL)
        return error_set(err, -errno, "%s: %s", directory, strerror(errno));
    while (rc == 0 && (errno = 0, entry = readdir(stream)) != NULL)
        rc = look(&search, dirfd(stream), entry->d_name, err);
    if (rc == 0 && errno != 0)
        rc = error_set(err, -errno, "%s: %s", directory, strerror(errno));
    closedir(stream);
    if (rc < 0)
        return rc;
    /* A directory has no order of its own, but a plan should be the same each time. */
    if (parts.count > 1)
        qsort(parts.parts, parts.count, sizeof(*parts.parts), by_sha256);
    *ret_parts = parts;
    parts = (struct transfer_known_parts){0};
    return 0;
}

void transfer_known_parts_release(struct transfer_known_parts *parts)
{
    for (size_t i = 0; i < parts->count; i++)
        free(parts->parts[i].digests);
    free(parts->parts);
    *parts = (struct transfer_known_parts){0};
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Fingerprint files that are there: mapped, in whole or in part, and checked. */

#include "fingerprint/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fingerprint/format.h"

/* ---- a mapped file ---- */

struct mapped {
    struct fingerprint_file file; /* first, so that one pointer is both */
    uint8_t *base;
    struct file_guard *guard;
    size_t witness; /* the last byte that is not 0, on the page that a cut would hit first */
    uint8_t witness_value;
};

/*
 * A cut that leaves the last page there in part raises no signal: what is
 * behind the cut reads as zeroes. So one byte that is none is remembered.
 */
static void choose_witness(struct mapped *mapped, size_t end)
{
    size_t page = file_guard_page_bytes(), at = end - 1;

    while (at % page != 0 && mapped->base[at] == 0)
        at--;
    mapped->witness = at;
    mapped->witness_value = mapped->base[at];
}

static void mapped_free(struct mapped *mapped)
{
    if (mapped == NULL)
        return;
    file_guard_remove(mapped->guard);
    if (mapped->base != NULL)
        munmap(mapped->base, mapped->file.file_length);
    fingerprint_view_release(&mapped->file.view);
    free(mapped->file.path);
    free(mapped);
}

static int map_bytes(int fd, uint64_t length, struct mapped *mapped, struct error *err)
{
    void *base = mmap(NULL, length, PROT_READ, MAP_SHARED, fd, 0);

    if (base == MAP_FAILED)
        return error_set(err, -errno, "cannot map: %s", strerror(errno));
    mapped->base = base;
    mapped->file.file_length = length;
    mapped->guard = file_guard_add(base, length);
    if (mapped->guard == NULL)
        return error_set(err, -ENOMEM, "no memory");
    return 0;
}

/* ---- what is asked for ---- */

static const unsigned kinds_of_part[][5] = {
    {FINGERPRINT_PART_HEAD, FINGERPRINT_LAYERS},
    {FINGERPRINT_PART_SKETCH, FINGERPRINT_SKETCH_DIGESTS, FINGERPRINT_SKETCH_PLACES,
     FINGERPRINT_FREQUENT_DIGESTS, FINGERPRINT_FREQUENT_MULTIPLICITY},
    {FINGERPRINT_PART_BLOOM, FINGERPRINT_BLOOM},
    {FINGERPRINT_PART_DIGESTS, FINGERPRINT_DIGESTS, FINGERPRINT_PLACES,
     FINGERPRINT_FREQUENT_DIGESTS, FINGERPRINT_FREQUENT_MULTIPLICITY},
};

static bool is_wanted(uint32_t kind, unsigned parts)
{
    for (size_t i = 0; i < ARRAY_LENGTH(kinds_of_part); i++) {
        if ((kinds_of_part[i][0] & parts) != kinds_of_part[i][0])
            continue;
        for (size_t j = 1; j < ARRAY_LENGTH(kinds_of_part[i]); j++) {
            if (kinds_of_part[i][j] == kind)
                return true;
        }
    }
    return false;
}

/* Compares the checksums of what is wanted; `ret_end` is where the last of it ends. */
static int check_sections(const struct mapped *mapped, unsigned parts, bool sums, size_t *ret_end,
                          struct error *err)
{
    const struct fingerprint_head *head = &mapped->file.head;
    uint64_t end =
        FINGERPRINT_HEAD_MAX < head->file_length ? FINGERPRINT_HEAD_MAX : head->file_length;

    for (size_t i = 0; i < head->section_count; i++) {
        const struct fingerprint_section *section = &head->sections[i];
        int rc = 0;

        if (!is_wanted(section->kind, parts))
            continue;
        if (sums)
            rc = fingerprint_section_check(section, mapped->base + section->offset, section->length,
                                           err);
        if (rc < 0)
            return rc;
        if (section->offset + section->length > end)
            end = section->offset + section->length;
    }
    *ret_end = end;
    return 0;
}

static const void *part_at(const struct mapped *mapped, enum fingerprint_section_kind kind,
                           bool wanted)
{
    const struct fingerprint_section *section = fingerprint_section_find(&mapped->file.head, kind);

    return wanted && section != NULL ? mapped->base + section->offset : NULL;
}

static int lay_view(struct mapped *mapped, unsigned parts, struct error *err)
{
    const struct fingerprint_section *layers =
        fingerprint_section_find(&mapped->file.head, FINGERPRINT_LAYERS);
    struct fingerprint_view *view = &mapped->file.view;
    bool all = (parts & FINGERPRINT_PART_DIGESTS) != 0;
    bool some = all || (parts & FINGERPRINT_PART_SKETCH) != 0;
    int rc = 0;

    *view = mapped->file.head.view;
    mapped->file.in_part = !all;
    view->digests = part_at(mapped, all ? FINGERPRINT_DIGESTS : FINGERPRINT_SKETCH_DIGESTS, some);
    view->places = part_at(mapped, all ? FINGERPRINT_PLACES : FINGERPRINT_SKETCH_PLACES, some);
    view->frequent = part_at(mapped, FINGERPRINT_FREQUENT_DIGESTS, some);
    view->frequent_multiplicity = part_at(mapped, FINGERPRINT_FREQUENT_MULTIPLICITY, some);
    view->bloom = part_at(mapped, FINGERPRINT_BLOOM, (parts & FINGERPRINT_PART_BLOOM) != 0);
    if (!some)
        view->frequent_count = 0;
    if (view->bloom == NULL)
        view->bloom_bytes = 0;
    if (layers != NULL)
        rc = fingerprint_layers_decode(mapped->base + layers->offset, layers->length,
                                       &view->owned_layers, &view->identity.layer_count, err);
    if (rc == 0)
        view->identity.layers = view->owned_layers;
    return rc;
}

static int take(struct mapped *mapped, unsigned parts, bool sums, bool verify_order,
                struct error *err)
{
    uint64_t length = mapped->file.file_length;
    size_t end = 0;
    int rc = fingerprint_head_decode(mapped->base,
                                     length < FINGERPRINT_HEAD_MAX ? length : FINGERPRINT_HEAD_MAX,
                                     &mapped->file.head, err);

    if (rc == 0 && mapped->file.head.file_length != length)
        rc = error_set(err, -EINVAL, "the fingerprint has %llu bytes where its head says %llu",
                       (unsigned long long)length,
                       (unsigned long long)mapped->file.head.file_length);
    if (rc == 0)
        rc = check_sections(mapped, parts, sums, &end, err);
    if (rc == 0)
        rc = lay_view(mapped, parts, err);
    if (rc == 0 && verify_order)
        rc = fingerprint_verify_order(&mapped->file.view, err);
    if (rc < 0)
        return rc;
    choose_witness(mapped, end);
    return 0;
}

int file_map(int fd, const char *path, unsigned parts, enum file_trust trust,
             struct fingerprint_file **ret_file, struct error *err)
{
    struct mapped *mapped = calloc(1, sizeof(*mapped));
    struct stat status = {0};
    int rc = 0;

    if (mapped == NULL)
        return error_set(err, -ENOMEM, "no memory for a fingerprint");
    if (path != NULL && (mapped->file.path = strdup(path)) == NULL)
        rc = error_set(err, -ENOMEM, "no memory");
    else if (fstat(fd, &status) < 0)
        rc = error_set(err, -errno, "%s", strerror(errno));
    else if (S_ISDIR(status.st_mode))
        rc = error_set(err, -EISDIR, "is a directory, no fingerprint");
    else if (!S_ISREG(status.st_mode))
        rc = error_set(err, -EINVAL, "is no regular file, so no fingerprint");
    else if (status.st_size == 0)
        rc = error_set(err, -EINVAL, "is empty, no fingerprint");
    if (rc == 0)
        rc = map_bytes(fd, (uint64_t)status.st_size, mapped, err);
    if (rc == 0)
        rc = take(mapped, parts, trust != FILE_TRUSTED, trust == FILE_VERIFIED, err);
    if (rc == 0) {
        /* The file may have been cut while it was looked at. */
        rc = fingerprint_file_check(&mapped->file, NULL);
        if (rc < 0)
            error_set(err, rc, "was cut short while it was read");
    }
    if (rc < 0) {
        mapped_free(mapped);
        return path != NULL ? error_prefix(err, rc, "%s", path) : rc;
    }
    *ret_file = &mapped->file;
    return 0;
}

/* ---- for everybody ---- */

/* A FIFO must not keep us waiting, nor a terminal become ours. */
static int open_quietly(const char *path)
{
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);

    return fd < 0 ? -errno : fd;
}

bool fingerprint_file_is(const char *path)
{
    CLEANUP(cleanup_close) int fd = open_quietly(path);
    char magic[sizeof(FORMAT_MAGIC) - 1];
    struct stat status;

    return fd >= 0 && fstat(fd, &status) == 0 && S_ISREG(status.st_mode) &&
           pread(fd, magic, sizeof(magic), 0) == (ssize_t)sizeof(magic) &&
           memcmp(magic, FORMAT_MAGIC, sizeof(magic)) == 0;
}

int fingerprint_file_open(const char *path, unsigned parts, bool verify_order,
                          struct fingerprint_file **ret_file, struct error *err)
{
    CLEANUP(cleanup_close) int fd = open_quietly(path);

    if (fd < 0)
        return error_set(err, fd, "%s: %s", path, strerror(-fd));
    if (verify_order && parts != FINGERPRINT_PART_ALL)
        return error_set(err, -EINVAL, "%s: only a whole fingerprint can be verified", path);
    return file_map(fd, path, parts, verify_order ? FILE_VERIFIED : FILE_CHECKED, ret_file, err);
}

void fingerprint_file_close(struct fingerprint_file *file)
{
    mapped_free((struct mapped *)file);
}

int fingerprint_file_check(const struct fingerprint_file *file, struct error *err)
{
    const struct mapped *mapped = (const struct mapped *)file;

    if (!file_guard_lost(mapped->guard) &&
        (!file_guard_is_installed() ||
         *(const volatile uint8_t *)(mapped->base + mapped->witness) == mapped->witness_value) &&
        !file_guard_lost(mapped->guard))
        return 0;
    return error_set(err, -EIO, "%s: the fingerprint was cut short while it was read",
                     file->path != NULL ? file->path : "a temporary file");
}

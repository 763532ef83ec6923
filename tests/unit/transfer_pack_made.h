/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A plan that sends pieces of made images, and a directory that takes the parts. */
#ifndef TRANSFER_PACK_MADE_H
#define TRANSFER_PACK_MADE_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "setmov/base_new_file.h"
#include "setmov/transfer_pack.h"

#define MADE_BLOCK  4096U
#define MADE_IMAGES 2
#define MADE_SIZE   (UINT64_C(8) << 20) /* of an image */

struct made {
    char directory[64];
    struct transfer_plan plan;
    struct transfer_image images_described[MADE_IMAGES];
    struct image *images[MADE_IMAGES];
    uint8_t *content[MADE_IMAGES];
    uint8_t key[DIGEST_KEY_BYTES];
    /* What the sink saw. */
    size_t parts;
    struct transfer_part part[64];
    struct digest *digests[64]; /* copies; NULL: none */
    size_t digest_counts[64];
    int fail_at;    /* number of the part at which the sink fails; -1: never */
    size_t stop_at; /* parts after which it is to stop */
    bool went_back;
    uint64_t told; /* of progress, last */
    uint64_t total;
};

/* Text-like: it compresses, and no two blocks are equal. */
static inline void made_fill(uint8_t *bytes, size_t length, uint32_t seed)
{
    for (size_t i = 0; i < length; i++) {
        if (i % 61 == 0)
            seed = seed * 1664525U + 1013904223U;
        bytes[i] =
            (uint8_t)("setmov moves blocks. "[i % 21] ^ (i % 61 < 12 ? seed >> (i % 24) : 0));
    }
}

static inline void made_image(struct made *made, size_t which)
{
    char path[96];
    struct image_options options = {.format = "raw"};
    struct new_file file = NEW_FILE_NONE;
    struct error err = {""};

    string_format(path, sizeof(path), "%s/image-%zu", made->directory, which);
    made->content[which] = malloc(MADE_SIZE);
    assert_non_null(made->content[which]);
    made_fill(made->content[which], MADE_SIZE, (uint32_t)which + 1);
    assert_int_equal(new_file_beside(path, &file, &err), 0);
    assert_int_equal(new_file_write(&file, made->content[which], MADE_SIZE, 0, &err), 0);
    assert_int_equal(new_file_publish(&file, &err), 0);
    new_file_release(&file);
    assert_int_equal(image_open(path, &options, &made->images[which], &err), 0);
    made->images_described[which].path = strdup(path);
    made->images_described[which].virtual_size = MADE_SIZE;
}

static inline void made_new(struct made *made)
{
    *made =
        (struct made){.directory = "/var/tmp/setmov-pack-XXXXXX", .fail_at = -1, .stop_at = 1000};
    assert_non_null(mkdtemp(made->directory));
    for (size_t i = 0; i < MADE_IMAGES; i++)
        made_image(made, i);
    made->plan.kind = DIGEST_SHA256;
    made->plan.block_size = MADE_BLOCK;
    made->plan.images = made->images_described;
    made->plan.image_count = MADE_IMAGES;
    memset(made->key, 7, sizeof(made->key));
}

static inline void made_extent(struct made *made, size_t which,
                               const struct transfer_extent *extent)
{
    struct transfer_image *image = &made->plan.images[which];

    assert_int_equal(array_reserve(&image->extents, &image->extent_capacity,
                                   image->extent_count + 1, sizeof(*image->extents)),
                     0);
    image->extents[image->extent_count++] = *extent;
}

static inline void made_send(struct made *made, size_t which, uint64_t offset, uint32_t length)
{
    made_extent(
        made, which,
        &(struct transfer_extent){
            .offset = offset, .length = length, .source = UINT32_MAX, .kind = TRANSFER_SENT});
}

/* The sink: parts become files of the directory. */
static inline int made_sink(void *context, const struct transfer_packed *packed, struct error *err)
{
    struct made *made = context;
    char name[TRANSFER_PART_NAME_BYTES], path[192];
    size_t number = made->parts;

    if (made->fail_at >= 0 && (size_t)made->fail_at == number)
        return error_set(err, -ENOSPC, "the line is cut");
    if (number >= ARRAY_LENGTH(made->part))
        return error_set(err, -EFBIG, "too many parts");
    made->part[number] = packed->part;
    made->digest_counts[number] = packed->digest_count;
    if (packed->digests != NULL) {
        made->digests[number] = calloc(packed->digest_count, sizeof(struct digest));
        if (made->digests[number] == NULL)
            return error_set(err, -ENOMEM, "out of memory");
        memcpy(made->digests[number], packed->digests,
               packed->digest_count * sizeof(struct digest));
    }
    made->parts++;
    transfer_part_name(packed->part.sha256, name);
    string_format(path, sizeof(path), "%s/%s", made->directory, name);
    return new_file_replace(path, packed->bytes, (size_t)packed->part.length, false, err);
}

static inline void made_progress(void *context, uint64_t done, uint64_t total)
{
    struct made *made = context;

    /* Threads run meanwhile: nothing may be left by a failing assertion here. */
    made->went_back = made->went_back || done < made->told || done > total;
    made->told = done;
    made->total = total;
}

static inline bool made_stopped(void *context)
{
    const struct made *made = context;

    return made->parts >= made->stop_at;
}

static inline struct transfer_pack_options made_options(struct made *made)
{
    return (struct transfer_pack_options){.level = 1,
                                          .part_bytes = 1 << 20,
                                          .threads = 3,
                                          .sink = made_sink,
                                          .progress = made_progress,
                                          .stopped = made_stopped,
                                          .context = made};
}

static inline void made_remove_files(const char *directory)
{
    DIR *stream = opendir(directory);
    const struct dirent *entry;

    assert_non_null(stream);
    while ((entry = readdir(stream)) != NULL)
        unlinkat(dirfd(stream), entry->d_name, 0);
    closedir(stream);
    rmdir(directory);
}

static inline void made_free(struct made *made)
{
    for (size_t i = 0; i < MADE_IMAGES; i++) {
        image_close(made->images[i]);
        free(made->content[i]);
        free(made->plan.images[i].path);
        free(made->plan.images[i].extents);
    }
    for (size_t i = 0; i < ARRAY_LENGTH(made->digests); i++)
        free(made->digests[i]);
    free(made->plan.parts);
    made_remove_files(made->directory);
}

#endif

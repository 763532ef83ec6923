/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A plan and its parts, for tests:
 *
 *   plan_tool INCOMING NAME UUID VM [PATH FORMAT CONTENT DONOR BACKING]...
 *
 * Writes NAME.plan and part-HEX into INCOMING and prints the SHA-256 of the plan.
 * Each image has the content of the raw file CONTENT: stretches that the raw image
 * DONOR has at the same place are copied from there, all others sent. "-": none.
 * An image with a BACKING one, which is an earlier one of the plan, is qcow2.
 * FORMAT,may-exist: one that is there may serve.
 */
#include "setmov/catalog.h"
#include "setmov/transfer_plan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>
#include <zstd.h>

#define STRETCH ((size_t)64 << 10)

static const char *incoming;

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "plan_tool: %s: %s\n", what, strerror(errno));
    exit(2);
}

static void *must(void *memory)
{
    if (memory == NULL)
        die("memory");
    return memory;
}

static void grow(void *array, size_t *capacity, size_t count, size_t size)
{
    if (array_reserve(array, capacity, count + 1, size) < 0)
        die("memory");
}

static struct file_buffer read_file(const char *path)
{
    struct file_buffer buffer = {NULL, 0, 0};

    if (strcmp(path, "-") != 0 && file_read(AT_FDCWD, path, &buffer) < 0)
        die(path);
    return buffer;
}

static void write_file(const char *name, const void *bytes, size_t length)
{
    char path[4096];
    FILE *file;

    string_format(path, sizeof(path), "%s/%s", incoming, name);
    file = fopen(path, "wb");
    if (file == NULL || fwrite(bytes, 1, length, file) != length || fclose(file) != 0)
        die(path);
}

static uint32_t take_donor(struct transfer_plan *plan, const char *path)
{
    CLEANUP(cleanup_free) char *resolved = must(realpath(path, NULL));
    struct transfer_donor donor;

    catalog_hash(resolved, donor.id);
    grow(&plan->donors, &plan->donor_capacity, plan->donor_count, sizeof(donor));
    plan->donors[plan->donor_count] = donor;
    return (uint32_t)plan->donor_count++;
}

static uint32_t add_part(struct transfer_plan *plan, const void *raw, size_t length)
{
    size_t room = ZSTD_compressBound(length);
    CLEANUP(cleanup_free) void *packed = must(malloc(room));
    struct transfer_part part = {.raw_length = length,
                                 .length = ZSTD_compress(packed, room, raw, length, 3)};
    char name[TRANSFER_PART_NAME_BYTES];

    transfer_sha256(packed, part.length, part.sha256);
    transfer_part_name(part.sha256, name);
    write_file(name, packed, part.length);
    grow(&plan->parts, &plan->part_capacity, plan->part_count, sizeof(part));
    plan->parts[plan->part_count] = part;
    return (uint32_t)plan->part_count++;
}

static uint64_t add_hash(struct transfer_plan *plan, const void *bytes, size_t length)
{
    grow(&plan->hashes, &plan->hash_capacity, plan->hash_count, sizeof(*plan->hashes));
    transfer_sha256(bytes, length, plan->hashes[plan->hash_count]);
    return plan->hash_count++;
}

static void add_extent(struct transfer_image *image, const struct transfer_extent *extent)
{
    grow(&image->extents, &image->extent_capacity, image->extent_count, sizeof(*extent));
    image->extents[image->extent_count++] = *extent;
}

static void cut(struct transfer_plan *plan, struct transfer_image *image,
                const struct file_buffer *content, const char *donor_path)
{
    CLEANUP(file_buffer_release) struct file_buffer donor = read_file(donor_path);
    uint32_t source = donor.length > 0 ? take_donor(plan, donor_path) : 0;
    CLEANUP(cleanup_free) char *sent = must(malloc(content->length + 1));
    size_t sent_length = 0, first = 0;

    for (size_t at = 0; at < content->length; at += STRETCH) {
        size_t left = content->length - at, length = left < STRETCH ? left : STRETCH;
        const char *bytes = content->bytes + at;
        struct transfer_extent extent = {
            .offset = at, .length = (uint32_t)length, .source = source};

        if (digest_is_zero(bytes, length))
            continue;
        if (at + length <= donor.length && memcmp(bytes, donor.bytes + at, length) == 0) {
            extent.kind = TRANSFER_COPY;
            extent.from = at;
            extent.hash = add_hash(plan, bytes, length);
        } else {
            extent.kind = TRANSFER_SENT;
            extent.from = sent_length;
            memcpy(sent + sent_length, bytes, length);
            sent_length += length;
        }
        add_extent(image, &extent);
    }
    source = sent_length > 0 ? add_part(plan, sent, sent_length) : 0;
    for (; first < image->extent_count; first++) {
        if (image->extents[first].kind == TRANSFER_SENT)
            image->extents[first].source = source;
    }
}

static void digest_content(struct transfer_image *image, const struct file_buffer *content)
{
    struct transfer_content all;

    if (transfer_content_init(&all, content->length) < 0)
        die("memory");
    for (size_t at = 0; at < content->length; at += TRANSFER_PIECE_BYTES) {
        size_t left = content->length - at;

        transfer_content_piece(&all, at / TRANSFER_PIECE_BYTES, content->bytes + at,
                               left < TRANSFER_PIECE_BYTES ? left : TRANSFER_PIECE_BYTES);
    }
    transfer_content_value(&all, image->content);
    transfer_content_release(&all);
}

static void add_image(struct transfer_plan *plan, char **words)
{
    CLEANUP(file_buffer_release) struct file_buffer content = read_file(words[2]);
    struct transfer_image image = {.path = must(strdup(words[0])),
                                   .format = must(strdup(words[1])),
                                   .virtual_size = content.length};
    char *comma = strchr(image.format, ',');

    if (comma != NULL) {
        image.may_exist = strcmp(comma, ",may-exist") == 0;
        *comma = '\0';
    }

    if (strcmp(words[4], "-") != 0) {
        image.backing = must(strdup(words[4]));
        image.backing_format = must(strdup("raw"));
    }
    cut(plan, &image, &content, words[3]);
    digest_content(&image, &content);
    grow(&plan->images, &plan->image_capacity, plan->image_count, sizeof(image));
    plan->images[plan->image_count++] = image;
}

int main(int count, char **words)
{
    struct transfer_plan plan = {.kind = DIGEST_SHA256, .block_size = 4096, .made_s = time(NULL)};
    uint8_t *bytes = NULL, sha256[TRANSFER_HASH_BYTES];
    struct error err = {""};
    size_t length = 0;
    char name[256];

    if (count < 5 || count % 5 != 0 || uuid_parse(words[3], &plan.vm) < 0) {
        fprintf(stderr, "usage: see the source\n");
        return 2;
    }
    incoming = words[1];
    plan.vm_name = must(strdup(words[4]));
    for (int i = 5; i < count; i += 5)
        add_image(&plan, words + i);
    if (transfer_plan_encode(&plan, &bytes, &length, &err) < 0) {
        fprintf(stderr, "plan_tool: %s\n", err.text);
        return 1;
    }
    string_format(name, sizeof(name), "%s" TRANSFER_PLAN_SUFFIX, words[2]);
    write_file(name, bytes, length);
    transfer_sha256(bytes, length, sha256);
    for (size_t i = 0; i < sizeof(sha256); i++)
        printf("%02x", sha256[i]);
    putchar('\n');
    free(bytes);
    transfer_plan_release(&plan);
    return 0;
}

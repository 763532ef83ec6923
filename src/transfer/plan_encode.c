/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A plan becomes a file. */
#include "transfer/plan_format.h"

#include <errno.h>
#include <zstd.h>

#include "setmov/fingerprint.h"

/* What costs seconds at the highest level is compressed at a lower one. */
#define SMALL_BODY   ((size_t)8 << 20)
#define SMALL_LEVEL  19
#define MEDIUM_BODY  ((size_t)64 << 20)
#define MEDIUM_LEVEL 12
#define LARGE_LEVEL  3

/* ---- bytes that are added at the end ---- */

struct bytes {
    uint8_t *at;
    size_t length, capacity;
    int failed; /* the first failure; nothing is added any more */
};

static void bytes_release(struct bytes *bytes)
{
    free(bytes->at);
}

static uint8_t *room(struct bytes *bytes, size_t length)
{
    uint8_t *at;

    if (bytes->failed == 0 && length > SIZE_MAX - bytes->length)
        bytes->failed = -ENOMEM;
    if (bytes->failed == 0)
        bytes->failed = array_reserve(&bytes->at, &bytes->capacity, bytes->length + length, 1);
    if (bytes->failed < 0)
        return NULL;
    at = bytes->at + bytes->length;
    bytes->length += length;
    return at;
}

static void add(struct bytes *bytes, const void *from, size_t length)
{
    uint8_t *at = room(bytes, length);

    if (at != NULL && length > 0)
        memcpy(at, from, length);
}

/* Seven bits a byte, the lowest first; the eighth: more follow. */
static void add_number(struct bytes *bytes, uint64_t value)
{
    uint8_t text[10];
    size_t length = 0;

    for (; value >= 0x80; value >>= 7)
        text[length++] = (uint8_t)(value | 0x80);
    text[length++] = (uint8_t)value;
    add(bytes, text, length);
}

/* In blocks where it is whole ones: the lowest bit tells. */
static void add_bytes_number(struct bytes *bytes, uint64_t value, uint32_t block_size)
{
    if (value % block_size == 0)
        add_number(bytes, value / block_size << 1);
    else
        add_number(bytes, value << 1 | 1);
}

static void add_difference(struct bytes *bytes, uint64_t difference, uint32_t block_size)
{
    /* Block sizes are powers of two, so this holds of negative ones as well. */
    if (difference % block_size == 0)
        add_number(bytes, plan_zigzag((uint64_t)((int64_t)difference / (int64_t)block_size)) << 1);
    else
        add_number(bytes, plan_zigzag(difference) << 1 | 1);
}

static void add_text(struct bytes *bytes, const char *text)
{
    add_number(bytes, strlen(text));
    add(bytes, text, strlen(text));
}

/* ---- the body ---- */

static void add_image(struct bytes *body, const struct transfer_image *image)
{
    unsigned flags = (image->settings != NULL ? PLAN_IMAGE_SETTINGS : 0U) |
                     (image->backing != NULL ? PLAN_IMAGE_BACKING : 0U) |
                     (image->may_exist ? PLAN_IMAGE_MAY_EXIST : 0U);

    add_number(body, flags);
    add_number(body, image->virtual_size);
    add_number(body, image->extent_count);
    add_text(body, image->path);
    add_text(body, image->format);
    if (image->settings != NULL)
        add_text(body, image->settings);
    if (image->backing != NULL) {
        add_text(body, image->backing);
        add_text(body, image->backing_format);
    }
}

static void add_head(struct bytes *body, const struct transfer_plan *plan)
{
    add(body, plan->vm.bytes, sizeof(plan->vm.bytes));
    add(body, plan->key_id, sizeof(plan->key_id));
    add_number(body, plan_zigzag((uint64_t)plan->made_s));
    add_number(body, (uint64_t)plan->kind);
    add_number(body, plan->block_size);
    add_number(body, plan->donor_count);
    add_number(body, plan->part_count);
    add_number(body, plan->image_count);
    add_text(body, plan->vm_name);
    for (size_t i = 0; i < plan->part_count; i++) {
        add_number(body, plan->parts[i].length);
        add_number(body, plan->parts[i].raw_length);
    }
    for (size_t i = 0; i < plan->image_count; i++)
        add_image(body, &plan->images[i]);
}

static void add_extent(struct bytes columns[PLAN_COLUMNS], const struct transfer_extent *extent,
                       uint64_t end_before, uint32_t block_size, struct plan_guess *guess)
{
    uint64_t blocks = extent->length / block_size, expected = plan_guess_from(guess, extent);
    unsigned tag = (unsigned)extent->kind;

    if (extent->offset != end_before) {
        tag |= PLAN_TAG_GAP;
        add_bytes_number(&columns[PLAN_GAPS], extent->offset - end_before, block_size);
    }
    if (extent->source != guess->sources[extent->kind]) {
        tag |= PLAN_TAG_SOURCE;
        add_number(&columns[PLAN_SOURCES], extent->source);
    }
    if (extent->kind != TRANSFER_ZERO && extent->from != expected) {
        tag |= PLAN_TAG_FROM;
        add_difference(&columns[PLAN_FROMS], extent->from - expected, block_size);
    }
    if (extent->length % block_size == 0 && blocks <= UINT8_MAX / PLAN_TAG_BLOCKS)
        tag |= (unsigned)blocks * PLAN_TAG_BLOCKS;
    else
        add_bytes_number(&columns[PLAN_LENGTHS], extent->length, block_size);
    add(&columns[PLAN_TAGS], &(uint8_t){(uint8_t)tag}, 1);
    plan_guess_learn(guess, extent);
}

static void add_extents(struct bytes *body, const struct transfer_plan *plan, size_t number,
                        struct plan_guess *guess)
{
    const struct transfer_image *image = &plan->images[number];
    struct bytes columns[PLAN_COLUMNS] = {0};
    uint64_t end = 0;

    plan_guess_restart(guess);
    for (size_t i = 0; i < image->extent_count; i++) {
        add_extent(columns, &image->extents[i], end, plan->block_size, guess);
        end = image->extents[i].offset + image->extents[i].length;
    }
    /* There are as many tags as extents. */
    for (size_t i = PLAN_GAPS; i < PLAN_COLUMNS; i++)
        add_number(body, columns[i].length);
    for (size_t i = 0; i < PLAN_COLUMNS; i++) {
        add(body, columns[i].at, columns[i].length);
        if (columns[i].failed < 0)
            body->failed = columns[i].failed;
        bytes_release(&columns[i]);
    }
}

static int make_body(const struct transfer_plan *plan, struct bytes *body)
{
    struct plan_guess guess;

    add_head(body, plan);
    if (plan_guess_init(&guess, plan) < 0)
        return -ENOMEM;
    for (size_t i = 0; i < plan->image_count; i++)
        add_extents(body, plan, i, &guess);
    plan_guess_release(&guess);
    return body->failed;
}

/* ---- what does not compress ---- */

static void add_id(struct bytes *file, const char *id)
{
    uint8_t bytes[PLAN_ID_BYTES];

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(hexadecimal_digit(id[2 * i]) << 4 | hexadecimal_digit(id[2 * i + 1]));
    add(file, bytes, sizeof(bytes));
}

/* Returns how many hashes of extents there are: one for each that is copied, in their order. */
static uint64_t add_hashes(struct bytes *file, const struct transfer_plan *plan)
{
    uint64_t count = 0;

    for (size_t i = 0; i < plan->donor_count; i++)
        add_id(file, plan->donors[i].id);
    for (size_t i = 0; i < plan->part_count; i++)
        add(file, plan->parts[i].sha256, TRANSFER_HASH_BYTES);
    for (size_t i = 0; i < plan->image_count; i++)
        add(file, plan->images[i].content, TRANSFER_HASH_BYTES);
    for (size_t i = 0; i < plan->image_count; i++) {
        const struct transfer_image *image = &plan->images[i];

        for (size_t j = 0; j < image->extent_count; j++) {
            if (image->extents[j].kind != TRANSFER_COPY)
                continue;
            add(file, plan->hashes[image->extents[j].hash], TRANSFER_HASH_BYTES);
            count++;
        }
    }
    return count;
}

/* ---- the file ---- */

static int level_of(size_t length)
{
    if (length <= SMALL_BODY)
        return SMALL_LEVEL;
    return length <= MEDIUM_BODY ? MEDIUM_LEVEL : LARGE_LEVEL;
}

static int pack(struct bytes *file, const struct bytes *body, struct error *err)
{
    size_t most = ZSTD_compressBound(body->length), start = file->length, length;
    uint8_t *at = room(file, most);

    if (at == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    length = ZSTD_compress(at, most, body->at, body->length, level_of(body->length));
    if (ZSTD_isError(length))
        return error_set(err, -ENOMEM, "zstd: %s", ZSTD_getErrorName(length));
    file->length = start + length;
    return 0;
}

static void seal(struct bytes *file, size_t body, size_t packed, uint64_t hashes)
{
    struct fingerprint_checksum sum;
    uint8_t *head = file->at;

    memset(head, 0, PLAN_HEAD_BYTES);
    memcpy(head + PLAN_AT_MAGIC, PLAN_MAGIC, strlen(PLAN_MAGIC));
    put_u32(head + PLAN_AT_VERSION, PLAN_VERSION);
    put_u64(head + PLAN_AT_LENGTH, file->length);
    put_u64(head + PLAN_AT_BODY, body);
    put_u64(head + PLAN_AT_PACKED, packed);
    put_u64(head + PLAN_AT_HASHES, hashes);
    fingerprint_checksum_init(&sum);
    fingerprint_checksum_add(&sum, head, PLAN_AT_CHECKSUM);
    fingerprint_checksum_add(&sum, head + PLAN_HEAD_BYTES, file->length - PLAN_HEAD_BYTES);
    put_u64(head + PLAN_AT_CHECKSUM, fingerprint_checksum_value(&sum));
}

int transfer_plan_encode(const struct transfer_plan *plan, uint8_t **ret_bytes, size_t *ret_length,
                         struct error *err)
{
    CLEANUP(bytes_release) struct bytes body = {0};
    CLEANUP(bytes_release) struct bytes file = {0};
    size_t packed;
    uint64_t hashes;
    int rc = plan_check(plan, err);

    if (rc < 0)
        return error_prefix(err, rc, "a plan that cannot be written");
    if (make_body(plan, &body) < 0 || room(&file, PLAN_HEAD_BYTES) == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    if (body.length > TRANSFER_PLAN_MAX_BYTES)
        return error_set(err, -EFBIG, "the plan is too large");
    rc = pack(&file, &body, err);
    if (rc < 0)
        return rc;
    packed = file.length - PLAN_HEAD_BYTES;
    hashes = add_hashes(&file, plan);
    if (file.failed < 0)
        return error_set(err, -ENOMEM, "out of memory");
    if (file.length > TRANSFER_PLAN_MAX_BYTES)
        return error_set(err, -EFBIG, "the plan is too large: %zu bytes", file.length);
    seal(&file, body.length, packed, hashes);
    *ret_bytes = file.at;
    *ret_length = file.length;
    file.at = NULL;
    return 0;
}

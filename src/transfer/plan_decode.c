/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A plan file, perhaps an enemy's, becomes a plan. */
#include "transfer/plan_format.h"

#include <errno.h>
#include <inttypes.h>
#include <zstd.h>

#include "setmov/fingerprint.h"

/* ---- bytes that are taken from the front ---- */

struct bytes {
    const uint8_t *at, *end;
    bool failed; /* something was not there; zeroes are taken instead */
};

static size_t left(const struct bytes *bytes)
{
    return (size_t)(bytes->end - bytes->at);
}

static const uint8_t *take(struct bytes *bytes, size_t length)
{
    const uint8_t *at = bytes->at;

    if (length > left(bytes)) {
        bytes->failed = true;
        return NULL;
    }
    bytes->at += length;
    return at;
}

static uint64_t take_number(struct bytes *bytes)
{
    uint64_t value = 0;

    for (unsigned shift = 0; shift < 64 && bytes->at < bytes->end; shift += 7) {
        uint64_t byte = *bytes->at++;

        if (shift == 63 && byte > 1)
            break;
        value |= (byte & 0x7f) << shift;
        if (byte < 0x80)
            return value;
    }
    bytes->failed = true;
    return 0;
}

/* Bytes, which may stand there in blocks. */
static uint64_t take_bytes_number(struct bytes *bytes, uint32_t block_size)
{
    uint64_t value = take_number(bytes);

    if ((value & 1) != 0)
        return value >> 1;
    if (value >> 1 > UINT64_MAX / block_size) {
        bytes->failed = true;
        return 0;
    }
    return (value >> 1) * block_size;
}

static uint64_t take_difference(struct bytes *bytes, uint32_t block_size)
{
    uint64_t value = take_number(bytes);

    /* Modulo 2^64; what comes of it is checked. */
    return plan_unzigzag(value >> 1) * ((value & 1) != 0 ? 1 : block_size);
}

/* NULL: it is too long, or not there, or no memory. */
static char *take_text(struct bytes *bytes, size_t most)
{
    uint64_t length = take_number(bytes);
    const uint8_t *at = length <= most ? take(bytes, (size_t)length) : NULL;

    if (at == NULL || memchr(at, 0, (size_t)length) != NULL) {
        bytes->failed = true;
        return NULL;
    }
    return strndup((const char *)at, (size_t)length);
}

/* ---- the head ---- */

struct head {
    uint64_t body, packed, hashes;
};

/* A few bytes can be a frame of a body as long as may be. */
static int spend(uint64_t *memory, uint64_t bytes, struct error *err)
{
    if (bytes > *memory)
        return error_set(err, -ENOMEM, "is too large for the memory of this host");
    *memory -= bytes;
    return 0;
}

static int take_head(const uint8_t *bytes, size_t length, struct head *ret_head, struct error *err)
{
    struct fingerprint_checksum sum;

    if (length > TRANSFER_PLAN_MAX_BYTES)
        return error_set(err, -EFBIG, "is too large for a plan: %zu bytes", length);
    if (length < PLAN_HEAD_BYTES || memcmp(bytes, PLAN_MAGIC, strlen(PLAN_MAGIC)) != 0)
        return error_set(err, -EINVAL, "is no plan of a transfer");
    if (get_u32(bytes + PLAN_AT_VERSION) != PLAN_VERSION)
        return error_set(err, -ENOTSUP,
                         "is a plan of version %" PRIu32 ", this program reads version %d",
                         get_u32(bytes + PLAN_AT_VERSION), PLAN_VERSION);
    if (get_u64(bytes + PLAN_AT_LENGTH) != length)
        return error_set(err, -EINVAL, "has %zu bytes where its head says %" PRIu64, length,
                         get_u64(bytes + PLAN_AT_LENGTH));
    fingerprint_checksum_init(&sum);
    fingerprint_checksum_add(&sum, bytes, PLAN_AT_CHECKSUM);
    fingerprint_checksum_add(&sum, bytes + PLAN_HEAD_BYTES, length - PLAN_HEAD_BYTES);
    if (get_u64(bytes + PLAN_AT_CHECKSUM) != fingerprint_checksum_value(&sum))
        return error_set(err, -EINVAL, "is damaged: its checksum is another");
    *ret_head = (struct head){get_u64(bytes + PLAN_AT_BODY), get_u64(bytes + PLAN_AT_PACKED),
                              get_u64(bytes + PLAN_AT_HASHES)};
    if (get_u32(bytes + PLAN_AT_FLAGS) != 0 || get_u64(bytes + PLAN_AT_RESERVED) != 0 ||
        ret_head->packed > length - PLAN_HEAD_BYTES ||
        ret_head->hashes > length / TRANSFER_HASH_BYTES)
        return error_set(err, -EINVAL, "has a head that does not hold");
    if (ret_head->body > TRANSFER_PLAN_MAX_BYTES)
        return error_set(err, -EFBIG, "is too large: %" PRIu64 " bytes, decompressed",
                         ret_head->body);
    return 0;
}

static int unpack(const uint8_t *packed, const struct head *head, uint8_t **ret_body,
                  struct error *err)
{
    uint8_t *body;
    size_t length;

    if (ZSTD_getFrameContentSize(packed, head->packed) != head->body ||
        ZSTD_findFrameCompressedSize(packed, head->packed) != head->packed)
        return error_set(err, -EINVAL, "has a body that is not what its head says");
    body = malloc(head->body + 1);
    if (body == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    length = ZSTD_decompress(body, head->body, packed, head->packed);
    if (ZSTD_isError(length) || length != head->body) {
        free(body);
        return error_set(err, -EINVAL, "has a body that does not decompress: %s",
                         ZSTD_isError(length) ? ZSTD_getErrorName(length) : "it is shorter");
    }
    *ret_body = body;
    return 0;
}

/* ---- the body ---- */

/* Of each there is a byte at least behind `bytes`, or a hash. */
static int make_room(struct transfer_plan *plan, uint64_t donors, uint64_t parts, uint64_t images,
                     struct error *err)
{
    if (donors > TRANSFER_PLAN_MAX_DONORS || parts > TRANSFER_PLAN_MAX_PARTS ||
        images > TRANSFER_PLAN_MAX_IMAGES)
        return error_set(err, -EFBIG,
                         "has %" PRIu64 " donors, %" PRIu64 " parts and %" PRIu64
                         " images, which is too many",
                         donors, parts, images);
    plan->donors = calloc((size_t)donors + 1, sizeof(*plan->donors));
    plan->parts = calloc((size_t)parts + 1, sizeof(*plan->parts));
    plan->images = calloc((size_t)images + 1, sizeof(*plan->images));
    if (plan->donors == NULL || plan->parts == NULL || plan->images == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    plan->donor_count = plan->donor_capacity = (size_t)donors;
    plan->part_count = plan->part_capacity = (size_t)parts;
    plan->image_count = plan->image_capacity = (size_t)images;
    return 0;
}

static void take_image(struct bytes *body, struct transfer_image *image)
{
    uint64_t flags = take_number(body);

    image->may_exist = (flags & PLAN_IMAGE_MAY_EXIST) != 0;
    image->virtual_size = take_number(body);
    image->extent_count = take_number(body);
    image->path = take_text(body, PLAN_PATH_MAX);
    image->format = take_text(body, PLAN_FORMAT_MAX);
    if ((flags & PLAN_IMAGE_SETTINGS) != 0)
        image->settings = take_text(body, PLAN_SETTINGS_MAX);
    if ((flags & PLAN_IMAGE_BACKING) != 0) {
        image->backing = take_text(body, PLAN_PATH_MAX);
        image->backing_format = take_text(body, PLAN_FORMAT_MAX);
    }
    if (flags > PLAN_IMAGE_FLAGS)
        body->failed = true;
}

static int take_body_head(struct bytes *body, struct transfer_plan *plan, struct error *err)
{
    const uint8_t *vm = take(body, sizeof(plan->vm.bytes));
    const uint8_t *key_id = take(body, sizeof(plan->key_id));
    uint64_t kind, block_size, donors, parts, images;
    int rc;

    if (vm != NULL && key_id != NULL) {
        memcpy(plan->vm.bytes, vm, sizeof(plan->vm.bytes));
        memcpy(plan->key_id, key_id, sizeof(plan->key_id));
    }
    plan->made_s = (int64_t)plan_unzigzag(take_number(body));
    kind = take_number(body);
    block_size = take_number(body);
    donors = take_number(body);
    parts = take_number(body);
    images = take_number(body);
    if (kind > DIGEST_KEYED_SHA256 || block_size > DIGEST_BLOCK_MAX)
        return error_set(err, -EINVAL, "has no digest or block size that there is");
    plan->kind = (enum digest_kind)kind;
    plan->block_size = (uint32_t)block_size;
    rc = make_room(plan, donors, parts, images, err);
    if (rc < 0)
        return rc;
    plan->vm_name = take_text(body, PLAN_NAME_MAX);
    for (size_t i = 0; i < plan->part_count; i++) {
        plan->parts[i].length = take_number(body);
        plan->parts[i].raw_length = take_number(body);
    }
    for (size_t i = 0; i < plan->image_count && !body->failed; i++)
        take_image(body, &plan->images[i]);
    return 0;
}

/* ---- extents ---- */

/* False: it is nonsense that cannot even be looked at closer. */
static bool take_extent(struct bytes columns[PLAN_COLUMNS], uint64_t end_before,
                        const struct transfer_plan *plan, struct plan_guess *guess,
                        struct transfer_extent *extent)
{
    unsigned tag = *columns[PLAN_TAGS].at++;
    uint64_t source, gap = 0, length;

    extent->kind = (enum transfer_kind)(tag & PLAN_TAG_KIND);
    source = guess->sources[extent->kind];
    if ((tag & PLAN_TAG_GAP) != 0)
        gap = take_bytes_number(&columns[PLAN_GAPS], plan->block_size);
    if ((tag & PLAN_TAG_SOURCE) != 0)
        source = take_number(&columns[PLAN_SOURCES]);
    length = (uint64_t)(tag / PLAN_TAG_BLOCKS) * plan->block_size;
    if (length == 0)
        length = take_bytes_number(&columns[PLAN_LENGTHS], plan->block_size);
    if (gap > PLAN_PLACE_MAX || length == 0 || length > TRANSFER_PIECE_BYTES ||
        (extent->kind != TRANSFER_ZERO && source >= guess->shift_counts[extent->kind]))
        return false;
    extent->offset = end_before + gap;
    extent->length = (uint32_t)length;
    extent->source = (uint32_t)source;
    if (extent->kind == TRANSFER_ZERO)
        return (tag & (PLAN_TAG_SOURCE | PLAN_TAG_FROM)) == 0 && extent->offset < PLAN_PLACE_MAX;
    extent->from = plan_guess_from(guess, extent);
    if ((tag & PLAN_TAG_FROM) != 0)
        extent->from += take_difference(&columns[PLAN_FROMS], plan->block_size);
    plan_guess_learn(guess, extent);
    return extent->offset < PLAN_PLACE_MAX && extent->from < PLAN_PLACE_MAX;
}

static bool take_columns(struct bytes *body, size_t tags, struct bytes columns[PLAN_COLUMNS])
{
    uint64_t lengths[PLAN_COLUMNS] = {tags};

    for (size_t i = PLAN_GAPS; i < PLAN_COLUMNS; i++)
        lengths[i] = take_number(body);
    for (size_t i = 0; i < PLAN_COLUMNS; i++) {
        const uint8_t *at = lengths[i] <= left(body) ? take(body, (size_t)lengths[i]) : NULL;

        if (at == NULL)
            return false;
        columns[i] = (struct bytes){at, at + lengths[i], false};
    }
    return !body->failed;
}

static int take_extents(struct bytes *body, struct transfer_plan *plan,
                        struct transfer_image *image, struct plan_guess *guess, struct error *err)
{
    struct bytes columns[PLAN_COLUMNS];
    size_t count = image->extent_count;
    uint64_t end = 0;

    if (!take_columns(body, count, columns))
        return error_set(err, -EINVAL, "ends before its extents do");
    image->extents = calloc(count + 1, sizeof(*image->extents));
    if (image->extents == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    image->extent_capacity = count + 1;
    plan_guess_restart(guess);
    for (size_t i = 0; i < count; i++) {
        struct transfer_extent *extent = &image->extents[i];

        if (!take_extent(columns, end, plan, guess, extent))
            return error_set(err, -EINVAL, "has an extent that cannot be: number %zu", i);
        if (extent->kind == TRANSFER_COPY)
            extent->hash = plan->hash_count++;
        end = extent->offset + extent->length;
    }
    for (size_t i = 0; i < PLAN_COLUMNS; i++) {
        if (columns[i].failed || columns[i].at != columns[i].end)
            return error_set(err, -EINVAL, "has extents that do not fit together");
    }
    return 0;
}

static int take_all_extents(struct bytes *body, struct transfer_plan *plan, uint64_t *memory,
                            struct error *err)
{
    struct plan_guess guess;
    uint64_t extents = 0;
    int rc;

    for (size_t i = 0; i < plan->image_count; i++) {
        if (plan->images[i].extent_count > TRANSFER_PLAN_MAX_EXTENTS ||
            (extents += plan->images[i].extent_count) > TRANSFER_PLAN_MAX_EXTENTS)
            return error_set(err, -EFBIG, "has too many extents");
    }
    rc = spend(memory, extents * sizeof(struct transfer_extent), err);
    if (rc < 0)
        return rc;
    if (plan_guess_init(&guess, plan) < 0)
        return error_set(err, -ENOMEM, "out of memory");
    for (size_t i = 0; i < plan->image_count && rc == 0; i++)
        rc = take_extents(body, plan, &plan->images[i], &guess, err);
    plan_guess_release(&guess);
    if (rc == 0 && left(body) > 0)
        return error_set(err, -EINVAL, "has %zu bytes behind its extents", left(body));
    return rc;
}

/* ---- what does not compress ---- */

static void take_id(struct bytes *rest, char ret_id[33])
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *bytes = take(rest, PLAN_ID_BYTES);

    for (size_t i = 0; i < PLAN_ID_BYTES && bytes != NULL; i++) {
        ret_id[2 * i] = digits[bytes[i] >> 4];
        ret_id[2 * i + 1] = digits[bytes[i] & 15];
    }
}

static void take_hash(struct bytes *rest, uint8_t ret_hash[TRANSFER_HASH_BYTES])
{
    const uint8_t *bytes = take(rest, TRANSFER_HASH_BYTES);

    if (bytes != NULL)
        memcpy(ret_hash, bytes, TRANSFER_HASH_BYTES);
}

static int take_hashes(struct bytes *rest, struct transfer_plan *plan, uint64_t hashes,
                       struct error *err)
{
    size_t needed = plan->donor_count * PLAN_ID_BYTES +
                    (plan->part_count + plan->image_count + plan->hash_count) * TRANSFER_HASH_BYTES;

    if (hashes != plan->hash_count || left(rest) != needed)
        return error_set(err, -EINVAL, "has not as many hashes as it needs");
    plan->hashes = calloc(plan->hash_count + 1, TRANSFER_HASH_BYTES);
    if (plan->hashes == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    plan->hash_capacity = plan->hash_count + 1;
    for (size_t i = 0; i < plan->donor_count; i++)
        take_id(rest, plan->donors[i].id);
    for (size_t i = 0; i < plan->part_count; i++)
        take_hash(rest, plan->parts[i].sha256);
    for (size_t i = 0; i < plan->image_count; i++)
        take_hash(rest, plan->images[i].content);
    for (size_t i = 0; i < plan->hash_count; i++)
        take_hash(rest, plan->hashes[i]);
    return 0;
}

/* ---- the file ---- */

static int take_plan(const uint8_t *bytes, size_t length, uint64_t memory,
                     struct transfer_plan *plan, struct error *err)
{
    CLEANUP(cleanup_free) uint8_t *unpacked = NULL;
    struct bytes body, rest;
    struct head head = {0};
    int rc = take_head(bytes, length, &head, err);

    /* The hashes lie in the file, too, and are copied. */
    if (rc == 0)
        rc = spend(&memory, length + head.body + head.hashes * TRANSFER_HASH_BYTES, err);
    if (rc == 0)
        rc = unpack(bytes + PLAN_HEAD_BYTES, &head, &unpacked, err);
    if (rc < 0)
        return rc;
    body = (struct bytes){unpacked, unpacked + head.body, false};
    rest = (struct bytes){bytes + PLAN_HEAD_BYTES + head.packed, bytes + length, false};
    rc = take_body_head(&body, plan, err);
    if (rc < 0)
        return rc;
    if (body.failed)
        return error_set(err, -EINVAL, "has texts or numbers that are none");
    /* The extents are reckoned in its blocks. */
    rc = plan_check_head(plan, err);
    if (rc < 0)
        return rc;
    rc = take_all_extents(&body, plan, &memory, err);
    if (rc == 0)
        rc = take_hashes(&rest, plan, head.hashes, err);
    return rc == 0 ? plan_check(plan, err) : rc;
}

int transfer_plan_decode_within(const void *bytes, size_t length, const char *what, uint64_t memory,
                                struct transfer_plan *ret_plan, struct error *err)
{
    struct transfer_plan plan = {0};
    int rc = take_plan(bytes, length, memory, &plan, err);

    if (rc < 0) {
        transfer_plan_release(&plan);
        return error_prefix(err, rc, "%s", what);
    }
    *ret_plan = plan;
    return 0;
}

int transfer_plan_decode(const void *bytes, size_t length, const char *what,
                         struct transfer_plan *ret_plan, struct error *err)
{
    return transfer_plan_decode_within(bytes, length, what, UINT64_MAX, ret_plan, err);
}

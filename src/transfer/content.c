/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SHA-256 of an image's content, over the SHA-256 of its pieces. */
#include "setmov/base_bytes.h"
#include "setmov/transfer_plan.h"

#include <errno.h>

static const uint8_t zeroes[4096];

static void hash_zeroes(uint64_t length, uint8_t ret_hash[TRANSFER_HASH_BYTES])
{
    struct digest_content content;

    digest_content_init(&content);
    for (uint64_t left = length; left > 0;) {
        size_t now = left < sizeof(zeroes) ? (size_t)left : sizeof(zeroes);

        digest_content_add(&content, zeroes, now);
        left -= now;
    }
    digest_content_value(&content, ret_hash);
}

int transfer_content_init(struct transfer_content *content, uint64_t virtual_size)
{
    uint64_t count = virtual_size / TRANSFER_PIECE_BYTES,
             rest = virtual_size % TRANSFER_PIECE_BYTES;
    uint8_t hash[TRANSFER_HASH_BYTES];
    uint8_t(*pieces)[TRANSFER_HASH_BYTES];

    if (count >= SIZE_MAX / TRANSFER_HASH_BYTES - 1)
        return -ENOMEM;
    pieces = reallocarray(NULL, (size_t)count + 1, TRANSFER_HASH_BYTES);
    if (pieces == NULL)
        return -ENOMEM;
    if (count > 0)
        hash_zeroes(TRANSFER_PIECE_BYTES, hash);
    for (uint64_t i = 0; i < count; i++)
        memcpy(pieces[i], hash, sizeof(hash));
    if (rest > 0)
        hash_zeroes(rest, pieces[count]);
    *content = (struct transfer_content){virtual_size, pieces, (size_t)count + (rest > 0)};
    return 0;
}

void transfer_content_piece(struct transfer_content *content, size_t piece, const void *bytes,
                            size_t length)
{
    transfer_sha256(bytes, length, content->pieces[piece]);
}

void transfer_content_value(const struct transfer_content *content,
                            uint8_t ret_value[TRANSFER_HASH_BYTES])
{
    struct digest_content sum;
    uint8_t size[8];

    put_u64(size, content->virtual_size);
    digest_content_init(&sum);
    digest_content_add(&sum, content->pieces, content->count * TRANSFER_HASH_BYTES);
    digest_content_add(&sum, size, sizeof(size));
    digest_content_value(&sum, ret_value);
}

void transfer_content_release(struct transfer_content *content)
{
    free(content->pieces);
    *content = (struct transfer_content){0};
}

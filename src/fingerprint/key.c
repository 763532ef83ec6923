/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which key a fingerprint was made with, told without telling the key. Pure. */
#include "setmov/fingerprint.h"

void fingerprint_key_id(const uint8_t key[DIGEST_KEY_BYTES], uint8_t ret_id[8])
{
    /* The same for all block sizes. */
    static const uint8_t block[DIGEST_BLOCK_MIN] = "setmov: which key is this?";
    struct digest_plan plan;
    struct digest digest;

    digest_plan_init(&plan, DIGEST_KEYED_SHA256, sizeof(block), key, NULL);
    digest_blocks(&plan, block, 1, &digest);
    memcpy(ret_id, digest.bytes, 8);
}

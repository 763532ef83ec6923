/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How small zstd makes what is sent, from a sample of it. */
#include "setmov/transfer.h"
#include "transfer/level.h"

#include <errno.h>
#include <math.h>
#include <zstd.h>

#define OUTPUT_BYTES   ((size_t)64 << 10)
#define LIMIT          ((uint64_t)64 << 20)
#define LIMIT_OF_SLOW  ((uint64_t)8 << 20) /* from level 10 on zstd is ten times slower */
#define LEAST_OF_SLOWS 10

/* ---- the sample ----------------------------------------------------------------- */

struct transfer_sample transfer_sample_of(uint64_t total, uint32_t block_size, uint64_t limit_bytes)
{
    uint64_t run_blocks = TRANSFER_RUN_BYTES / block_size, limit = limit_bytes / block_size;
    struct transfer_sample sample = {.total = total, .runs = 1, .run_blocks = total};

    if (total <= limit)
        return sample;
    /* A disk that is a small part of the VM gets less than a whole run. */
    if (run_blocks > limit)
        run_blocks = limit;
    if (run_blocks == 0)
        run_blocks = 1;
    sample.run_blocks = run_blocks;
    sample.runs = limit > run_blocks ? limit / run_blocks : 1;
    return sample;
}

uint64_t transfer_sample_start(const struct transfer_sample *sample, uint64_t i)
{
    if (sample->runs <= 1)
        return 0;
    /* The last one ends with the last block. */
    return (uint64_t)((unsigned __int128)(sample->total - sample->run_blocks) * i /
                      (sample->runs - 1));
}

uint64_t transfer_sample_limit(int level)
{
    return level < LEAST_OF_SLOWS ? LIMIT : LIMIT_OF_SLOW;
}

/* ---- compressing -------------------------------------------------------------------- */

struct transfer_estimator {
    ZSTD_CCtx *context;
    uint64_t in, out;
    uint8_t output[OUTPUT_BYTES]; /* is not kept */
};

static int fail(size_t code, struct error *err)
{
    return error_set(err, -EINVAL, "zstd: %s", ZSTD_getErrorName(code));
}

int transfer_estimator_new(int level, struct transfer_estimator **ret_estimator, struct error *err)
{
    struct transfer_estimator *estimator = calloc(1, sizeof(*estimator));
    size_t code;

    if (estimator != NULL)
        estimator->context = ZSTD_createCCtx();
    if (estimator == NULL || estimator->context == NULL) {
        transfer_estimator_free(estimator);
        return error_set(err, -ENOMEM, "out of memory");
    }
    code = transfer_level_set(estimator->context, level);
    if (ZSTD_isError(code)) {
        transfer_estimator_free(estimator);
        return fail(code, err);
    }
    *ret_estimator = estimator;
    return 0;
}

void transfer_estimator_free(struct transfer_estimator *estimator)
{
    if (estimator == NULL)
        return;
    ZSTD_freeCCtx(estimator->context);
    free(estimator);
}

static int feed(struct transfer_estimator *estimator, const void *bytes, size_t length,
                ZSTD_EndDirective directive, struct error *err)
{
    ZSTD_inBuffer input = {bytes, length, 0};
    size_t left;

    do {
        ZSTD_outBuffer output = {estimator->output, sizeof(estimator->output), 0};

        left = ZSTD_compressStream2(estimator->context, &output, &input, directive);
        if (ZSTD_isError(left))
            return fail(left, err);
        estimator->out += output.pos;
    } while (input.pos < input.size || (directive == ZSTD_e_end && left > 0));
    estimator->in += length;
    return 0;
}

int transfer_estimator_add(struct transfer_estimator *estimator, const void *bytes, size_t length,
                           struct error *err)
{
    return feed(estimator, bytes, length, ZSTD_e_continue, err);
}

int transfer_estimator_finish(struct transfer_estimator *estimator, uint64_t total_bytes,
                              uint64_t *ret_bytes, struct error *err)
{
    int rc;

    if (estimator->in == 0) {
        *ret_bytes = total_bytes;
        return 0;
    }
    rc = feed(estimator, NULL, 0, ZSTD_e_end, err);
    if (rc == 0)
        *ret_bytes =
            (uint64_t)ceil((double)total_bytes * (double)estimator->out / (double)estimator->in);
    return rc;
}

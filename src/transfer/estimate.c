/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How small zstd makes what is sent, from a sample of it. */
#include "setmov/transfer.h"
#include "transfer/level.h"

#include <errno.h>
#include <math.h>
#include <zstd.h>

#define OUTPUT_BYTES ((size_t)64 << 10)
#define LIMIT        ((uint64_t)256 << 20)

/*
 * What a high level makes of all is told from what level 3 makes of all, and both
 * make of a few short runs: what an image is made of differs much from place to
 * place, what a higher level gains on it little.
 */
#define ALL_LEVEL       3
#define SLOW_BYTES      ((uint64_t)8 << 20)
#define SLOW_RUN        ((uint64_t)256 << 10)
#define SLOW_WINDOW_LOG 24

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

uint64_t transfer_sample_limit(void)
{
    return LIMIT;
}

/* ---- compressing -------------------------------------------------------------------- */

struct stream {
    ZSTD_CCtx *context;
    uint64_t in, out;
};

struct transfer_estimator {
    struct stream all;
    struct stream few[2]; /* by ALL_LEVEL, and by the level that is asked for; unused without */
    bool has_few;
    uint64_t stride; /* of so many bytes the first SLOW_RUN are compressed by the slow level */
    uint8_t output[OUTPUT_BYTES]; /* is not kept */
};

static int fail(size_t code, struct error *err)
{
    return error_set(err, -EINVAL, "zstd: %s", ZSTD_getErrorName(code));
}

static int open_stream(struct stream *stream, int level, int window_log, struct error *err)
{
    size_t code;

    stream->context = ZSTD_createCCtx();
    if (stream->context == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    code = transfer_level_set(stream->context, level);
    if (!ZSTD_isError(code))
        code = ZSTD_CCtx_setParameter(stream->context, ZSTD_c_windowLog, window_log);
    return ZSTD_isError(code) ? fail(code, err) : 0;
}

int transfer_estimator_new(int level, uint64_t bytes, struct transfer_estimator **ret_estimator,
                           struct error *err)
{
    struct transfer_estimator *estimator = calloc(1, sizeof(*estimator));
    bool has_few = level > ALL_LEVEL && bytes > SLOW_BYTES;
    int rc;

    if (estimator == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    estimator->has_few = has_few;
    estimator->stride = bytes / (SLOW_BYTES / SLOW_RUN);
    rc = open_stream(&estimator->all, has_few ? ALL_LEVEL : level, TRANSFER_WINDOW_LOG, err);
    if (rc == 0 && has_few)
        rc = open_stream(&estimator->few[0], ALL_LEVEL, SLOW_WINDOW_LOG, err);
    if (rc == 0 && has_few)
        rc = open_stream(&estimator->few[1], level, SLOW_WINDOW_LOG, err);
    if (rc < 0) {
        transfer_estimator_free(estimator);
        return rc;
    }
    *ret_estimator = estimator;
    return 0;
}

void transfer_estimator_free(struct transfer_estimator *estimator)
{
    if (estimator == NULL)
        return;
    ZSTD_freeCCtx(estimator->all.context);
    ZSTD_freeCCtx(estimator->few[0].context);
    ZSTD_freeCCtx(estimator->few[1].context);
    free(estimator);
}

static int feed(struct transfer_estimator *estimator, struct stream *stream, const void *bytes,
                size_t length, ZSTD_EndDirective directive, struct error *err)
{
    ZSTD_inBuffer input = {bytes, length, 0};
    size_t left;

    do {
        ZSTD_outBuffer output = {estimator->output, sizeof(estimator->output), 0};

        left = ZSTD_compressStream2(stream->context, &output, &input, directive);
        if (ZSTD_isError(left))
            return fail(left, err);
        stream->out += output.pos;
    } while (input.pos < input.size || (directive == ZSTD_e_end && left > 0));
    stream->in += length;
    return 0;
}

static int feed_few(struct transfer_estimator *estimator, const void *bytes, size_t length,
                    ZSTD_EndDirective directive, struct error *err)
{
    int rc = feed(estimator, &estimator->few[0], bytes, length, directive, err);

    return rc == 0 ? feed(estimator, &estimator->few[1], bytes, length, directive, err) : rc;
}

/* Of bytes that lie from `at` on among all, those of the runs. */
static int pick_few(struct transfer_estimator *estimator, const uint8_t *bytes, size_t length,
                    struct error *err)
{
    uint64_t at = estimator->all.in;
    int rc = 0;

    for (size_t done = 0, now; done < length && rc == 0; done += now) {
        uint64_t inside = (at + done) % estimator->stride;
        uint64_t left = inside < SLOW_RUN ? SLOW_RUN - inside : estimator->stride - inside;

        now = left < length - done ? (size_t)left : length - done;
        if (inside < SLOW_RUN)
            rc = feed_few(estimator, bytes + done, now, ZSTD_e_continue, err);
    }
    return rc;
}

int transfer_estimator_add(struct transfer_estimator *estimator, const void *bytes, size_t length,
                           struct error *err)
{
    int rc = estimator->has_few ? pick_few(estimator, bytes, length, err) : 0;

    return rc == 0 ? feed(estimator, &estimator->all, bytes, length, ZSTD_e_continue, err) : rc;
}

int transfer_estimator_finish(struct transfer_estimator *estimator, uint64_t total_bytes,
                              uint64_t *ret_bytes, struct error *err)
{
    double gain = 1;
    int rc;

    if (estimator->all.in == 0) {
        *ret_bytes = total_bytes;
        return 0;
    }
    rc = feed(estimator, &estimator->all, NULL, 0, ZSTD_e_end, err);
    if (rc == 0 && estimator->has_few)
        rc = feed_few(estimator, NULL, 0, ZSTD_e_end, err);
    if (rc == 0 && estimator->has_few)
        gain = (double)estimator->few[1].out / (double)estimator->few[0].out;
    if (rc == 0)
        *ret_bytes = (uint64_t)ceil((double)total_bytes * (double)estimator->all.out /
                                    (double)estimator->all.in * gain);
    return rc;
}

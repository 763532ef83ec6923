/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A level of zstd as it is set up here. Pure. */
#include "transfer/level.h"
#include "setmov/transfer.h"

/*
 * Level 16, which thin lines get, searches less far here and finds matches of
 * three bytes, which the code of programs is full of: as small, and half as long.
 */
#define TUNED_LEVEL 16

struct setting {
    ZSTD_cParameter parameter;
    int value;
};

static size_t set(ZSTD_CCtx *context, const struct setting *settings, size_t count)
{
    size_t code = 0;

    for (size_t i = 0; i < count && !ZSTD_isError(code); i++)
        code = ZSTD_CCtx_setParameter(context, settings[i].parameter, settings[i].value);
    return code;
}

size_t transfer_level_set(ZSTD_CCtx *context, int level)
{
    const struct setting all[] = {
        {ZSTD_c_compressionLevel, level},
        {ZSTD_c_windowLog, TRANSFER_WINDOW_LOG},
        {ZSTD_c_enableLongDistanceMatching, level > 0},
    };
    static const struct setting tuned[] = {
        {ZSTD_c_strategy, ZSTD_btopt}, {ZSTD_c_hashLog, 20}, {ZSTD_c_chainLog, 20},
        {ZSTD_c_searchLog, 2},         {ZSTD_c_minMatch, 3}, {ZSTD_c_targetLength, 16},
    };
    size_t code = ZSTD_CCtx_reset(context, ZSTD_reset_session_and_parameters);

    if (!ZSTD_isError(code))
        code = set(context, all, ARRAY_LENGTH(all));
    if (!ZSTD_isError(code) && level == TUNED_LEVEL)
        code = set(context, tuned, ARRAY_LENGTH(tuned));
    return code;
}

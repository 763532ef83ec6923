/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A level of zstd as it is set up here: for the packing, and for the estimate of it. */
#ifndef TRANSFER_LEVEL_H
#define TRANSFER_LEVEL_H

#include <zstd.h>

/* What zstd returns; ZSTD_isError(). */
size_t transfer_level_set(ZSTD_CCtx *context, int level);

#endif

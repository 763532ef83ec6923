/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Figures as they stand in sentences. Pure. */
#ifndef SETMOV_PLACEMENT_WORDS_H
#define SETMOV_PLACEMENT_WORDS_H

#include "setmov/base.h"

struct words {
    char text[96];
};

/* "34.6M": three digits, in steps of 1024, as the tables have them. */
struct words words_bytes(uint64_t bytes);

/* Two decimals; what is not quite nothing, or not quite all, does not look as if it were. */
struct words words_percent(double percent);

/* A path or a name, its end if it is long: that is what tells one image from the next. */
struct words words_path(const char *path);

#endif

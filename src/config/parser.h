/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From lines to members (parser.c), and what is left to do behind the last line (complete.c). */
#ifndef SETMOV_CONFIG_PARSER_H
#define SETMOV_CONFIG_PARSER_H

#include "internal.h"

struct parser {
    struct config config; /* what was read so far */
    const char *path;
    unsigned line;                         /* from 1 */
    const struct section_info *section;    /* NULL before the first */
    unsigned section_lines[SECTION_COUNT]; /* where it stood last; 0: nowhere */
    unsigned key_lines[KEY_COUNT]; /* where each key stood, in the last section of its name */
    struct error *err;
};

/* Leaves "PATH:LINE: ..." and returns -EINVAL. */
int parser_error(const struct parser *parser, unsigned line, const char *format, ...)
    PRINTF_LIKE(3, 4);

/* "PATH: out of memory", -ENOMEM. */
int parser_no_memory(const struct parser *parser);

int parser_read(struct parser *parser, struct text text);

/* Fills in what hosts take from [setmov] and the other way round; checks keys against keys. */
int parser_complete(struct parser *parser, const char *own_name);

#endif

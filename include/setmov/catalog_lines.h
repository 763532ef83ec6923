/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Small text files that hosts write for each other: lines of words, a blank
 * between two; the first line names kind and version, the last one has a
 * checksum over all before it. In strings all but printing ASCII is written as
 * %XX. Format: docs/catalog-format.md. Pure.
 *
 * Both sides keep the first error that happens and do nothing after it, so that
 * callers name fields one after the other and ask once.
 */
#ifndef SETMOV_CATALOG_LINES_H
#define SETMOV_CATALOG_LINES_H

#include "setmov/base_uuid.h"

/* Strings of one field, at most; libvirt's names and the kernel's paths are shorter. */
#define LINES_NAME_MAX 255
#define LINES_PATH_MAX 4095
/* Seconds since 1970 go up to the year 9999: sums of two cannot overflow. */
#define LINES_TIME_MAX INT64_C(253402300799)

/* ---- writing -------------------------------------------------------------------- */

struct lines_writer {
    char *bytes;
    size_t length, capacity;
    int rc;
    struct error *err;
};

/* "setmov-NOUN VERSION" */
void lines_write_head(struct lines_writer *writer, const char *noun, unsigned version,
                      struct error *err);
/* Begins a line. */
void lines_write_key(struct lines_writer *writer, const char *key);
/* Further words of it. `name` is for the message when the value cannot be. */
void lines_write_word(struct lines_writer *writer, const char *word);
void lines_write_string(struct lines_writer *writer, const char *name, const char *string,
                        size_t most);
void lines_write_host(struct lines_writer *writer, const char *name, const char *host);
void lines_write_u64(struct lines_writer *writer, uint64_t value); /* UNKNOWN_U64: "-" */
void lines_write_checksum(struct lines_writer *writer, uint64_t value);
void lines_write_time(struct lines_writer *writer, const char *name, int64_t time_s);
void lines_write_uuid(struct lines_writer *writer, const struct uuid *uuid);
/* Any other error of the caller's. */
void lines_write_fail(struct lines_writer *writer, int code, const char *format, ...)
    PRINTF_LIKE(3, 4);
/* The checksum, and it is done: the text, which the caller frees, or the error. */
int lines_write_end(struct lines_writer *writer, size_t most, char **ret_text, size_t *ret_length);

/*
 * A path that may be removed one day, or made: one that says plainly where it
 * leads, absolute, without "." and "..", and without '/' at its end. NULL is none.
 */
bool lines_path_is_plain(const char *path);

/* ---- reading -------------------------------------------------------------------- */

struct lines_reader {
    const char *what;       /* begins messages; NULL: nothing does */
    struct text rest, line; /* without the last line; what is left of this one */
    size_t number;          /* of this line */
    int rc;
    struct error *err;
};

/*
 * Checks first and last line. -EINVAL: none of that kind, too long, cut,
 * damaged; -ENOTSUP: another version.
 */
int lines_read_head(struct lines_reader *reader, struct text text, const char *what,
                    const char *noun, unsigned version, size_t most, struct error *err);
/* The next line's first word. False at the end, and after an error. */
bool lines_read_next(struct lines_reader *reader, struct text *ret_key);
/* The next line has to begin with that. */
void lines_read_key(struct lines_reader *reader, const char *key);
/* Further words of the line. `name` is for the message when it is not there or something else. */
void lines_read_word(struct lines_reader *reader, const char *name, struct text *ret_word);
void lines_read_string(struct lines_reader *reader, const char *name, size_t most,
                       char **ret_string); /* never empty; the caller frees */
void lines_read_host(struct lines_reader *reader, const char *name, char **ret_host);
void lines_read_u64(struct lines_reader *reader, const char *name, uint64_t *ret_value);
void lines_read_u64_or_unknown(struct lines_reader *reader, const char *name, uint64_t *ret_value);
void lines_read_checksum(struct lines_reader *reader, const char *name, uint64_t *ret_value);
void lines_read_time(struct lines_reader *reader, const char *name, int64_t *ret_time_s);
void lines_read_uuid(struct lines_reader *reader, struct uuid *ret_uuid);
/* There is no further word in this line. Returns reader->rc. */
int lines_read_line_end(struct lines_reader *reader);
/* There is no further line. Returns reader->rc. */
int lines_read_end(struct lines_reader *reader);
/* Any other error of the caller's: "WHAT: line N: ...". Returns reader->rc. */
int lines_read_fail(struct lines_reader *reader, int code, const char *format, ...)
    PRINTF_LIKE(3, 4);

#endif

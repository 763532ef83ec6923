/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What every stage stands on: errors with a message, cleanup attributes,
 * growable arrays, scanning of text, reading of small files.
 *
 * Conventions of the whole library:
 *  - a function that can fail returns 0 or a negative errno value and, where
 *    it takes a `struct error`, leaves one line of text there (no newline);
 *  - outputs come last, are named ret_... and stay untouched on failure;
 *  - destructors accept NULL and half-built objects;
 *  - no function here or above prints, unless its header says so.
 */
#ifndef SETMOV_BASE_H
#define SETMOV_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "setmov/banned.h"

#define ARRAY_LENGTH(a)                  (sizeof(a) / sizeof((a)[0]))
#define PRINTF_LIKE(format_at, first_at) __attribute__((format(printf, format_at, first_at)))

/* A counter or size that its source did not tell. It is never a value. */
#define UNKNOWN_U64 UINT64_MAX

/* ---- errors -------------------------------------------------------------- */

struct error {
    char text[512]; /* one line, no newline; "" when nothing failed */
};

/*
 * Formats the message into `err` (which may be NULL) and returns `code`, a
 * negative errno value, so that a caller can write `return error_set(...)`.
 */
int error_set(struct error *err, int code, const char *format, ...) PRINTF_LIKE(3, 4);

/* Puts "prefix: " in front of the message that is there. Returns `code`. */
int error_prefix(struct error *err, int code, const char *format, ...) PRINTF_LIKE(3, 4);

/* ---- cleanup ------------------------------------------------------------- */

#define CLEANUP(function) __attribute__((cleanup(function)))

/* For `CLEANUP(cleanup_free) char *text = NULL;` and the like. */
void cleanup_free(void *pointer_to_pointer);
void cleanup_close(const int *fd); /* closes when >= 0, keeps errno */

/* ---- growable arrays ----------------------------------------------------- */

/*
 * Makes room for `needed` items of `item_size` bytes in the malloc'ed array
 * `*array` (NULL at first) whose room is `*capacity` items. Grows by half at
 * least. New room is not cleared. Returns 0, -ENOMEM or -EOVERFLOW; on
 * failure array and capacity are as before.
 */
int array_reserve(void *array, size_t *capacity, size_t needed, size_t item_size);

/* ---- scanning text ------------------------------------------------------- */

/*
 * A stretch of text that is not terminated: bytes from `at` up to, not with,
 * `end`. The scanners below move `at` forward over what they took and leave
 * it alone when they return false.
 */
struct text {
    const char *at;
    const char *end;
};

static inline struct text text_of(const char *bytes, size_t length)
{
    return (struct text){bytes, bytes != NULL ? bytes + length : NULL};
}

static inline size_t text_length(struct text text)
{
    return (size_t)(text.end - text.at);
}

/* Takes one line; `ret_line` is without its newline. False at the end. */
bool text_next_line(struct text *text, struct text *ret_line);

/* Skips blanks (space, tab), then takes bytes up to the next blank or the end. */
bool text_next_word(struct text *text, struct text *ret_word);

/*
 * Skips blanks, then takes an unsigned decimal number. False (and nothing
 * taken) where there is no digit, where it does not fit, or where it does not
 * end at a blank or at the end of the text.
 */
bool text_next_u64(struct text *text, uint64_t *ret_value);

bool text_equals(struct text text, const char *string);
bool text_starts_with(struct text text, const char *string);

/* Copies, terminated, cut at size - 1. True when all of it fitted. size > 0. */
bool text_copy(struct text text, char *buffer, size_t size);

/* The same for strings: copies `from`, cut at size - 1. True when it fitted. */
bool string_copy(char *buffer, size_t size, const char *from);

/* snprintf that says whether all of it fitted (true). The result is terminated. */
bool string_format(char *buffer, size_t size, const char *format, ...) PRINTF_LIKE(3, 4);

/* Also where it is nothing but the ending. */
bool string_ends_with(const char *string, const char *ending);

/*
 * A whole string as a finite number / an unsigned decimal number, nothing
 * before or behind it. Return 0, -EINVAL or -ERANGE.
 */
int parse_double(const char *string, double *ret_value);
int parse_u64(const char *string, uint64_t *ret_value);

/* What a hexadecimal digit of either case stands for; -1: it is none. */
int hexadecimal_digit(char digit);

/* ---- text of doubtful origin -------------------------------------------------- */

/*
 * Decodes the UTF-8 character that the string begins with (also its NUL).
 * Returns its length in bytes, 1 to 4, or 0 where there is no valid one:
 * overlong forms, surrogates and numbers above U+10FFFF are none. Never looks
 * behind the NUL.
 */
size_t utf8_decode(const char *string, uint32_t *ret_character);

/* Control characters: U+0000..1F, U+007F..9F. A terminal takes them for orders. */
bool utf8_is_control(uint32_t character);

/* Controls, and what turns the direction of writing, ends a line or is not seen at all. */
bool utf8_is_unfit(uint32_t character);

/*
 * Makes a name from outside fit for a log line, in place: control characters
 * and U+2028, U+2029 become blanks, bytes that are not valid UTF-8 '?'. The
 * result is valid UTF-8, one line, and no longer than before.
 */
void text_make_one_line(char *string);

/* FNV-1a, 32 bits: for tables and short marks, not against an attacker. */
uint32_t hash_bytes(const void *bytes, size_t length);

/* ---- small files (effects: open, read) ----------------------------------- */

struct file_buffer {
    char *bytes; /* terminated by a NUL that `length` does not count */
    size_t length;
    size_t capacity;
};

/*
 * Reads a whole file of /proc or /sys (whose size is not known beforehand)
 * into the buffer, whose memory is used again from call to call. `directory`
 * is a descriptor or AT_FDCWD. At most 64 MiB. Returns 0 or negative errno;
 * then the buffer's length is 0.
 */
int file_read(int directory, const char *path, struct file_buffer *buffer);
void file_buffer_release(struct file_buffer *buffer);

/* From where an open file stands, `size` bytes, or fewer where it ends. 0 or negative errno. */
int file_read_up_to(int fd, void *bytes, size_t size, size_t *ret_length);

/* Seconds of CLOCK_MONOTONIC. */
double clock_monotonic_s(void);

#endif

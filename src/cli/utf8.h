/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names that come from outside, made fit for JSON and for a terminal. Pure. */
#ifndef SETMOV_CLI_UTF8_H
#define SETMOV_CLI_UTF8_H

#include <stddef.h>

/* Room that utf8_valid() needs for a string of `length` bytes. */
#define UTF8_VALID_BYTES(length) (3 * (length) + 1)

/*
 * Copies `from` and puts U+FFFD for each byte that is no part of valid UTF-8.
 * `size` is above 0; what does not fit is left out, never half a character.
 */
void utf8_valid(const char *from, char *buffer, size_t size);

/*
 * Copies `from` so that it fills exactly `columns` columns of a terminal: cut
 * with a '~' at its end, or filled with blanks. Control and other unprintable
 * characters become '?'. Returns the bytes written, without the NUL.
 */
size_t utf8_column(const char *from, unsigned columns, char *buffer, size_t size);

/*
 * Makes a line fit for a terminal in place, as long as it was or shorter: bytes
 * that are not valid, control characters and those that turn the direction of
 * writing or are not seen become '?'.
 */
void utf8_make_fit(char *string);

#endif

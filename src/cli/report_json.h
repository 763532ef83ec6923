/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * JSON of the commands. NULL stands for null, and for an object where memory
 * ran out: that is noticed in the end, where the line is made.
 */
#ifndef SETMOV_CLI_REPORT_JSON_H
#define SETMOV_CLI_REPORT_JSON_H

#include <json.h>
#include <stdint.h>

/* Takes over `value`, also where that fails. */
void report_json_add(struct json_object *object, const char *key, struct json_object *value);
/* UNKNOWN_U64: null. */
void report_json_add_u64(struct json_object *object, const char *key, uint64_t value);
/* As report_json_add(). */
void report_json_append(struct json_object *array, struct json_object *value);
/* A text of any origin becomes valid UTF-8; NULL: null. */
struct json_object *report_json_text(const char *text);
/* `decimals` digits behind the point at most, one at least; what is no number is null. */
struct json_object *report_json_number(double value, int decimals);
/* A share in percent, at most six decimals; in tables shares have two. */
struct json_object *report_json_share(double percent);
/* The object as one line with its newline, malloc'ed; frees the object. 0 or -ENOMEM. */
int report_json_line(struct json_object *root, char **ret_line);
/* Prints that line, with the object freed. STATUS_OK, or the status after an error. */
int report_json_print(const char *command, struct json_object *root);

#endif

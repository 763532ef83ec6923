/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Building and printing of JSON (see report_json.h). */
#include "report_json.h"

#include "command.h"
#include "utf8.h"

#include <errno.h>
#include <math.h>

/*
 * json-c's setters tolerate NULL objects (which print as null), so running
 * out of memory half-way is noticed once, where the line is made.
 */
void report_json_add(struct json_object *object, const char *key, struct json_object *value)
{
    if (!object || json_object_object_add(object, key, value) < 0)
        json_object_put(value);
}

void report_json_add_u64(struct json_object *object, const char *key, uint64_t value)
{
    report_json_add(object, key, value == UNKNOWN_U64 ? NULL : json_object_new_uint64(value));
}

void report_json_append(struct json_object *array, struct json_object *value)
{
    if (!array || json_object_array_add(array, value) < 0)
        json_object_put(value);
}

struct json_object *report_json_text(const char *text)
{
    CLEANUP(cleanup_free) char *valid = NULL;
    size_t size;

    if (!text)
        return NULL;
    size = UTF8_VALID_BYTES(strlen(text));
    valid = malloc(size);
    if (!valid)
        return NULL;
    utf8_valid(text, valid, size);
    return json_object_new_string(valid);
}

struct json_object *report_json_number(double value, int decimals)
{
    char text[352]; /* the largest double has 309 digits before the point */
    size_t length;

    if (!isfinite(value) || !string_format(text, sizeof(text), "%.*f", decimals, value))
        return NULL;
    length = strlen(text);
    while (length > 2 && text[length - 1] == '0' && text[length - 2] != '.')
        text[--length] = '\0';
    return json_object_new_double_s(value, text);
}

struct json_object *report_json_share(double percent)
{
    return report_json_number(percent, 6);
}

/*
 * json-c leaves characters as they are that a terminal takes for orders or
 * that turn the line around. They stand inside strings only, where \uXXXX
 * means the same.
 */
static void write_fit(const char *json, FILE *out)
{
    while (*json != '\0') {
        uint32_t character = 0;
        size_t length = utf8_decode(json, &character);

        if (length == 0)
            length = 1;                    /* report_json_text() lets none in */
        else if (utf8_is_unfit(character)) /* none is above U+FFFF */
            fprintf(out, "\\u%04x", character);
        else
            fwrite_unlocked(json, 1, length, out);
        json += length;
    }
    fputc('\n', out);
}

int report_json_line(struct json_object *root, char **ret_line)
{
    const char *text = root ? json_object_to_json_string_ext(
                                  root, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE)
                            : NULL;
    char *line = NULL;
    size_t size = 0;
    FILE *out = text ? open_memstream(&line, &size) : NULL;

    if (out)
        write_fit(text, out);
    json_object_put(root);
    if (!out || fclose(out) != 0) {
        free(line);
        return -ENOMEM;
    }
    *ret_line = line;
    return 0;
}

int report_json_print(const char *command, struct json_object *root)
{
    CLEANUP(cleanup_free) char *line = NULL;

    if (report_json_line(root, &line) < 0)
        return command_error(command, "out of memory");
    fputs(line, stdout);
    return STATUS_OK;
}

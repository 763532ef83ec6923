/* SPDX-License-Identifier: GPL-2.0-or-later */
/* JSON of the commands about images, and what of names and counts is shown (see blocks.h). */
#include "blocks.h"
#include "utf8.h"

#include <errno.h>
#include <math.h>

/*
 * json-c's setters tolerate NULL objects (which print as null), so running
 * out of memory half-way is noticed once, where the line is made.
 */
void blocks_json_add(struct json_object *object, const char *key, struct json_object *value)
{
    if (!object || json_object_object_add(object, key, value) < 0)
        json_object_put(value);
}

void blocks_json_append(struct json_object *array, struct json_object *value)
{
    if (!array || json_object_array_add(array, value) < 0)
        json_object_put(value);
}

struct json_object *blocks_json_text(const char *text)
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

struct json_object *blocks_json_share(double percent)
{
    char text[32];
    size_t length;

    if (!isfinite(percent) || !string_format(text, sizeof(text), "%.6f", percent))
        return NULL;
    length = strlen(text);
    while (length > 2 && text[length - 1] == '0' && text[length - 2] != '.')
        text[--length] = '\0';
    return json_object_new_double_s(percent, text);
}

/*
 * json-c leaves characters as they are that a terminal takes for orders or
 * that turn the line around. They stand inside strings only, where \uXXXX
 * means the same.
 */
static void print_fit(const char *json)
{
    while (*json != '\0') {
        uint32_t character = 0;
        size_t length = utf8_decode(json, &character);

        if (length == 0)
            length = 1;                    /* blocks_json_text() lets none in */
        else if (utf8_is_unfit(character)) /* none is above U+FFFF */
            printf("\\u%04x", character);
        else
            fwrite_unlocked(json, 1, length, stdout);
        json += length;
    }
    putchar('\n');
}

int blocks_json_print(const char *command, struct json_object *root)
{
    const char *text = root ? json_object_to_json_string_ext(
                                  root, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE)
                            : NULL;

    if (text)
        print_fit(text);
    json_object_put(root);
    return text ? STATUS_OK : command_error(command, "out of memory");
}

struct blocks_shown blocks_show(const char *path)
{
    struct blocks_shown shown = {""};

    (void)string_copy(shown.text, sizeof(shown.text), path);
    utf8_make_fit(shown.text);
    return shown;
}

struct blocks_count blocks_count(uint64_t count)
{
    struct blocks_count shown = {""};
    char digits[24];
    size_t length, used = 0;

    string_format(digits, sizeof(digits), "%llu", (unsigned long long)count);
    length = strlen(digits);
    for (size_t i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0)
            shown.text[used++] = ',';
        shown.text[used++] = digits[i];
    }
    shown.text[used] = '\0';
    return shown;
}

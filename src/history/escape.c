/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Foreign names where some bytes mean something: pictures, librrd's arguments,
 * file names, XML.
 */
#include "setmov/history.h"

#include <errno.h>

/* Longest stem in bytes: leaves room in NAME_MAX for "-network.png" and a number. */
#define STEM_BYTES_MAX 200

/* Bytes of the UTF-8 character at `at`; 0 where it is malformed. Says whether it may be shown. */
static size_t next_character(const char *at, bool *ret_fit)
{
    uint32_t character = 0;
    size_t length = utf8_decode(at, &character);

    *ret_fit = length > 0 && !utf8_is_unfit(character);
    return length;
}

struct output {
    char *buffer;
    size_t size, used;
};

/* False where it no longer fits with three bytes left for an ellipsis. */
static bool put(struct output *output, const char *bytes, size_t length)
{
    if (length + 3 >= output->size - output->used)
        return false;
    memcpy(output->buffer + output->used, bytes, length);
    output->used += length;
    return true;
}

static size_t count_characters(const char *name)
{
    size_t count = 0;

    while (*name) {
        bool fit;
        size_t length = next_character(name, &fit);
        name += length ? length : 1;
        count++;
    }
    return count;
}

static void show(const char *name, size_t columns, bool legend, char *buffer, size_t size)
{
    struct output output = {buffer, size, 0};
    bool cut = count_characters(name) > columns;
    size_t room = cut && columns > 0 ? columns - 1 : columns;

    for (size_t shown = 0; *name && shown < room; shown++) {
        bool fit, fits;
        size_t length = next_character(name, &fit);

        if (!fit)
            fits = put(&output, "?", 1);
        else if (legend && *name == ':')
            fits = put(&output, "\\:", 2);
        else if (legend && *name == '\\')
            fits = put(&output, "∖", strlen("∖")); /* SET MINUS: looks the same, means nothing */
        else
            fits = put(&output, name, length);
        if (!fits) {
            cut = true;
            break;
        }
        name += length ? length : 1;
    }
    if (cut) {
        memcpy(output.buffer + output.used, "…", strlen("…"));
        output.used += strlen("…");
    }
    output.buffer[output.used] = '\0';
}

void history_show(const char *name, size_t columns, char *buffer, size_t size)
{
    show(name, columns, false, buffer, size);
}

void history_show_legend(const char *name, size_t columns, char *buffer, size_t size)
{
    show(name, columns, true, buffer, size);
}

char *history_escape_path(const char *path)
{
    char *escaped, *to;
    size_t length = strlen(path);

    if (length > SIZE_MAX / 2 - 1)
        return NULL;
    escaped = malloc(2 * length + 1);
    if (!escaped)
        return NULL;
    /* A backslash is special to librrd only before a colon, and not the other way round. */
    for (to = escaped; *path; path++) {
        if (*path == ':')
            *to++ = '\\';
        *to++ = *path;
    }
    *to = '\0';
    return escaped;
}

char *history_safe_stem(const char *name)
{
    static const char *const plain =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
        "._+@=-";
    char *stem = malloc(STEM_BYTES_MAX + 1), *to = stem;

    if (!stem)
        return NULL;
    while (*name) {
        bool fit;
        size_t length = next_character(name, &fit);
        bool good = fit && (length > 1 || strchr(plain, *name));

        if (to == stem && (*name == '.' || *name == '-'))
            good = false;
        if ((size_t)(to - stem) + (good ? length : 1) > STEM_BYTES_MAX)
            break;
        if (good) {
            memcpy(to, name, length);
            to += length;
        } else {
            *to++ = '_';
        }
        name += length ? length : 1;
    }
    if (to == stem)
        *to++ = '_';
    *to = '\0';
    return stem;
}

/* The text with XML's own characters as entities; malloc'ed, NULL without memory. */
static char *escape_xml(const char *text)
{
    char *escaped = malloc(6 * strlen(text) + 1), *to = escaped;

    if (!escaped)
        return NULL;
    for (; *text; text++) {
        const char *entity = *text == '&'   ? "&amp;"
                             : *text == '<' ? "&lt;"
                             : *text == '>' ? "&gt;"
                                            : NULL;
        if (entity) {
            memcpy(to, entity, strlen(entity));
            to += strlen(entity);
        } else {
            *to++ = *text;
        }
    }
    *to = '\0';
    return escaped;
}

char *history_describe_svg(const char *svg, size_t length, const char *title,
                           const char *description, size_t *ret_length)
{
    CLEANUP(cleanup_free) char *safe_title = escape_xml(title);
    CLEANUP(cleanup_free) char *safe_description = escape_xml(description);
    CLEANUP(cleanup_free) char *insert = NULL;
    const char *tag = memmem(svg, length, "<svg", 4);
    const char *close = tag ? memchr(tag, '>', length - (size_t)(tag - svg)) : NULL;
    size_t before;
    int inserted;
    char *whole;

    if (!safe_title || !safe_description || !close || close[-1] == '/')
        return NULL;
    inserted =
        asprintf(&insert, "\n<title>%s</title>\n<desc>%s</desc>", safe_title, safe_description);
    if (inserted < 0) {
        insert = NULL;
        return NULL;
    }
    whole = malloc(length + (size_t)inserted + 1);
    if (!whole)
        return NULL;
    before = (size_t)(close + 1 - svg);
    memcpy(whole, svg, before);
    memcpy(whole + before, insert, (size_t)inserted);
    memcpy(whole + before + inserted, svg + before, length - before);
    *ret_length = length + (size_t)inserted;
    whole[*ret_length] = '\0';
    return whole;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Looks through XML of doubtful origin before it is parsed. Pure.
 *
 * Without a document type the structure of XML can be told from its brackets
 * and quotes alone: what this scanner takes for a tag, libxml2 takes for one
 * too, or it stops there with an error. So the counts are right wherever the
 * parser gets to.
 */
#include "vm/xml_bounds.h"

#include <errno.h>

/* Of an entity's name that a message quotes. */
#define ENTITY_SHOWN 32

struct scan {
    struct text left;
    const char *what;
    const struct xml_bounds *bounds;
    unsigned line;
    unsigned depth, elements, attributes;
    struct error *err;
};

static bool begins(const struct scan *scan, const char *with)
{
    return text_starts_with(scan->left, with);
}

/* Goes on to `at`, which lies in what is left. */
static void go_to(struct scan *scan, const char *at)
{
    while (scan->left.at < at)
        if (*scan->left.at++ == '\n')
            scan->line++;
}

static int refuse_above(struct scan *scan, const char *what, unsigned bound)
{
    return error_set(scan->err, -EBADMSG, "%s: line %u: %s %u", scan->what, scan->line, what,
                     bound);
}

/* Behind the first `end` from here on. */
static int skip_behind(struct scan *scan, const char *end, const char *kind)
{
    const char *found = memmem(scan->left.at, text_length(scan->left), end, strlen(end));

    if (!found)
        return error_set(scan->err, -EBADMSG, "%s: line %u: %s that does not end", scan->what,
                         scan->line, kind);
    go_to(scan, found + strlen(end));
    return 0;
}

/* At a "&": references to characters and to the five entities that need no declaration. */
static int check_reference(struct scan *scan)
{
    static const char *const known[] = {"&#", "&amp;", "&lt;", "&gt;", "&quot;", "&apos;"};
    struct text name = {scan->left.at + 1, scan->left.at + 1};

    for (size_t i = 0; i < ARRAY_LENGTH(known); i++)
        if (begins(scan, known[i])) {
            scan->left.at++;
            return 0;
        }
    while (name.end < scan->left.end && *name.end != ';' && *name.end != '<' && *name.end != '\n' &&
           text_length(name) < ENTITY_SHOWN)
        name.end++;
    return error_set(scan->err, -EBADMSG, "%s: line %u: an entity of its own: &%.*s", scan->what,
                     scan->line, (int)text_length(name), name.at);
}

/* At a quote: behind the value that it begins. */
static int skip_value(struct scan *scan)
{
    char quote = *scan->left.at++;
    int r = 0;

    while (r == 0 && scan->left.at < scan->left.end && *scan->left.at != quote) {
        if (*scan->left.at == '&')
            r = check_reference(scan);
        else
            go_to(scan, scan->left.at + 1);
    }
    if (r < 0)
        return r;
    if (scan->left.at >= scan->left.end)
        return error_set(scan->err, -EBADMSG, "%s: ends within an attribute", scan->what);
    scan->left.at++;
    return 0;
}

static int check_counts(struct scan *scan, unsigned own_attributes)
{
    const struct xml_bounds *bounds = scan->bounds;

    if (own_attributes > bounds->element_attributes)
        return refuse_above(scan, "an element with more attributes than",
                            bounds->element_attributes);
    if (scan->attributes > bounds->attributes)
        return refuse_above(scan, "more attributes than", bounds->attributes);
    if (scan->elements > bounds->elements)
        return refuse_above(scan, "more elements than", bounds->elements);
    if (scan->depth > bounds->depth)
        return refuse_above(scan, "elements nested deeper than", bounds->depth);
    return 0;
}

/* At the "<" of a tag: behind its ">". */
static int take_tag(struct scan *scan)
{
    bool is_end = begins(scan, "</");
    unsigned own_attributes = 0;
    int r = 0;

    if (is_end && scan->depth == 0)
        return error_set(scan->err, -EBADMSG, "%s: line %u: an end tag without its element",
                         scan->what, scan->line);
    if (is_end) {
        scan->depth--;
    } else {
        scan->depth++;
        scan->elements++;
    }
    scan->left.at++;
    while (scan->left.at < scan->left.end && *scan->left.at != '>') {
        char c = *scan->left.at;

        if (c == '\'' || c == '"') {
            own_attributes++;
            scan->attributes++;
            r = skip_value(scan);
        } else if (c == '<') {
            r = error_set(scan->err, -EBADMSG, "%s: line %u: a tag within a tag", scan->what,
                          scan->line);
        } else {
            go_to(scan, scan->left.at + 1);
        }
        if (r == 0)
            r = check_counts(scan, own_attributes);
        if (r < 0)
            return r;
    }
    if (scan->left.at >= scan->left.end)
        return error_set(scan->err, -EBADMSG, "%s: ends within a tag", scan->what);
    r = check_counts(scan, own_attributes);
    if (r == 0 && !is_end && scan->left.at[-1] == '/')
        scan->depth--;
    scan->left.at++;
    return r;
}

/* At a "<". */
static int take_markup(struct scan *scan)
{
    if (begins(scan, "<!--")) {
        scan->left.at += strlen("<!--"); /* "<!-->" does not end itself */
        return skip_behind(scan, "-->", "a comment");
    }
    if (begins(scan, "<![CDATA["))
        return skip_behind(scan, "]]>", "a CDATA section");
    if (begins(scan, "<?"))
        return skip_behind(scan, "?>", "an instruction");
    if (begins(scan, "<!DOCTYPE"))
        return error_set(scan->err, -EBADMSG, "%s: line %u: declares a document type", scan->what,
                         scan->line);
    if (begins(scan, "<!"))
        return error_set(scan->err, -EBADMSG, "%s: line %u: a declaration", scan->what, scan->line);
    if (scan->depth == 0 && scan->elements > 0 && !begins(scan, "</"))
        return error_set(scan->err, -EBADMSG, "%s: line %u: a second root element", scan->what,
                         scan->line);
    return take_tag(scan);
}

static int check_bytes(struct text xml, const char *what, const struct xml_bounds *bounds,
                       struct error *err)
{
    if (text_length(xml) > bounds->bytes)
        return error_set(err, -EBADMSG, "%s: above %zu MiB", what, bounds->bytes >> 20);
    if (text_length(xml) == 0)
        return error_set(err, -EBADMSG, "%s: is empty", what);
    if (memchr(xml.at, '\0', text_length(xml)))
        return error_set(err, -EBADMSG, "%s: has a NUL byte", what);
    return 0;
}

int xml_bounds_check(struct text xml, const char *what, const struct xml_bounds *bounds,
                     struct error *err)
{
    struct scan scan = {.left = xml, .what = what, .bounds = bounds, .line = 1, .err = err};
    int r = check_bytes(xml, what, bounds, err);

    /* Blanks alone may stand before the root: what begins otherwise is in another encoding. */
    while (r == 0 && scan.left.at < scan.left.end) {
        if (*scan.left.at == '<')
            r = take_markup(&scan);
        else if (*scan.left.at == '&')
            r = check_reference(&scan);
        else if (scan.depth == 0 && !strchr(" \t\r\n", *scan.left.at))
            r = error_set(err, -EBADMSG, "%s: line %u: text outside of the root element", what,
                          scan.line);
        else
            go_to(&scan, scan.left.at + 1);
    }
    return r;
}

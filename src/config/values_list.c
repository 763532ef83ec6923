/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Kinds of values that are lists of words: see values.c. */
#include "internal.h"

#include <errno.h>

#define LEAST_BLOCK 512
#define MOST_BLOCK  65536

/* ---- words ---------------------------------------------------------------------- */

static bool is_separator(char c)
{
    return c == ' ' || c == '\t' || c == ',';
}

/*
 * Takes the next word, which blanks or commas end, or quotes. 1, 0 at the end, -EINVAL for a
 * quotation mark elsewhere, -ENOMEM.
 */
static int next_word(const char **at, char **ret_word)
{
    const char *start = *at, *end;
    char *word;

    while (is_separator(*start))
        start++;
    if (*start == '\0')
        return 0;
    if (*start == '"') {
        start++;
        end = strchr(start, '"');
        if (end == NULL || (end[1] != '\0' && !is_separator(end[1])))
            return -EINVAL;
        *at = end + 1;
    } else {
        end = start + strcspn(start, " \t,\"");
        if (*end == '"')
            return -EINVAL;
        *at = end;
    }
    word = strndup(start, (size_t)(end - start));
    if (word == NULL)
        return -ENOMEM;
    *ret_word = word;
    return 1;
}

typedef int take_word(const struct key *key, const char *word, void *value);

/* Each word to `take`; at least one. */
static int each_word(const struct key *key, const char *text, take_word *take, void *value)
{
    size_t count = 0;
    int rc;

    for (;;) {
        CLEANUP(cleanup_free) char *word = NULL;

        rc = next_word(&text, &word);
        if (rc <= 0)
            break;
        rc = take(key, word, value);
        if (rc < 0)
            return rc;
        count++;
    }
    if (rc == 0 && count == 0)
        return -EINVAL;
    return rc;
}

/* ---- lists of strings ------------------------------------------------------------- */

static void release_list(void *member)
{
    struct config_list *list = member;

    for (size_t i = 0; i < list->count; i++)
        free(list->items[i]);
    free(list->items);
    *list = (struct config_list){NULL, 0, 0};
}

/* Takes the string over, also when it fails. */
static int list_add(struct config_list *list, char *string)
{
    int rc = array_reserve(&list->items, &list->capacity, list->count + 1, sizeof(*list->items));

    if (rc < 0) {
        free(string);
        return rc;
    }
    list->items[list->count++] = string;
    return 0;
}

static int take_path(const struct key *key, const char *word, void *value)
{
    char *path = NULL;
    int rc = value_clean_path(word, &path);

    (void)key;
    return rc < 0 ? rc : list_add(value, path);
}

static int take_label(const struct key *key, const char *word, void *value)
{
    char *copy;

    (void)key;
    if (!value_is_label(word))
        return -EINVAL;
    copy = strdup(word);
    return copy == NULL ? -ENOMEM : list_add(value, copy);
}

static int set_list(const struct key *key, const char *text, take_word *take, void *member)
{
    struct config_list list = {NULL, 0, 0};
    int rc = each_word(key, text, take, &list);

    if (rc < 0) {
        release_list(&list);
        return rc;
    }
    release_list(member);
    *(struct config_list *)member = list;
    return 0;
}

static int set_paths(const struct key *key, const char *value, void *member)
{
    return set_list(key, value, take_path, member);
}

static int set_labels(const struct key *key, const char *value, void *member)
{
    return set_list(key, value, take_label, member);
}

/* ---- block sizes, margin ----------------------------------------------------------- */

static int take_block_size(const struct key *key, const char *word, void *value)
{
    struct config_block_sizes *sizes = value;
    uint64_t bytes;

    (void)key;
    if (units_size(word, &bytes) < 0 || bytes < LEAST_BLOCK || bytes > MOST_BLOCK ||
        (bytes & (bytes - 1)) != 0)
        return -EINVAL;
    for (size_t i = 0; i < sizes->count; i++) {
        if (sizes->bytes[i] == bytes)
            return 0;
    }
    /* There are eight such powers. */
    sizes->bytes[sizes->count++] = (uint32_t)bytes;
    return 0;
}

static int set_block_sizes(const struct key *key, const char *value, void *member)
{
    struct config_block_sizes sizes = {.count = 0};
    int rc = each_word(key, value, take_block_size, &sizes);

    if (rc == 0)
        *(struct config_block_sizes *)member = sizes;
    return rc;
}

struct margin {
    struct config_margin value;
    bool has_bytes, has_percent;
};

static int take_margin(const struct key *key, const char *word, void *value)
{
    struct margin *margin = value;
    bool percent = strchr(word, '%') != NULL;
    bool *has = percent ? &margin->has_percent : &margin->has_bytes;

    (void)key;
    if (*has)
        return -EINVAL;
    *has = true;
    return percent ? units_percent(word, &margin->value.percent)
                   : units_size(word, &margin->value.bytes);
}

static int set_margin(const struct key *key, const char *value, void *member)
{
    struct margin margin = {{0, 0}, false, false};
    int rc = each_word(key, value, take_margin, &margin);

    if (rc == 0)
        *(struct config_margin *)member = margin.value;
    return rc;
}

/* ---- words and a path --------------------------------------------------------------- */

#define MOST_WORDS 2

struct ways {
    bool given[MOST_WORDS]; /* the words of the key's choices */
    bool none;
    char *path;
};

static int take_way(const struct key *key, const char *word, void *value)
{
    struct ways *ways = value;

    if (word[0] == '/')
        return ways->path != NULL ? -EINVAL : value_clean_path(word, &ways->path);
    if (strcmp(word, "none") == 0) {
        ways->none = true;
        return 0;
    }
    for (size_t i = 0; i < MOST_WORDS && key->choices[i] != NULL; i++) {
        if (strcmp(word, key->choices[i]) == 0) {
            ways->given[i] = true;
            return 0;
        }
    }
    return -EINVAL;
}

static int scan_ways(const struct key *key, const char *value, struct ways *ret_ways)
{
    struct ways ways = {.none = false};
    int rc = each_word(key, value, take_way, &ways);

    if (rc == 0 && ways.none && (ways.given[0] || ways.given[1] || ways.path != NULL))
        rc = -EINVAL;
    if (rc < 0) {
        free(ways.path);
        return rc;
    }
    *ret_ways = ways;
    return 0;
}

static void release_log(void *member)
{
    struct config_log *log = member;

    free(log->file);
    *log = (struct config_log){.file = NULL};
}

static int set_log(const struct key *key, const char *value, void *member)
{
    struct ways ways;
    int rc = scan_ways(key, value, &ways);

    if (rc < 0)
        return rc;
    release_log(member);
    *(struct config_log *)member = (struct config_log){ways.given[0], ways.given[1], ways.path};
    return 0;
}

static void release_override(void *member)
{
    struct config_override *override = member;

    free(override->directory);
    *override = (struct config_override){.directory = NULL};
}

static int set_override(const struct key *key, const char *value, void *member)
{
    struct ways ways;
    int rc = scan_ways(key, value, &ways);

    if (rc < 0)
        return rc;
    release_override(member);
    *(struct config_override *)member = (struct config_override){ways.given[0], ways.path};
    return 0;
}

/* ---- the kinds ------------------------------------------------------------------- */

const struct value_kind value_paths = {.expected =
                                           "a list of absolute paths without . and .. in them",
                                       .set = set_paths,
                                       .release = release_list,
                                       .list = true};
const struct value_kind value_labels = {.expected = "a list of names or UUIDs",
                                        .set = set_labels,
                                        .release = release_list,
                                        .list = true};
const struct value_kind value_block_sizes = {
    .expected = "a list of powers of two from 512 to 65536", .set = set_block_sizes, .list = true};
const struct value_kind value_margin = {
    .expected = "a size, a percentage with %, or both", .set = set_margin, .list = true};
const struct value_kind value_log = {
    .expected = "none, or one or several of syslog, journal and an absolute path",
    .set = set_log,
    .release = release_log,
    .list = true};
const struct value_kind value_override = {
    .expected = "none, or one or both of metadata and an absolute path",
    .set = set_override,
    .release = release_override,
    .list = true};

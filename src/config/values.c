/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One function a kind of value, from text into a member of struct config. Lists: values_list.c. */
#include "internal.h"

#include <errno.h>
#include <limits.h>
#include <strings.h>

#define LONGEST_NAME 255

/* ---- numbers -------------------------------------------------------------------- */

typedef int scan_whole(const char *text, uint64_t *ret_value);

static int set_whole_by(const struct key *key, const char *value, void *member, scan_whole *scan)
{
    uint64_t number, minimum = 0, maximum = UINT64_MAX;

    if (key->zero != NULL && strcasecmp(value, key->zero) == 0) {
        *(uint64_t *)member = 0;
        return 0;
    }
    if (scan(value, &number) < 0 || (key->minimum != NULL && scan(key->minimum, &minimum) < 0) ||
        (key->maximum != NULL && scan(key->maximum, &maximum) < 0) || number < minimum ||
        number > maximum)
        return -EINVAL;
    *(uint64_t *)member = number;
    return 0;
}

static int set_whole(const struct key *key, const char *value, void *member)
{
    return set_whole_by(key, value, member, units_whole);
}

static int set_size(const struct key *key, const char *value, void *member)
{
    return set_whole_by(key, value, member, units_size);
}

static int set_bandwidth(const struct key *key, const char *value, void *member)
{
    return set_whole_by(key, value, member, units_bandwidth);
}

static int set_duration(const struct key *key, const char *value, void *member)
{
    return set_whole_by(key, value, member, units_duration);
}

typedef int scan_real(const char *text, double *ret_value);

static int set_real_by(const struct key *key, const char *value, void *member, scan_real *scan)
{
    double number, minimum, maximum;

    /* Numbers of this kind always have bounds. */
    if (scan(value, &number) < 0 || scan(key->minimum, &minimum) < 0 ||
        scan(key->maximum, &maximum) < 0 || number < minimum || number > maximum)
        return -EINVAL;
    *(double *)member = number;
    return 0;
}

static int set_weight(const struct key *key, const char *value, void *member)
{
    return set_real_by(key, value, member, parse_double);
}

static int set_percent(const struct key *key, const char *value, void *member)
{
    return set_real_by(key, value, member, units_percent);
}

/* ---- words ---------------------------------------------------------------------- */

static int set_boolean(const struct key *key, const char *value, void *member)
{
    static const struct {
        const char *text;
        bool value;
    } words[] = {{"yes", true}, {"true", true},   {"on", true},   {"1", true},
                 {"no", false}, {"false", false}, {"off", false}, {"0", false}};

    (void)key;
    for (size_t i = 0; i < ARRAY_LENGTH(words); i++) {
        if (strcasecmp(value, words[i].text) == 0) {
            *(bool *)member = words[i].value;
            return 0;
        }
    }
    return -EINVAL;
}

/* The enums of config.h are as wide as this. */
_Static_assert(sizeof(enum config_policy) == sizeof(unsigned), "an enum is an unsigned int");

static int set_choice(const struct key *key, const char *value, void *member)
{
    for (unsigned i = 0; key->choices[i] != NULL; i++) {
        if (strcmp(value, key->choices[i]) == 0) {
            *(unsigned *)member = i;
            return 0;
        }
    }
    return -EINVAL;
}

/* ---- strings -------------------------------------------------------------------- */

static void release_string(void *member)
{
    char **string = member;

    free(*string);
    *string = NULL;
}

static int replace_string(const char *value, void *member)
{
    char *copy = strdup(value);

    if (copy == NULL)
        return -ENOMEM;
    release_string(member);
    *(char **)member = copy;
    return 0;
}

#define ALPHANUMERIC "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

bool config_is_name(const char *name)
{
    size_t length = strlen(name);

    return length > 0 && length <= LONGEST_NAME && strspn(name, "._-") == 0 &&
           strspn(name, ALPHANUMERIC "._-") == length;
}

static int set_name(const struct key *key, const char *value, void *member)
{
    (void)key;
    return config_is_name(value) ? replace_string(value, member) : -EINVAL;
}

/* Names that libvirt's users gave: anything but a path. */
bool value_is_label(const char *label)
{
    size_t length = strlen(label);

    return length > 0 && length <= LONGEST_NAME && strchr(label, '/') == NULL &&
           strcmp(label, ".") != 0 && strcmp(label, "..") != 0;
}

static int set_label(const struct key *key, const char *value, void *member)
{
    (void)key;
    return value_is_label(value) ? replace_string(value, member) : -EINVAL;
}

/* SCHEME://REST: "alpha:16509" would else be a URI of the scheme "alpha". */
static int set_uri(const struct key *key, const char *value, void *member)
{
    size_t scheme = strspn(value, ALPHANUMERIC "+.-");

    (void)key;
    if (scheme == 0 || strspn(value, "0123456789+.-") > 0 ||
        strncmp(value + scheme, "://", 3) != 0 || value[scheme + 3] == '\0' ||
        strpbrk(value, " \t") != NULL)
        return -EINVAL;
    return replace_string(value, member);
}

int value_clean_path(const char *value, char **ret_path)
{
    size_t length = strlen(value), used = 0;
    char *path;

    if (value[0] != '/' || length >= PATH_MAX)
        return -EINVAL;
    path = malloc(length + 1);
    if (path == NULL)
        return -ENOMEM;
    /* One component a round, with the slash before it. */
    for (const char *at = value; *at != '\0';) {
        size_t slashes = strspn(at, "/"), name = strcspn(at + slashes, "/");

        at += slashes;
        if ((name == 1 && at[0] == '.') || (name == 2 && at[0] == '.' && at[1] == '.')) {
            free(path);
            return -EINVAL;
        }
        if (name > 0) {
            path[used++] = '/';
            memcpy(path + used, at, name);
            used += name;
        }
        at += name;
    }
    path[used] = '\0';
    /* "/" is never what somebody means: neither to write there nor to allow it all. */
    if (used == 0) {
        free(path);
        return -EINVAL;
    }
    *ret_path = path;
    return 0;
}

static int set_path(const struct key *key, const char *value, void *member)
{
    char *path = NULL;
    int rc = value_clean_path(value, &path);

    (void)key;
    if (rc < 0)
        return rc;
    release_string(member);
    *(char **)member = path;
    return 0;
}

/* ---- the kinds ------------------------------------------------------------------- */

const struct value_kind value_boolean = {.expected = "yes or no", .set = set_boolean};
const struct value_kind value_whole = {.expected = "a whole number", .set = set_whole};
const struct value_kind value_size = {.expected = "a size such as 4096, 64K, 512M, 20G or 1T",
                                      .set = set_size};
const struct value_kind value_bandwidth = {
    .expected = "a number of bits per second such as 800k, 100M or 10G", .set = set_bandwidth};
const struct value_kind value_duration = {.expected = "a duration such as 90s, 15min, 1h, 1d or 2w",
                                          .set = set_duration};
const struct value_kind value_weight = {.expected = "a number", .set = set_weight};
const struct value_kind value_percent = {.expected = "a percentage", .set = set_percent};
const struct value_kind value_choice = {.expected = "one of", .set = set_choice};
const struct value_kind value_name = {
    .expected = "a name of letters, digits, '.', '_' and '-', with a letter or digit first",
    .set = set_name,
    .release = release_string};
const struct value_kind value_label = {
    .expected = "a name without '/'", .set = set_label, .release = release_string};
const struct value_kind value_uri = {.expected =
                                         "a URI with a scheme, such as qemu+tls://alpha/system",
                                     .set = set_uri,
                                     .release = release_string};
const struct value_kind value_path = {.expected = "an absolute path without . and .. in it",
                                      .set = set_path,
                                      .release = release_string};

void value_describe(const struct key *key, char *buffer, size_t size)
{
    size_t used = 0;

    if (key->zero != NULL)
        string_format(buffer, size, "%s or %s", key->zero, key->kind->expected);
    else
        string_copy(buffer, size, key->kind->expected);
    if (key->minimum != NULL && key->maximum != NULL) {
        used = strlen(buffer);
        string_format(buffer + used, size - used, ", from %s to %s", key->minimum, key->maximum);
    }
    for (size_t i = 0; key->kind == &value_choice && key->choices[i] != NULL; i++) {
        used = strlen(buffer);
        string_format(buffer + used, size - used, "%s %s", i > 0 ? "," : "", key->choices[i]);
    }
}

bool value_unquote(char *value)
{
    size_t length = strlen(value);

    if (length >= 2 && value[0] == '"' && value[length - 1] == '"') {
        memmove(value, value + 1, length - 2);
        value[length - 2] = '\0';
    }
    return strchr(value, '"') == NULL;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* setmov.conf(5) and the shipped etc/setmov.conf say of every key what the table of keys says. */
#include "host_data.h"

#include "setmov/config.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void read_from_root(const char *name, struct file_buffer *buffer)
{
    char path[512];
    int rc;

    string_format(path, sizeof(path), "%s/../../%s", test_data_folder(), name);
    rc = file_read(AT_FDCWD, path, buffer);
    if (rc < 0)
        fail_msg("%s: %s", path, strerror(-rc));
}

/* In place: "\-" as "-", each run of blanks, newlines and (where it is given) `mark` as one blank. */
static void make_plain(char *text, char mark)
{
    char *to = text;

    for (const char *from = text; *from != '\0'; from++) {
        bool blank = *from == ' ' || *from == '\n' || (mark != '\0' && *from == mark);

        if (from[0] == '\\' && from[1] == '-')
            continue;
        if (!blank)
            *to++ = *from;
        else if (to > text && to[-1] != ' ')
            *to++ = ' ';
    }
    *to = '\0';
}

/* The text up to `end`, from where it says `start`; terminates it there. NULL: not found. */
static char *part(char *text, const char *start, const char *end)
{
    char *found = strstr(text, start), *behind;

    if (found == NULL)
        return NULL;
    found += strlen(start);
    behind = strstr(found, end);
    if (behind != NULL)
        *behind = '\0';
    return found;
}

static char *section_of_manual(const char *page, const char *section)
{
    bool named = strcmp(section, "host") == 0 || strcmp(section, "group") == 0;
    char *copy = strdup(page), *found, *result, start[64];

    assert_non_null(copy);
    string_format(start, sizeof(start), ".SS [%s%s] ", section, named ? " NAME" : "");
    found = part(copy, start, ".S");
    if (found == NULL)
        fail_msg("the manual has no '%s'", start);
    result = strdup(found);
    free(copy);
    return result;
}

static void check_entry(const char *page, const struct config_key *key)
{
    CLEANUP(cleanup_free) char *section = section_of_manual(page, key->section);
    char start[128], wanted[256];
    char *entry;

    string_format(start, sizeof(start), ".TP .B %s ", key->name);
    entry = part(section, start, ".TP");
    if (entry == NULL)
        fail_msg("the manual has no key %s in [%s]", key->name, key->section);
    if (strncmp(entry, key->help, strlen(key->help)) != 0)
        fail_msg("[%s] %s: the manual begins '%.80s'", key->section, key->name, entry);
    string_format(wanted, sizeof(wanted), " Takes %s. ", key->value);
    if (strstr(entry, wanted) == NULL)
        fail_msg("[%s] %s: the manual does not say '%s'", key->section, key->name, wanted);
    if (key->default_text == NULL)
        return;
    string_format(wanted, sizeof(wanted), " Default: %s. ", key->default_text);
    if (strstr(entry, wanted) == NULL)
        fail_msg("[%s] %s: the manual does not say '%s'", key->section, key->name, wanted);
}

static void the_manual_has_every_key_and_no_other(void **state)
{
    CLEANUP(file_buffer_release) struct file_buffer page = {NULL, 0, 0};
    struct config_key key;
    size_t entries = 0, keys = 0;
    const char *at;

    (void)state;
    read_from_root("docs/setmov.conf.5", &page);
    make_plain(page.bytes, '\0');
    while (config_key(keys, &key)) {
        check_entry(page.bytes, &key);
        keys++;
    }
    assert_true(keys > 40);
    at = part(page.bytes, ".SH KEYS ", ".SH");
    assert_non_null(at);
    for (; (at = strstr(at, ".TP .B ")) != NULL; at++)
        entries++;
    assert_int_equal(entries, keys);
}

/* ---- the shipped file ------------------------------------------------------------- */

static void the_shipped_file_changes_nothing(void **state)
{
    CLEANUP(file_buffer_release) struct file_buffer file = {NULL, 0, 0};
    struct config config;
    struct error err = {""};

    (void)state;
    read_from_root("etc/setmov.conf", &file);
    if (config_parse(file.bytes, file.length, "etc/setmov.conf", "here", &config, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(config.host_count, 0);
    assert_int_equal(config.group_count, 0);
    assert_string_equal(config.setmov.name, "here");
    config_release(&config);
    /* A key that is not commented out would be one. */
    assert_null(strstr(file.bytes, "\nkey-file"));
    for (const char *at = file.bytes; (at = strchr(at, '\n')) != NULL; at++) {
        if (at[1] >= 'a' && at[1] <= 'z')
            fail_msg("not a comment: %.40s", at + 1);
    }
}

/* What is commented out, put into force: "#key", "#[section" but not "# words". */
static void uncomment(char *text)
{
    char *to = text;

    for (const char *from = text; *from != '\0'; from++) {
        if (*from == '#' && (from == text || from[-1] == '\n') &&
            (from[1] == '[' || (from[1] >= 'a' && from[1] <= 'z')))
            continue;
        *to++ = *from;
    }
    *to = '\0';
}

static void what_the_shipped_file_suggests_is_understood(void **state)
{
    CLEANUP(file_buffer_release) struct file_buffer file = {NULL, 0, 0};
    struct config config;
    struct error err = {""};
    char *digest;

    (void)state;
    read_from_root("etc/setmov.conf", &file);
    uncomment(file.bytes);
    /* The example of key-file goes with another digest than the default. */
    digest = strstr(file.bytes, "digest = sha256\n");
    assert_non_null(digest);
    memcpy(digest, "digest = keyed \n", strlen("digest = keyed \n"));
    if (config_parse(file.bytes, strlen(file.bytes), "c", "here", &config, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(config.host_count, 1);
    assert_int_equal(config.group_count, 1);
    config_release(&config);
}

static void the_shipped_file_has_every_key_with_its_default(void **state)
{
    CLEANUP(file_buffer_release) struct file_buffer file = {NULL, 0, 0};
    struct config_key key;
    const char *at;
    size_t lines = 0, keys = 0;

    (void)state;
    read_from_root("etc/setmov.conf", &file);
    for (at = file.bytes; (at = strstr(at, "\n#")) != NULL; at++)
        lines += at[2] >= 'a' && at[2] <= 'z';
    uncomment(file.bytes);
    make_plain(file.bytes, '#');
    at = file.bytes;
    for (; config_key(keys, &key); keys++) {
        char wanted[512];

        string_format(wanted, sizeof(wanted), " %s %s = %s%s", key.help, key.name,
                      key.default_text ? key.default_text : "", key.default_text ? " " : "");
        at = strstr(at, wanted); /* in the order of the table */
        if (at == NULL)
            fail_msg("etc/setmov.conf does not say, in its place, '%s'", wanted);
    }
    assert_int_equal(lines, keys);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_manual_has_every_key_and_no_other),
        cmocka_unit_test(the_shipped_file_changes_nothing),
        cmocka_unit_test(what_the_shipped_file_suggests_is_understood),
        cmocka_unit_test(the_shipped_file_has_every_key_with_its_default),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

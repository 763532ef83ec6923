/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The lines of a configuration: [section], [section NAME], key = value, comments. Strict: what is
 * not understood is an error, with the line and, where there is one, the name that was meant.
 */
#include "parser.h"

#include <errno.h>
#include <stdarg.h>

/* ---- messages -------------------------------------------------------------------- */

int parser_error(const struct parser *parser, unsigned line, const char *format, ...)
{
    char text[sizeof(parser->err->text)];
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (length < 0)
        text[0] = '\0';
    return error_set(parser->err, -EINVAL, "%s:%u: %s", parser->path, line, text);
}

int parser_no_memory(const struct parser *parser)
{
    return error_set(parser->err, -ENOMEM, "%s: out of memory", parser->path);
}

/* ---- sections -------------------------------------------------------------------- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Without blanks around it, in place. */
static char *trim(char *string)
{
    size_t length;

    while (is_blank(*string))
        string++;
    length = strlen(string);
    while (length > 0 && is_blank(string[length - 1]))
        string[--length] = '\0';
    return string;
}

static int unknown_section(const struct parser *parser, const char *name)
{
    for (size_t i = 0; i < SECTION_COUNT; i++) {
        const struct section_info *section = &config_sections[i];

        if (suggest_near(name, section->name))
            return parser_error(parser, parser->line, "there is no section [%s]; [%s%s]?", name,
                                section->name, section->named ? " NAME" : "");
    }
    return parser_error(parser, parser->line,
                        "there is no section [%s]; there are setmov, host NAME, sync, choose, "
                        "group NAME, hook and migrate",
                        name);
}

static int new_host(struct parser *parser, char *name)
{
    struct config *config = &parser->config;
    int rc = array_reserve(&config->hosts, &config->host_capacity, config->host_count + 1,
                           sizeof(*config->hosts));

    if (rc == 0)
        config->hosts[config->host_count++] =
            (struct config_host){.name = name, .line = parser->line};
    return rc;
}

static int new_group(struct parser *parser, char *name)
{
    struct config *config = &parser->config;
    int rc = array_reserve(&config->groups, &config->group_capacity, config->group_count + 1,
                           sizeof(*config->groups));

    if (rc == 0)
        config->groups[config->group_count++] =
            (struct config_group){.name = name, .line = parser->line};
    return rc;
}

/* What the offsets of the section's keys count from: the last host or group, or all of it. */
static void *base_of(struct parser *parser, enum section section)
{
    struct config *config = &parser->config;

    if (section == SECTION_HOST)
        return &config->hosts[config->host_count - 1];
    if (section == SECTION_GROUP)
        return &config->groups[config->group_count - 1];
    return config;
}

static int set_defaults(struct parser *parser, enum section section)
{
    for (size_t i = 0; i < KEY_COUNT; i++) {
        const struct key *key = &config_keys[i];
        int rc = 0;

        if (key->section == section && key->default_text != NULL)
            rc = key->kind->set(key, key->default_text,
                                (char *)base_of(parser, section) + key->offset);
        /* That all of them are understood is tested, so it is memory. */
        if (rc < 0)
            return parser_no_memory(parser);
    }
    return 0;
}

static int begin_named(struct parser *parser, enum section section, char *name)
{
    const char *kind = config_sections[section].name;
    char *copy;
    int rc;

    if (!value_unquote(name) || !config_is_name(name))
        return parser_error(parser, parser->line,
                            "[%s %s]: the name of a %s is of letters, digits, '.', '_' and '-', "
                            "with a letter or digit first",
                            kind, name, kind);
    copy = strdup(name);
    rc = copy == NULL              ? -ENOMEM
         : section == SECTION_HOST ? new_host(parser, copy)
                                   : new_group(parser, copy);
    if (rc < 0) {
        free(copy);
        return parser_no_memory(parser);
    }
    for (size_t i = 0; i < KEY_COUNT; i++) {
        if (config_keys[i].section == section)
            parser->key_lines[i] = 0;
    }
    return set_defaults(parser, section);
}

/* Behind the last line of a section. */
static int end_section(struct parser *parser)
{
    enum section section;

    if (parser->section == NULL)
        return 0;
    section = (enum section)(parser->section - config_sections);
    for (size_t i = 0; i < KEY_COUNT; i++) {
        if (config_keys[i].section == section && config_keys[i].required &&
            parser->key_lines[i] == 0)
            return parser_error(parser, parser->section_lines[section], "this [%s] has no '%s'",
                                parser->section->name, config_keys[i].name);
    }
    return 0;
}

/* `header` is what stands between the brackets. */
static int begin_section(struct parser *parser, char *header)
{
    char *name = header + strcspn(header, " \t");
    int rc = end_section(parser);

    if (rc < 0)
        return rc;
    if (*name != '\0')
        *name++ = '\0';
    name = trim(name);
    for (size_t i = 0; i < SECTION_COUNT; i++) {
        const struct section_info *section = &config_sections[i];

        if (strcmp(section->name, header) != 0)
            continue;
        if (section->named && *name == '\0')
            return parser_error(parser, parser->line, "[%s] needs a name: [%s NAME]", header,
                                header);
        if (!section->named && *name != '\0')
            return parser_error(parser, parser->line, "[%s] takes no name", header);
        if (!section->named && parser->section_lines[i] > 0)
            return parser_error(parser, parser->line, "there is a [%s] already, in line %u", header,
                                parser->section_lines[i]);
        parser->section = section;
        parser->section_lines[i] = parser->line;
        return section->named ? begin_named(parser, (enum section)i, name) : 0;
    }
    return unknown_section(parser, header);
}

/* ---- keys ------------------------------------------------------------------------- */

static int unknown_key(const struct parser *parser, const char *name)
{
    const struct key *nearest = NULL, *elsewhere = NULL;
    const char *section = parser->section->name;
    size_t least = SIZE_MAX;

    for (size_t i = 0; i < KEY_COUNT; i++) {
        const struct key *key = &config_keys[i];
        size_t distance = suggest_distance(name, key->name);

        if (&config_sections[key->section] != parser->section) {
            if (distance == 0 && elsewhere == NULL)
                elsewhere = key;
        } else if (distance < least && suggest_near(name, key->name)) {
            least = distance;
            nearest = key;
        }
    }
    if (nearest != NULL)
        return parser_error(parser, parser->line, "[%s] has no key '%s'; '%s'?", section, name,
                            nearest->name);
    if (elsewhere != NULL)
        return parser_error(parser, parser->line, "[%s] has no key '%s'; it is one of [%s]",
                            section, name, config_sections[elsewhere->section].name);
    return parser_error(parser, parser->line, "[%s] has no key '%s'", section, name);
}

static int bad_value(const struct parser *parser, const struct key *key, const char *value)
{
    char expected[sizeof(((struct config_key *)NULL)->value)];

    value_describe(key, expected, sizeof(expected));
    return parser_error(
        parser, parser->line, "%s: '%.120s' is not %s%s", key->name, value, expected,
        strpbrk(value, "#;") != NULL ? " (comments stand in lines of their own)" : "");
}

static int set_key(struct parser *parser, const struct key *key, char *value)
{
    unsigned *line = &parser->key_lines[key - config_keys];
    int rc;

    if (*line > 0)
        return parser_error(parser, parser->line, "%s stands in line %u already", key->name, *line);
    *line = parser->line;
    if (*value == '\0')
        return parser_error(parser, parser->line,
                            "%s has no value; without the line it has its default", key->name);
    if (!key->kind->list && !value_unquote(value))
        return parser_error(parser, parser->line,
                            "%s: quotes may only stand around the whole value", key->name);
    rc = key->kind->set(key, value, (char *)base_of(parser, key->section) + key->offset);
    if (rc == -ENOMEM)
        return parser_no_memory(parser);
    return rc < 0 ? bad_value(parser, key, value) : 0;
}

/* ---- lines ------------------------------------------------------------------------ */

/* NULL, or what is wrong with the characters of the line. */
static const char *bad_characters(const char *line, size_t length)
{
    const char *at = line;

    while (*at != '\0') {
        uint32_t character;
        size_t bytes = utf8_decode(at, &character);

        if (bytes == 0)
            return "not UTF-8 text";
        if (character != '\t' && utf8_is_unfit(character))
            return "a control character, or one that is not seen";
        at += bytes;
    }
    return (size_t)(at - line) != length ? "a NUL character" : NULL;
}

static int read_header(struct parser *parser, char *line)
{
    size_t length = strlen(line);

    if (line[length - 1] != ']')
        return parser_error(parser, parser->line, "'%.120s' does not end with ]", line);
    line[length - 1] = '\0';
    return begin_section(parser, trim(line + 1));
}

static int read_pair(struct parser *parser, char *line)
{
    char *value = strchr(line, '='), *name;

    if (value == NULL)
        return parser_error(parser, parser->line, "'%.120s' is neither [section] nor key = value",
                            line);
    *value++ = '\0';
    name = trim(line);
    if (parser->section == NULL)
        return parser_error(parser, parser->line, "'%.120s' stands before the first [section]",
                            name);
    for (size_t i = 0; i < KEY_COUNT; i++) {
        const struct key *key = &config_keys[i];

        if (&config_sections[key->section] == parser->section && strcmp(key->name, name) == 0)
            return set_key(parser, key, trim(value));
    }
    return unknown_key(parser, name);
}

static int read_line(struct parser *parser, struct text text)
{
    CLEANUP(cleanup_free) char *copy = NULL;
    const char *bad;
    char *line;

    if (text_length(text) > 0 && text.end[-1] == '\r')
        text.end--;
    while (text_length(text) > 0 && is_blank(*text.at))
        text.at++;
    if (text_length(text) == 0 || *text.at == '#' || *text.at == ';')
        return 0;
    copy = malloc(text_length(text) + 1);
    if (copy == NULL)
        return parser_no_memory(parser);
    text_copy(text, copy, text_length(text) + 1);
    bad = bad_characters(copy, text_length(text));
    if (bad != NULL)
        return parser_error(parser, parser->line, "%s", bad);
    line = trim(copy);
    return *line == '[' ? read_header(parser, line) : read_pair(parser, line);
}

int parser_read(struct parser *parser, struct text text)
{
    struct text line;
    int rc = 0;

    /* The mark that editors on other systems put before UTF-8. */
    if (text_starts_with(text, "\xef\xbb\xbf"))
        text.at += 3;
    for (size_t i = 0; i < SECTION_COUNT && rc == 0; i++) {
        if (!config_sections[i].named)
            rc = set_defaults(parser, (enum section)i);
    }
    while (rc == 0 && text_next_line(&text, &line)) {
        parser->line++;
        rc = read_line(parser, line);
    }
    return rc < 0 ? rc : end_section(parser);
}

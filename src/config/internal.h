/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of this stage share: the table of keys, kinds of values, names that are near. */
#ifndef SETMOV_CONFIG_INTERNAL_H
#define SETMOV_CONFIG_INTERNAL_H

#include "setmov/config.h"

/* ---- kinds of values (values.c) ------------------------------------------------ */

struct key;

struct value_kind {
    const char *expected; /* "is not ..." */
    /*
     * Sets the member from a value without blanks around it; what was there is released. On
     * failure the member is as before. -ENOMEM; any other error: not what is expected.
     */
    int (*set)(const struct key *key, const char *value, void *member);
    void (*release)(void *member); /* NULL: nothing is owned */
    bool list;                     /* words: each may stand in quotes, not the whole */
};

extern const struct value_kind value_boolean, value_whole, value_size, value_bandwidth,
    value_duration, value_weight, value_percent, value_choice, value_name, value_label, value_uri,
    value_path, value_paths, value_labels, value_block_sizes, value_margin, value_log,
    value_override;

/* What the key takes, for messages and manuals. */
void value_describe(const struct key *key, char *buffer, size_t size);

bool value_is_label(const char *label);

/* An absolute path without doubled and trailing slashes, "." and ".."; not "/". -EINVAL, -ENOMEM. */
int value_clean_path(const char *value, char **ret_path);

/*
 * Takes the quotes off a value that stands in them, in place. False where a quotation mark stands
 * anywhere else.
 */
bool value_unquote(char *value);

/* ---- numbers with units (units.c) ---------------------------------------------- */

/* Whole numbers with a unit, in the base unit: bytes, bit/s, seconds. 0, -EINVAL or -ERANGE. */
int units_whole(const char *text, uint64_t *ret_value);
int units_size(const char *text, uint64_t *ret_bytes);
int units_bandwidth(const char *text, uint64_t *ret_bits_per_s);
int units_duration(const char *text, uint64_t *ret_seconds);
int units_percent(const char *text, double *ret_percent); /* 0 to 100; "%" may follow */

/* ---- the table (keys.c) --------------------------------------------------------- */

enum section {
    SECTION_SETMOV,
    SECTION_HOST,
    SECTION_SYNC,
    SECTION_CHOOSE,
    SECTION_GROUP,
    SECTION_HOOK,
    SECTION_MIGRATE
};
#define SECTION_COUNT 7

struct section_info {
    const char *name;
    bool named; /* [host NAME]: any number of them */
};
extern const struct section_info config_sections[SECTION_COUNT];

#define KEY_COUNT 54

struct key {
    enum section section;
    const char *name;
    const struct value_kind *kind;
    size_t offset; /* of the member in struct config, config_host, config_group */
    const char *default_text;
    const char *minimum, *maximum; /* of numbers, written as the value is; NULL: none */
    const char *const *choices;    /* NULL at the end; their places are the values of the enum */
    const char *zero;              /* the word for 0, which is out of the bounds */
    bool required;
    const char *help;
};
extern const struct key config_keys[];

/* ---- names that are near (suggest.c) --------------------------------------------- */

/* How many letters to change, add, leave out or swap with their neighbour. */
size_t suggest_distance(const char *a, const char *b);

/* Whether somebody who wrote `written` may have meant `known`. */
bool suggest_near(const char *written, const char *known);

#endif

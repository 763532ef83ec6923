/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Settings of a new image: only such as change how it is laid out, never what it refers to. */
#include "image/write.h"

#include "image/header.h"

#include <errno.h>

#define SETTINGS_MOST ((size_t)512)
#define USUAL_CLUSTER ((uint64_t)65536)
#define CLUSTER_PARTS 32 /* with extended_l2 */
#define VDI_BLOCK     ((uint64_t)1048576)

struct setting {
    const char *format, *key;
    const char *const *values; /* NULL at the end */
};

#define VALUES(...)                                                                                \
    (const char *const[])                                                                          \
    {                                                                                              \
        __VA_ARGS__, NULL                                                                          \
    }

static const struct setting allowed[] = {
    {"qcow2", "compat", VALUES("0.10", "1.1", "v2", "v3")},
    {"qcow2", "cluster_size",
     VALUES("512", "1024", "2048", "4096", "8192", "16384", "32768", "65536", "131072", "262144",
            "524288", "1048576", "2097152")},
    {"qcow2", "extended_l2", VALUES("on", "off")},
    {"qcow2", "lazy_refcounts", VALUES("on", "off")},
    {"qcow2", "refcount_bits", VALUES("1", "2", "4", "8", "16", "32", "64")},
    {"qcow2", "compression_type", VALUES("zlib", "zstd")},
    {"qcow2", "preallocation", VALUES("off")},
    {"vmdk", "subformat", VALUES("monolithicSparse")},
};

static const struct setting *find(const char *format, struct text key)
{
    for (size_t i = 0; i < ARRAY_LENGTH(allowed); i++) {
        if (strcmp(allowed[i].format, format) == 0 && text_equals(key, allowed[i].key))
            return &allowed[i];
    }
    return NULL;
}

static bool has_value(const struct setting *setting, struct text value)
{
    for (size_t i = 0; setting->values[i] != NULL; i++) {
        if (text_equals(value, setting->values[i]))
            return true;
    }
    return false;
}

/* Takes "key=value" up to the next comma. False at the end. */
static bool next(struct text *rest, struct text *ret_key, struct text *ret_value)
{
    const char *comma, *equals;

    if (rest->at == NULL)
        return false;
    comma = memchr(rest->at, ',', text_length(*rest));
    *ret_key = (struct text){rest->at, comma != NULL ? comma : rest->end};
    *rest = comma != NULL ? (struct text){comma + 1, rest->end} : (struct text){NULL, NULL};
    equals = memchr(ret_key->at, '=', text_length(*ret_key));
    *ret_value = (struct text){equals != NULL ? equals + 1 : ret_key->end, ret_key->end};
    if (equals != NULL)
        ret_key->end = equals;
    return true;
}

int write_settings_check(const char *format, const char *settings, struct error *err)
{
    struct text rest, key, value;

    if (settings == NULL || settings[0] == '\0')
        return 0;
    if (strnlen(settings, SETTINGS_MOST + 1) > SETTINGS_MOST)
        return error_set(err, -EINVAL, "its settings are too long");
    rest = text_of(settings, strlen(settings));
    while (next(&rest, &key, &value)) {
        const struct setting *setting = find(format, key);

        if (setting == NULL || !has_value(setting, value)) {
            char shown[64];

            text_copy((struct text){key.at, value.end}, shown, sizeof(shown));
            text_make_one_line(shown);
            return error_set(err, -EINVAL, "the setting %s is not allowed for %s images", shown,
                             format);
        }
    }
    return 0;
}

/* The value of a key, as text; false: it does not stand there. */
static bool find_value(const char *settings, const char *key, struct text *ret_value)
{
    struct text rest, name, value;
    bool found = false;

    if (settings == NULL)
        return false;
    rest = text_of(settings, strlen(settings));
    while (next(&rest, &name, &value)) {
        if (text_equals(name, key)) {
            *ret_value = value; /* the last one counts, as with qemu-img */
            found = true;
        }
    }
    return found;
}

uint64_t write_settings_cluster(const char *settings)
{
    uint64_t cluster = USUAL_CLUSTER;
    struct text value;

    if (find_value(settings, "cluster_size", &value))
        (void)text_next_u64(&value, &cluster);
    if (find_value(settings, "extended_l2", &value) && text_equals(value, "on"))
        cluster /= CLUSTER_PARTS;
    return cluster;
}

bool write_settings_knows_zeroes(const char *settings)
{
    struct text value;

    return !find_value(settings, "compat", &value) ||
           !(text_equals(value, "0.10") || text_equals(value, "v2"));
}

uint64_t image_write_unit(const struct image_write_options *options)
{
    if (strcmp(options->format, "raw") == 0 ||
        write_settings_check(options->format, options->settings, NULL) < 0)
        return 1;
    if (strcmp(options->format, "vdi") == 0)
        return VDI_BLOCK;
    return write_settings_cluster(options->settings);
}

bool image_write_zeroes_are_data(const struct image_write_options *options)
{
    return options->backing != NULL && !write_settings_knows_zeroes(options->settings);
}

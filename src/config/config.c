/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The text of a configuration in, a struct config out: see setmov/config.h. */
#include "parser.h"

#include <errno.h>

static void release_members(enum section section, void *base)
{
    for (size_t i = 0; i < KEY_COUNT; i++) {
        if (config_keys[i].section == section && config_keys[i].kind->release != NULL)
            config_keys[i].kind->release((char *)base + config_keys[i].offset);
    }
}

void config_release(struct config *config)
{
    if (config == NULL)
        return;
    for (size_t i = 0; i < config->host_count; i++) {
        release_members(SECTION_HOST, &config->hosts[i]);
        free(config->hosts[i].name);
    }
    for (size_t i = 0; i < config->group_count; i++) {
        release_members(SECTION_GROUP, &config->groups[i]);
        free(config->groups[i].name);
    }
    for (size_t i = 0; i < SECTION_COUNT; i++) {
        if (!config_sections[i].named)
            release_members((enum section)i, config);
    }
    free(config->hosts);
    free(config->groups);
    free(config->path);
    *config = (struct config){.path = NULL};
}

static int compare_with_name(const void *name, const void *host)
{
    return strcmp(name, ((const struct config_host *)host)->name);
}

const struct config_host *config_host_find(const struct config *config, const char *name)
{
    if (config->host_count == 0)
        return NULL;
    return bsearch(name, config->hosts, config->host_count, sizeof(*config->hosts),
                   compare_with_name);
}

int config_parse(const char *text, size_t length, const char *path, const char *own_name,
                 struct config *ret_config, struct error *err)
{
    struct parser parser = {.path = path, .err = err};
    int rc;

    if (length > CONFIG_MAX_BYTES)
        return error_set(err, -EFBIG, "%s: is longer than %zu bytes", path, CONFIG_MAX_BYTES);
    parser.config.path = strdup(path);
    rc = parser.config.path == NULL ? parser_no_memory(&parser) : 0;
    if (rc == 0)
        rc = parser_read(&parser, text_of(text, length));
    if (rc == 0)
        rc = parser_complete(&parser, own_name);
    if (rc < 0) {
        config_release(&parser.config);
        return rc;
    }
    *ret_config = parser.config;
    return 0;
}

int config_parse_bandwidth(const char *text, uint64_t *ret_bits_per_s)
{
    return units_bandwidth(text, ret_bits_per_s);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzz target: setmov.conf. What is refused says where; what is taken has all that its header
 * promises.
 */
#include "setmov/config.h"

#include <errno.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool condition)
{
    if (!condition)
        abort();
}

static void check_host(const struct config *config, size_t index)
{
    const struct config_host *host = &config->hosts[index];

    must(config_host_find(config, host->name) == host);
    must(index == 0 || strcmp(config->hosts[index - 1].name, host->name) < 0);
    must(strchr(host->name, '/') == NULL && host->name[0] != '.');
    must(strstr(host->uri, "://") != NULL && strstr(host->sync_uri, "://") != NULL);
    must(host->pool[0] != '\0' && host->setmov_pool[0] != '\0' && host->trust_domain[0] != '\0');
    must(strcmp(host->incoming_pool, host->setmov_pool) != 0);
    must(host->line > 0);
}

static void check(const struct config *config)
{
    double weights = config->choose.weight_bytes + config->choose.weight_cpu +
                     config->choose.weight_memory + config->choose.weight_space;

    must(weights > 0.999 && weights < 1.001);
    must(config->setmov.name[0] != '\0' && strchr(config->setmov.name, '/') == NULL);
    must(config->setmov.block_sizes.count >= 1 &&
         config->setmov.block_sizes.count <= CONFIG_MAX_BLOCK_SIZES);
    must((config->setmov.digest == CONFIG_DIGEST_KEYED) == (config->setmov.key_file != NULL));
    must(config->hook.directories.count > 0 && config->hook.policy <= CONFIG_OFF);
    for (size_t i = 0; i < config->hook.directories.count; i++) {
        const char *path = config->hook.directories.items[i];
        size_t length = strlen(path);

        must(path[0] == '/' && length > 1 && path[length - 1] != '/');
        must(strstr(path, "//") == NULL && strstr(path, "/../") == NULL);
    }
    for (size_t i = 0; i < config->host_count; i++)
        check_host(config, i);
    for (size_t i = 0; i < config->group_count; i++)
        must(config->groups[i].vms.count > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config config = {.path = NULL};
    struct error err = {""};
    int rc = config_parse((const char *)data, size, "f", "here", &config, &err);

    if (rc == 0)
        check(&config);
    else
        must(config.path == NULL && strncmp(err.text, "f:", 2) == 0);
    config_release(&config);
    return 0;
}

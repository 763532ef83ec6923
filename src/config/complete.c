/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Behind the last line: order, what hosts take from [setmov], keys checked against keys. */
#include "parser.h"

#include <errno.h>

static unsigned line_of(const struct parser *parser, enum section section, const char *name)
{
    for (size_t i = 0; i < KEY_COUNT; i++) {
        if (config_keys[i].section == section && strcmp(config_keys[i].name, name) == 0)
            return parser->key_lines[i];
    }
    return 0;
}

/* ---- order ------------------------------------------------------------------------ */

/* Equal names in the order of their lines. */
static int compare(const char *a, const char *b, unsigned a_line, unsigned b_line)
{
    int order = strcmp(a, b);

    return order != 0 ? order : (a_line > b_line) - (a_line < b_line);
}

static int compare_hosts(const void *a, const void *b)
{
    const struct config_host *left = a, *right = b;

    return compare(left->name, right->name, left->line, right->line);
}

static int compare_groups(const void *a, const void *b)
{
    const struct config_group *left = a, *right = b;

    return compare(left->name, right->name, left->line, right->line);
}

static int sort_hosts(struct parser *parser)
{
    struct config_host *hosts = parser->config.hosts;
    size_t count = parser->config.host_count;

    if (count > 1)
        qsort(hosts, count, sizeof(*hosts), compare_hosts);
    for (size_t i = 1; i < count; i++) {
        if (strcmp(hosts[i - 1].name, hosts[i].name) == 0)
            return parser_error(parser, hosts[i].line, "there is a [host %s] already, in line %u",
                                hosts[i].name, hosts[i - 1].line);
    }
    return 0;
}

static int sort_groups(struct parser *parser)
{
    struct config_group *groups = parser->config.groups;
    size_t count = parser->config.group_count;

    if (count > 1)
        qsort(groups, count, sizeof(*groups), compare_groups);
    for (size_t i = 1; i < count; i++) {
        if (strcmp(groups[i - 1].name, groups[i].name) == 0)
            return parser_error(parser, groups[i].line, "there is a [group %s] already, in line %u",
                                groups[i].name, groups[i - 1].line);
    }
    return 0;
}

/* ---- this host and the others ------------------------------------------------------ */

static int copy_string(const struct parser *parser, const char *from, char **to)
{
    char *copy = strdup(from);

    if (copy == NULL)
        return parser_no_memory(parser);
    free(*to);
    *to = copy;
    return 0;
}

static int name_this_host(struct parser *parser, const char *own_name)
{
    if (parser->config.setmov.name != NULL)
        return 0;
    if (own_name == NULL || !config_is_name(own_name))
        return error_set(parser->err, -EINVAL,
                         "%s: [setmov] has no 'name', and this host's own '%s' does not do",
                         parser->path, own_name != NULL ? own_name : "");
    return copy_string(parser, own_name, &parser->config.setmov.name);
}

/* What its [host] section says of this host is so, whatever [setmov] says for the others. */
static int adopt_own_section(struct parser *parser, const struct config_host *own)
{
    struct config *config = &parser->config;
    int rc = copy_string(parser, own->pool, &config->setmov.pool);

    if (rc == 0)
        rc = copy_string(parser, own->setmov_pool, &config->setmov.setmov_pool);
    if (rc == 0)
        rc = copy_string(parser, own->incoming_pool, &config->setmov.incoming_pool);
    if (rc == 0)
        rc = copy_string(parser, own->trust_domain, &config->setmov.trust_domain);
    return rc;
}

static int fill_in_hosts(struct parser *parser)
{
    struct config *config = &parser->config;
    const struct config_host *own;
    int rc = 0;

    for (size_t i = 0; i < config->host_count && rc == 0; i++) {
        struct config_host *host = &config->hosts[i];

        if (host->sync_uri == NULL)
            rc = copy_string(parser, host->uri, &host->sync_uri);
        if (rc == 0 && host->pool == NULL)
            rc = copy_string(parser, config->setmov.pool, &host->pool);
        if (rc == 0 && host->setmov_pool == NULL)
            rc = copy_string(parser, config->setmov.setmov_pool, &host->setmov_pool);
        if (rc == 0 && host->incoming_pool == NULL)
            rc = copy_string(parser, config->setmov.incoming_pool, &host->incoming_pool);
        if (rc == 0 && host->trust_domain == NULL)
            rc = copy_string(parser, config->setmov.trust_domain, &host->trust_domain);
        if (host->bandwidth_bits_per_s == 0)
            host->bandwidth_bits_per_s = config->setmov.bandwidth_bits_per_s;
    }
    own = config_host_find(config, config->setmov.name);
    return rc == 0 && own != NULL ? adopt_own_section(parser, own) : rc;
}

/* Who may read the one is not to write into the other. */
static int check_pools(const struct parser *parser)
{
    const struct config *config = &parser->config;
    unsigned line = line_of(parser, SECTION_SETMOV, "incoming-pool");
    const char *twice = NULL;

    if (strcmp(config->setmov.incoming_pool, config->setmov.setmov_pool) == 0)
        twice = config->setmov.incoming_pool;
    for (size_t i = 0; i < config->host_count && twice == NULL; i++) {
        const struct config_host *host = &config->hosts[i];

        if (strcmp(host->incoming_pool, host->setmov_pool) != 0)
            continue;
        twice = host->incoming_pool;
        line = host->line;
    }
    if (twice == NULL)
        return 0;
    return parser_error(parser, line > 0 ? line : line_of(parser, SECTION_SETMOV, "setmov-pool"),
                        "incoming-pool and setmov-pool may not be one: %s", twice);
}

/* The hook writes where the commands do unless it is told otherwise. */
static int fill_in_hook_log(struct parser *parser)
{
    struct config *config = &parser->config;

    if (line_of(parser, SECTION_HOOK, "log") > 0)
        return 0;
    config->hook.log =
        (struct config_log){config->setmov.log.syslog, config->setmov.log.journal, NULL};
    return config->setmov.log.file == NULL
               ? 0
               : copy_string(parser, config->setmov.log.file, &config->hook.log.file);
}

/* ---- keys against keys -------------------------------------------------------------- */

static int check_key_file(const struct parser *parser)
{
    const struct config *config = &parser->config;
    bool keyed = config->setmov.digest == CONFIG_DIGEST_KEYED;

    if (keyed && config->setmov.key_file == NULL)
        return parser_error(parser, line_of(parser, SECTION_SETMOV, "digest"),
                            "digest = keyed needs a key-file");
    if (!keyed && config->setmov.key_file != NULL)
        return parser_error(parser, line_of(parser, SECTION_SETMOV, "key-file"),
                            "key-file goes with digest = keyed only");
    return 0;
}

static bool lies_in(const char *path, const char *directory)
{
    size_t length = strlen(directory);

    return strncmp(path, directory, length) == 0 && (path[length] == '\0' || path[length] == '/');
}

static bool are_one_tree(const char *left, const char *right)
{
    return lies_in(left, right) || lies_in(right, left);
}

/* Whoever may send a VM here writes into `incoming`. */
static int check_incoming(const struct parser *parser)
{
    const struct config *config = &parser->config;
    const char *incoming = config->setmov.incoming;
    unsigned line = line_of(parser, SECTION_SETMOV, "incoming");

    if (are_one_tree(incoming, config->setmov.index))
        return parser_error(parser, line > 0 ? line : line_of(parser, SECTION_SETMOV, "index"),
                            "incoming %s and index %s may not be one, nor lie in each other",
                            incoming, config->setmov.index);
    if (are_one_tree(incoming, config->sync.cache))
        return parser_error(parser, line > 0 ? line : line_of(parser, SECTION_SYNC, "cache"),
                            "incoming %s and cache %s may not be one, nor lie in each other",
                            incoming, config->sync.cache);
    if (lies_in(config->setmov.state, incoming))
        return parser_error(parser, line > 0 ? line : line_of(parser, SECTION_SETMOV, "state"),
                            "state %s may not be incoming %s, nor lie in it", config->setmov.state,
                            incoming);
    return 0;
}

/* All that lies in an index directory is shown to the peers, so nothing else may lie there. */
static int check_directories(const struct parser *parser)
{
    const struct config *config = &parser->config;
    const char *index = config->setmov.index, *cache = config->sync.cache;
    unsigned line = line_of(parser, SECTION_SYNC, "cache"),
             state_line = line_of(parser, SECTION_SETMOV, "state");

    if (lies_in(config->setmov.state, index))
        return parser_error(
            parser, state_line > 0 ? state_line : line_of(parser, SECTION_SETMOV, "index"),
            "state %s may not be the index %s, nor lie in it", config->setmov.state, index);
    if (!are_one_tree(index, cache))
        return check_incoming(parser);
    return parser_error(parser, line > 0 ? line : line_of(parser, SECTION_SETMOV, "index"),
                        "cache %s and index %s may not be one, nor lie in each other", cache,
                        index);
}

static int normalise_weights(struct parser *parser)
{
    static const char *const names[] = {"weight-bytes", "weight-cpu", "weight-memory",
                                        "weight-space"};
    struct config *config = &parser->config;
    double sum = config->choose.weight_bytes + config->choose.weight_cpu +
                 config->choose.weight_memory + config->choose.weight_space;
    unsigned line = 0;

    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        unsigned found = line_of(parser, SECTION_CHOOSE, names[i]);

        line = found > line ? found : line;
    }
    if (!(sum > 0))
        return parser_error(parser, line, "one of the weights must be above 0");
    config->choose.weight_bytes /= sum;
    config->choose.weight_cpu /= sum;
    config->choose.weight_memory /= sum;
    config->choose.weight_space /= sum;
    return 0;
}

int parser_complete(struct parser *parser, const char *own_name)
{
    int rc = sort_hosts(parser);

    if (rc == 0)
        rc = sort_groups(parser);
    if (rc == 0)
        rc = check_key_file(parser);
    if (rc == 0)
        rc = check_directories(parser);
    if (rc == 0)
        rc = normalise_weights(parser);
    if (rc == 0)
        rc = name_this_host(parser, own_name);
    if (rc == 0)
        rc = fill_in_hosts(parser);
    if (rc == 0)
        rc = check_pools(parser);
    return rc < 0 ? rc : fill_in_hook_log(parser);
}

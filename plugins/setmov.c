/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The collectd plugin `setmov`: registration, configuration, start and stop.
 * What is measured and how: docs/collectd-setmov.5.
 *
 * There is no read callback: the sampler thread dispatches by itself, at ticks
 * that its values' times name, and never waits for collectd's read threads (nor
 * they for it). The price is that `collectd -T`, which calls each read
 * callback once, shows nothing of this plugin: its figures need two samples
 * and so would a callback's.
 */
#include "plugin.h"

#include <errno.h>
#include <math.h>

#include "setmov_config.h"
#include "setmov_emit.h"
#include "setmov_sampler.h"

/*
 * A stop waits that long for the cycle that is under way. It never waits for
 * libvirt: the cycle gives its calls up at once.
 */
#define STOP_TIMEOUT_S 2.0

__attribute__((visibility("default"))) void module_register(void);

/* collectd's callbacks have no argument of their own, so this cannot live elsewhere. */
static struct {
    struct setmov_config config;
    bool config_bad; /* an option was wrong: do not start */
    struct sampler *sampler;
} plugin;

/* ---- types ---------------------------------------------------------------------------- */

/* The same as etc/setmov.types.db; a test holds that. */
static void register_types(void)
{
    static const struct {
        const char *type;
        const char *sources[2];
    } types[] = {
        {"setmov_percent", {"value", NULL}},   {"setmov_disk", {"read", "write"}},
        {"setmov_latency", {"read", "write"}}, {"setmov_packets", {"rx", "tx"}},
        {"setmov_packet_size", {"rx", "tx"}},  {"setmov_bits", {"rx", "tx"}},
    };

    for (size_t i = 0; i < ARRAY_LENGTH(types); i++) {
        data_source_t sources[2];
        data_set_t set = {.ds_num = 0, .ds = sources};

        string_copy(set.type, sizeof(set.type), types[i].type);
        while (set.ds_num < 2 && types[i].sources[set.ds_num] != NULL) {
            data_source_t *source = &sources[set.ds_num];

            *source = (data_source_t){.type = DS_TYPE_GAUGE, .min = 0, .max = NAN};
            string_copy(source->name, sizeof(source->name), types[i].sources[set.ds_num]);
            set.ds_num++;
        }
        plugin_register_data_set(&set);
    }
}

/* ---- callbacks --------------------------------------------------------------------------- */

/*
 * Called for every <Plugin setmov> block. Always returns 0: anything else
 * would end collectd with all its other plugins. A bad option is logged here
 * and keeps this plugin from starting.
 */
static int config_block(oconfig_item_t *block)
{
    for (int i = 0; i < block->children_num; i++) {
        struct error err = {""};

        if (setmov_config_apply(&plugin.config, &block->children[i], &err) < 0) {
            ERROR(PLUGIN_NAME " plugin: %s", err.text);
            plugin.config_bad = true;
        }
    }
    return 0;
}

static int start(struct error *err)
{
    cdtime_t interval = plugin_get_interval();
    int status = setmov_config_complete(&plugin.config, CDTIME_T_TO_DOUBLE(interval), err);

    if (status < 0)
        return status;
    if (plugin.config.refresh_interval_given)
        INFO(PLUGIN_NAME " plugin: option `RefreshInterval' is not needed: every cycle sees every "
                         "VM and device");
    status = sampler_new(&plugin.config, interval, &plugin.sampler, err);
    if (status < 0)
        return status;
    status = sampler_start(plugin.sampler, err);
    if (status < 0) {
        sampler_free(plugin.sampler);
        plugin.sampler = NULL;
    }
    return status;
}

/* A negative result makes collectd say that this plugin does not run, and go on. */
static int init(void)
{
    struct error err = {""};

    if (plugin.config_bad)
        return -1;
    if (plugin.sampler != NULL)
        return 0;
    if (start(&err) < 0) {
        ERROR(PLUGIN_NAME " plugin: %s", err.text);
        return -1;
    }
    return 0;
}

static int shut_down(void)
{
    if (plugin.sampler != NULL) {
        if (!sampler_stop(plugin.sampler, STOP_TIMEOUT_S)) {
            /* What the thread still uses stays; the process ends anyway. */
            WARNING(PLUGIN_NAME " plugin: the sampler does not end; collectd stops without it");
            return 0;
        }
        sampler_free(plugin.sampler);
        plugin.sampler = NULL;
    }
    setmov_config_release(&plugin.config);
    return 0;
}

void module_register(void)
{
    setmov_config_init(&plugin.config);
    register_types();
    plugin_register_complex_config(PLUGIN_NAME, config_block);
    plugin_register_init(PLUGIN_NAME, init);
    plugin_register_shutdown(PLUGIN_NAME, shut_down);
}

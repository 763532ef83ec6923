/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The plugin's options: one table of keys turns the items of
 * <Plugin setmov> blocks into one struct. Pure: takes collectd's parsed items,
 * says in words what is wrong, logs nothing.
 *
 * docs/collectd-setmov.5 describes every key; a test holds that both agree.
 */
#ifndef SETMOV_PLUGIN_CONFIG_H
#define SETMOV_PLUGIN_CONFIG_H

#include "liboconfig/oconfig.h"

#include "setmov/base.h"
#include "setmov_filter.h"

enum identity_field { IDENTITY_NAME, IDENTITY_UUID, IDENTITY_HOSTNAME };

/* Fields that are joined by colons; none: empty. */
struct identity_format {
    enum identity_field fields[3];
    unsigned count;
};

enum block_device_format { BLOCK_DEVICE_TARGET, BLOCK_DEVICE_SOURCE };
enum interface_format { INTERFACE_NAME, INTERFACE_ADDRESS };

struct setmov_config {
    char *connection; /* libvirt URI; NULL: libvirt's default */
    char *proc_path;  /* NULL: /proc */
    char *sys_path;   /* NULL: /sys */

    struct filter domains, block_devices, interface_devices;
    struct filter host_disks, host_interfaces;
    bool ignore_selected;
    bool host_ignore_selected;

    struct identity_format hostname_format;
    struct identity_format plugin_instance_format;
    int block_device_format; /* enum block_device_format */
    bool block_device_basename;
    int interface_format; /* enum interface_format */

    bool collect_host, collect_vms;
    bool report_block_devices, report_network_interfaces;
    bool per_cpu;
    bool kernel_path;

    double packet_overhead_bits;
    double balloon_period_s; /* whole seconds; 0: leave the guests' setting alone */
    double deadline_s;       /* 0 until completed: not given */

    bool refresh_interval_given; /* accepted for the virt plugin's users, without effect */
    uint64_t given;              /* bit N: key N of the table was there */
};

void setmov_config_init(struct setmov_config *config); /* the defaults */
void setmov_config_release(struct setmov_config *config);

/*
 * Takes one item of a <Plugin setmov> block. Returns 0 or -EINVAL (-ENOMEM);
 * then `err` names the key and the value, and the config is as before.
 */
int setmov_config_apply(struct setmov_config *config, const oconfig_item_t *item,
                        struct error *err);

/*
 * Checks what can only be seen with all options and the interval (s) known,
 * and sets what depends on it. Same errors as above.
 */
int setmov_config_complete(struct setmov_config *config, double interval_s, struct error *err);

/* Name of key number `index`, NULL behind the last: for the test that compares with the manual. */
const char *setmov_config_key(size_t index);

#endif

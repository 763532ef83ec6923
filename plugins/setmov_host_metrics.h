/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Dispatches the metrics of the host and of the plugin itself. Names, units
 * and formulas: docs/collectd-setmov.5. Not thread safe.
 */
#ifndef SETMOV_PLUGIN_HOST_METRICS_H
#define SETMOV_PLUGIN_HOST_METRICS_H

#include "setmov_devices.h"
#include "setmov_emit.h"

#include "setmov/usage.h"

struct host_metrics {
    const struct setmov_config *config; /* must outlive this */
    struct host_usage usage;
    struct device_list disks, interfaces;
    char address[64];          /* what `address_meta` says */
    meta_data_t *address_meta; /* owned */
};

/* What the plugin tells of itself. */
struct self_metrics {
    bool collects_vms;
    bool up; /* connected, and libvirt answers */
    size_t silent_vms;
    unsigned rpc_count;
    uint64_t missed_cycles;
    double started_s; /* CLOCK_MONOTONIC of the cycle's start */
};

/* `before` may be zeroed (the first sample). Returns 0 or -ENOMEM. */
int host_metrics_dispatch(struct host_metrics *metrics, struct emitter *emitter,
                          const struct host_sample *before, const struct host_sample *after);

/* Numbers of VMs of the host; NaN where unknown. */
void host_metrics_dispatch_vm_counts(struct emitter *emitter, double vms, double running);

/* To be called last: the cycle's duration ends here. */
void host_metrics_dispatch_self(struct emitter *emitter, const struct self_metrics *self);

void host_metrics_release(struct host_metrics *metrics); /* leaves it zeroed */

#endif

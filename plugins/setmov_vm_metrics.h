/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Dispatches the metrics of all VMs, and remembers from cycle to cycle what
 * each VM is called in collectd. Names, units and formulas:
 * docs/collectd-setmov.5. Not thread safe.
 *
 * Which series a VM has: state always; the rest while it is active. A figure of
 * the VM as a whole (CPU, steal, memory ...) begins when it is first known and
 * is NaN when it is unknown after that, so a guest that never reports its
 * memory gets no empty series. Counters that libvirt does not tell have none.
 */
#ifndef SETMOV_PLUGIN_VM_METRICS_H
#define SETMOV_PLUGIN_VM_METRICS_H

#include "setmov_devices.h"
#include "setmov_emit.h"

#include "setmov/usage.h"

struct vm_record;

struct vm_metrics {
    const struct setmov_config *config; /* must outlive this */
    struct vm_usage usage;
    struct vm_record **records; /* of the latest set, in its order; owned */
    size_t record_count, record_capacity;
    struct vm_record **spare; /* the array that the next cycle fills */
    size_t spare_capacity;
    double vms, vms_running; /* selected ones of the latest set; NaN: not connected */
};

/*
 * Takes notice of the VMs of `set` (or of none where it is not connected),
 * counts them and forgets those that are gone. Returns 0 or -ENOMEM.
 */
int vm_metrics_update(struct vm_metrics *metrics, const struct vm_set *set);

/*
 * Dispatches the values of `after`, which vm_metrics_update() has seen just
 * before. `before` is the set of the cycle before (zeroed the first time).
 * Then gives the VMs of `after` the readings that they lack, so that it can be
 * the next `before`. Returns 0 or -ENOMEM.
 */
int vm_metrics_dispatch(struct vm_metrics *metrics, struct emitter *emitter, struct vm_set *before,
                        struct vm_set *after);

/*
 * What that VM is called, of the latest set or not. False where the Domain
 * filter leaves it out.
 */
bool vm_metrics_identity(const struct vm_metrics *metrics, const char *name, const char *uuid,
                         struct identity *ret_identity);

void vm_metrics_release(struct vm_metrics *metrics); /* leaves it zeroed */

#endif

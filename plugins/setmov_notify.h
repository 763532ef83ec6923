/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Turns what happened to VMs and to the connection into collectd notifications
 * and log lines.
 */
#ifndef SETMOV_PLUGIN_NOTIFY_H
#define SETMOV_PLUGIN_NOTIFY_H

#include "setmov_vm_metrics.h"

/*
 * A notification (type domain_state) for each event of a selected VM, one log
 * line for each of the connection. `time` is the cycle's.
 */
void notify_events(const struct vm_set *set, const struct vm_metrics *metrics, cdtime_t time);

#endif

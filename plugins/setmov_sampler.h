/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The sampler: reads host and VMs at every tick, in a thread of its own, and
 * dispatches the figures. collectd's read threads have no part in it, so
 * nothing that hangs can hold them.
 */
#ifndef SETMOV_PLUGIN_SAMPLER_H
#define SETMOV_PLUGIN_SAMPLER_H

#include "plugin.h"

#include "setmov/base.h"
#include "setmov_config.h"

struct sampler;

/*
 * Opens the readings that a completed config asks for; the config must outlive
 * the sampler. Connects to nothing yet. Errors name the option at fault.
 */
int sampler_new(const struct setmov_config *config, cdtime_t interval, struct sampler **ret_sampler,
                struct error *err);

/*
 * Starts the thread. Only after collectd has gone into the background: from
 * the init callback.
 */
int sampler_start(struct sampler *sampler, struct error *err);

/*
 * Asks the thread to end and waits `timeout_s` at most. False where it is
 * still at work: then the sampler must not be freed.
 */
bool sampler_stop(struct sampler *sampler, double timeout_s);

/* One cycle, in the calling thread. `dispatch` false: notifications, but no values. */
void sampler_cycle(struct sampler *sampler, uint64_t tick_ns, bool dispatch);

/* After a stop that returned true, or without a start. */
void sampler_free(struct sampler *sampler);

#endif

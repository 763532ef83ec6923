/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How the user ends `setmov stat`: SIGINT and SIGTERM.
 *
 * Both are blocked in every thread, and one thread waits for them: so none is
 * lost between looking and sleeping, and none is held up by a libvirt that
 * does not answer. The first ends the waiting for libvirt and wakes the main
 * thread, from writing too; the second kills as usual.
 */
#ifndef SETMOV_CLI_STAT_STOP_H
#define SETMOV_CLI_STAT_STOP_H

#include "setmov/vm.h"

#include <signal.h>

/* Before any other thread is there: those that come inherit the blocked signals. */
void stat_stop_prepare(void);

/* Begins to wait for the signals; also for those that came since. `source` may be NULL. */
int stat_stop_watch(struct vm_source *source, struct error *err);

/* Has the user had enough? */
bool stat_stopped(void);

/* The signal mask for ppoll and the like, which then end with EINTR at the stop. */
const sigset_t *stat_stop_mask(void);

/* The source may be freed behind this. A first signal has no effect any more. */
void stat_stop_release(void);

#endif

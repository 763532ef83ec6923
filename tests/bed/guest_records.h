/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Records that the test guest keeps writing to a disk. */
#ifndef SETMOV_TESTS_GUEST_RECORDS_H
#define SETMOV_TESTS_GUEST_RECORDS_H

#include <stdbool.h>
#include <stdint.h>

/* Begins to write, in a process of its own, if the disk is made for it; else does nothing. */
void records_start(const char *device);

/*
 * The number of the last record that was synced; with `stop`, after which none is written.
 * Negative errno: -ENODATA when there is no such disk, or why the writing has failed.
 */
int records_synced(bool stop, uint64_t *ret_number);

#endif

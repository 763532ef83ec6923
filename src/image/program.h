/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A program of QEMU's that works for us: it gets descriptors and nothing else
 * of ours, and ends when it is stopped here and when the thread that started
 * it ends.
 */
#ifndef SETMOV_IMAGE_PROGRAM_H
#define SETMOV_IMAGE_PROGRAM_H

#include "setmov/base.h"

#include <sys/types.h>

struct program {
    pid_t pid;    /* 0: none */
    int messages; /* its standard error, does not block; -1: none */
    int output;   /* its standard output; -1: none */
};

struct program_order {
    const char *const *arguments; /* its name is the first; NULL at the end */
    const int *fds;               /* passed on under their numbers (10 and above) */
    size_t fd_count;
    int listener; /* a socket, handed over as systemd does it; -1: none */
    bool has_output;
};

/* `ret_program` is to be stopped even where this fails. -ENOENT: it is not installed. */
int program_start(const struct program_order *order, struct program *ret_program,
                  struct error *err);

/* Ends the process and forgets it; NULL and a stopped one are fine. */
void program_stop(struct program *program);

/* Has the process ended? Then `ret_status` is as of waitpid. */
bool program_has_ended(struct program *program, int *ret_status);

#endif

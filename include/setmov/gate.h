/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Stage gate/: whether a migration that arrives at this host may begin. For the
 * qemu hook, which may not call libvirt: all that is asked lies on this host's
 * disk (catalog_known.h). setmov-hook(8) says what is decided when.
 *
 * The work is done by a child process with limits of time and memory, so that
 * nothing that goes wrong in it stops a migration: a crash passes, with a line
 * in the log. Where the XML has a plan, a program is started that builds the
 * disks (gate_apply.h): there all that goes wrong refuses. Effects throughout.
 */
#ifndef SETMOV_GATE_H
#define SETMOV_GATE_H

#include "setmov/base.h"

#define GATE_LINE_BYTES 4096

struct gate_call {
    const char *name;    /* of the domain, for messages where its XML cannot be read */
    int xml;             /* descriptor of the domain's XML, read to its end */
    const char *config;  /* path; NULL: setmov.conf, or its defaults where there is none */
    unsigned timeout_s;  /* 0: GATE_TIMEOUT_S */
    unsigned silence_s;  /* 0: GATE_SILENCE_S */
    const char *builder; /* path of the program that builds disks; NULL: found beside the hook */
    /* Called in the child before XML is parsed; may be NULL. Negative errno: cannot be parsed. */
    int (*prepare_xml)(struct error *err);
};

/* What the child may take. */
#define GATE_TIMEOUT_S    5
#define GATE_MEMORY_BYTES ((uint64_t)512 << 20) /* of its own, beside mapped files */

/* So long the program that builds disks may not get on. */
#define GATE_SILENCE_S 600
#define GATE_APPLY     "setmov-apply" /* its name, in the directory of the hook or the one above */

struct gate_answer {
    bool refused;
    char refusal[GATE_LINE_BYTES]; /* for who migrates: one line, no newline; "": passed */
    char log[GATE_LINE_BYTES];     /* what was logged; "": nothing */
    bool builds; /* inside of gate/: the XML has a plan, who builds the disks decides */
};

/* Always gives an answer. */
void gate_ask(const struct gate_call *call, struct gate_answer *ret_answer);

#endif

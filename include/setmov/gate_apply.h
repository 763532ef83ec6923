/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A migration that arrives with a plan: the hook builds the disks, then lets it
 * pass, or refuses. Done by a program of its own (hooks/apply.c), which links
 * what reads images; the hook itself stays small and starts it. Effects.
 */
#ifndef SETMOV_GATE_APPLY_H
#define SETMOV_GATE_APPLY_H

#include "setmov/base.h"

struct gate_apply_options {
    const char *config;             /* path; NULL: setmov.conf, or its defaults */
    bool (*stopped)(void *context); /* asked about ten times a second; may be NULL */
    void (*beat)(void *context);    /* called whenever it has come further; may be NULL */
    void *context;
};

/*
 * `xml`: the domain's XML. 0: the disks are there; else `err` has the one line
 * for who migrates. Every disk of the XML that is written to has to be an image
 * of the plan, and the plan the one whose SHA-256 the XML has. Progress, cancel
 * and list of failures as transfer_plan.h names them, in `incoming` of [setmov].
 * The plan's file is locked (flock) meanwhile. -ESTALE: what did not hold is
 * listed in NAME.failed; -EBUSY: the same plan is carried out already;
 * -ECANCELED. Logs what came of it, as [hook] says.
 */
int gate_apply(struct text xml, const struct gate_apply_options *options, struct error *err);

#endif

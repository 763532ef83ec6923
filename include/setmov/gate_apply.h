/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A migration that arrives with a plan: the hook builds the disks, then lets it
 * pass, or refuses. Done by a program of its own (hooks/apply.c), which links
 * what reads images; the hook itself stays small and starts it. Effects.
 */
#ifndef SETMOV_GATE_APPLY_H
#define SETMOV_GATE_APPLY_H

#include "setmov/base.h"

/*
 * `xml`: the domain's XML; `config`: path or NULL. 0: the disks are there; else
 * `err` has the one line for who migrates. Every disk of the XML that is written
 * to has to be an image of the plan, and the plan the one whose SHA-256 the XML
 * has. Progress, cancel and list of failures as transfer_plan.h names them.
 */
int gate_apply(struct text xml, const char *config, struct error *err);

#endif

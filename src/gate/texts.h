/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the gate tells who migrates, and the log. Pure. Private to gate/. */
#ifndef SETMOV_GATE_TEXTS_H
#define SETMOV_GATE_TEXTS_H

#include "gate/gate.h"
#include "setmov/base_log.h"

/* Each writes the decision's answer; by then it is clear whether it is refused. */
void texts_fits(const struct gate_facts *facts, size_t next, struct gate_decision *decision);
void texts_advised(const struct gate_facts *facts, struct gate_decision *decision);
void texts_better(const struct gate_facts *facts, struct gate_decision *decision);
void texts_astray(const struct gate_facts *facts, struct gate_decision *decision);
void texts_overridden(const struct gate_facts *facts, struct gate_decision *decision);
void texts_unknown(const struct gate_facts *facts, struct gate_decision *decision);

/* These add to what the others wrote. */
void texts_not_requested(const char *why, struct gate_decision *decision);
void texts_note_astray(const struct gate_facts *facts, struct gate_decision *decision);

/* XML that is none, of a VM that libvirt calls `name`. */
void texts_hostile(const char *name, const char *why, struct gate_answer *answer);

/* The program that builds disks gave no answer. */
void texts_not_built(const char *name, const char *why, struct gate_answer *answer);

/* Adds to a line, cut where it does not fit. */
void texts_add(char line[GATE_LINE_BYTES], const char *format, ...) PRINTF_LIKE(2, 3);

#endif

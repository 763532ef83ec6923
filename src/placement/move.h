/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The parts of the choice of a VM's host. Private to placement/. */
#ifndef SETMOV_PLACEMENT_MOVE_PARTS_H
#define SETMOV_PLACEMENT_MOVE_PARTS_H

#include "setmov/placement_move.h"

/* One more reason of a rank, made one line. -ENOMEM. */
int move_say(struct placement_move_rank *rank, const char *format, ...) PRINTF_LIKE(2, 3);

/* Leaves a reason for all that keeps the VM from the candidate; none: it is eligible. -ENOMEM. */
int move_filter(const struct placement_vm *vm, const struct placement_candidate *candidate,
                const struct placement_rules *rules, struct placement_move_rank *rank);

/* What reasons of eligible ones are made of. */
struct move_context {
    const struct placement_vm *vm;
    const struct placement_candidate *candidates;
    const struct placement_move *move; /* sorted and scored */
};

/* The reasons of the rank at `place`, an eligible one. -ENOMEM. */
int move_explain(const struct move_context *context, size_t place);

/* Says why the VM stays, if it does. -ENOMEM. */
int move_stay(const struct move_context *context, struct placement_move *move);

#endif

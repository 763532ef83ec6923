/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A plan of which some extents did not hold, made into one that sends them. Pure. */
#ifndef MIGRATE_RESEND_H
#define MIGRATE_RESEND_H

#include "setmov/transfer_make.h"

/*
 * The failed extents, and all that came from failed parts, are to be sent
 * (TRANSFER_SENT from UINT32_MAX); parts that nothing comes from any more go.
 * Failed extents of parts that are not among the `known` ones, of earlier tries, stay
 * as they are: what lies in those was read of the very image. `ret_figures`: what they
 * were; `sent`: all that is sent now. -ENODATA: nothing; -ENOMEM.
 */
int migrate_resend(struct transfer_plan *plan, const struct transfer_known_part *known,
                   size_t known_count, const struct transfer_failed *failed,
                   struct transfer_figures *ret_figures, struct error *err);

#endif

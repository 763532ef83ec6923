/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A plan of which some extents did not hold, made into one that sends them. Pure. */
#ifndef MIGRATE_RESEND_H
#define MIGRATE_RESEND_H

#include "setmov/transfer_plan.h"

/*
 * The failed extents, and all that came from failed parts, are to be sent
 * (TRANSFER_SENT from UINT32_MAX); parts that nothing comes from any more go.
 * `ret_bytes`: of what is sent now. -ENODATA: nothing failed; -ENOMEM.
 */
int migrate_resend(struct transfer_plan *plan, const struct transfer_failed *failed,
                   uint64_t *ret_bytes, struct error *err);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Why a host stands where it does, in sentences. Private to placement/. */
#ifndef SETMOV_PLACEMENT_REASONS_H
#define SETMOV_PLACEMENT_REASONS_H

#include "setmov/placement.h"

/* What the reasons of one host are made of. */
struct reasons_input {
    const struct placement_host *host;
    const struct placement_host *leader; /* ranked first of all; may be the host itself */
    const struct placement_host *donor;  /* has the best single donor of all; NULL: there is none */
    uint64_t image_bytes;
    size_t level_with_leader; /* other hosts that cannot be told from the leader */
};

/* Can the host, which is ranked behind the leader, not be told from it? */
bool reasons_level(const struct placement_host *leader, const struct placement_host *host);

/* Fills in reasons and reason_count. -ENOMEM. */
int reasons_write(const struct reasons_input *input, struct placement_rank *rank);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The implementation that is used, for the rest of the stage. */
#ifndef SETMOV_DIGEST_CHOOSE_H
#define SETMOV_DIGEST_CHOOSE_H

#include "setmov/digest.h"

/* Never NULL: the best one where nobody has chosen. */
const struct digest_implementation *digest_implementation_chosen(void);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The rounds of SHA-256 (FIPS 180-4, 6.2.2), sixteen at a time:
 * ROUND(a, b, c, d, e, f, g, h, index), where the names move on by one a round.
 */
#ifndef SETMOV_DIGEST_SHA256_STEPS_H
#define SETMOV_DIGEST_SHA256_STEPS_H

#define SHA256_ROUNDS_8(ROUND, first)                                                              \
    ROUND(a, b, c, d, e, f, g, h, (first) + 0)                                                     \
    ROUND(h, a, b, c, d, e, f, g, (first) + 1)                                                     \
    ROUND(g, h, a, b, c, d, e, f, (first) + 2)                                                     \
    ROUND(f, g, h, a, b, c, d, e, (first) + 3)                                                     \
    ROUND(e, f, g, h, a, b, c, d, (first) + 4)                                                     \
    ROUND(d, e, f, g, h, a, b, c, (first) + 5)                                                     \
    ROUND(c, d, e, f, g, h, a, b, (first) + 6)                                                     \
    ROUND(b, c, d, e, f, g, h, a, (first) + 7)

#define SHA256_ROUNDS_16(ROUND)                                                                    \
    SHA256_ROUNDS_8(ROUND, 0)                                                                      \
    SHA256_ROUNDS_8(ROUND, 8)

#endif

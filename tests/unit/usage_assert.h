/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Assertions on figures for the tests of usage/: within a millionth, and unknown. */
#ifndef SETMOV_TESTS_USAGE_ASSERT_H
#define SETMOV_TESTS_USAGE_ASSERT_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "setmov/usage.h"

#define assert_near(value, expected) assert_within(value, expected, 1e-6)

#define assert_within(value, expected, tolerance)                                                  \
    do {                                                                                           \
        double value_ = (value), expected_ = (expected), tolerance_ = (tolerance);                 \
        if (!(fabs(value_ - expected_) <= tolerance_))                                             \
            fail_msg("%s is %.12g, not %.12g", #value, value_, expected_);                         \
    } while (0)

#define assert_unknown(value)                                                                      \
    do {                                                                                           \
        double value_ = (value);                                                                   \
        if (!isnan(value_))                                                                        \
            fail_msg("%s is %.12g, not unknown", #value, value_);                                  \
    } while (0)

#endif

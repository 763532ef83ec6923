/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shall what an image does end? */
#include "image/backend.h"

#include <errno.h>
#include <math.h>

/* A wait looks as often as this. */
#define SLICE_S 0.1

bool image_stop_is_set(struct image_stop *stop)
{
    if (stop == NULL)
        return false;
    return atomic_load(&stop->interrupted) ||
           (stop->stopped != NULL && stop->stopped(stop->context));
}

double image_stop_slice_s(double left_s)
{
    return fmax(0, fmin(left_s, SLICE_S));
}

int image_stop_sleep_until(struct image_stop *stop, double until_s)
{
    for (;;) {
        double left_s = until_s - clock_monotonic_s();
        struct timespec slice = {.tv_nsec = (long)(image_stop_slice_s(left_s) * 1e9)};

        if (image_stop_is_set(stop))
            return -ECANCELED;
        if (left_s <= 0)
            return 0;
        (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &slice, NULL);
    }
}

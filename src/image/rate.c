/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A rate limit: each reader waits until what was granted before it is used up. */
#include "image/backend.h"

#include <errno.h>
#include <math.h>

/* A reader that was slow may catch up by so much. */
#define CATCH_UP_S 0.1

void image_rate_init(struct image_rate *rate, uint64_t bytes_per_s)
{
    pthread_mutex_init(&rate->lock, NULL);
    rate->bytes_per_s = bytes_per_s;
    rate->next_s = 0;
}

void image_rate_destroy(struct image_rate *rate)
{
    pthread_mutex_destroy(&rate->lock);
}

double image_rate_grant(struct image_rate *rate, double now_s, size_t bytes)
{
    double start_s;

    pthread_mutex_lock(&rate->lock);
    start_s = fmax(rate->next_s, now_s - CATCH_UP_S);
    rate->next_s = start_s + (double)bytes / (double)rate->bytes_per_s;
    pthread_mutex_unlock(&rate->lock);
    return start_s;
}

int image_rate_wait(struct image_rate *rate, size_t bytes, struct image_stop *stop)
{
    double now_s;

    if (rate->bytes_per_s == 0)
        return image_stop_is_set(stop) ? -ECANCELED : 0;
    now_s = clock_monotonic_s();
    return image_stop_sleep_until(stop, image_rate_grant(rate, now_s, bytes));
}

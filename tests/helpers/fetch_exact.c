/* SPDX-License-Identifier: GPL-2.0-or-later */
/* peers_fetch() by hand: fetch_exact CONFIG BUDGET HOST NAME [HOST NAME]...; a line for each: result, bytes, error. */
#include "setmov/peers.h"

#include <stdio.h>

#define MOST_WANTS 16

int main(int argc, char **argv)
{
    struct peers_want wants[MOST_WANTS];
    const struct peers_options options = {.max_age_s = 0};
    struct config config;
    struct error err = {""};
    uint64_t budget = 0;
    size_t count = 0;

    if (argc < 5 || parse_u64(argv[2], &budget) < 0)
        return 2;
    for (int i = 3; i + 1 < argc && count < MOST_WANTS; i += 2)
        wants[count++] = (struct peers_want){.host = argv[i], .name = argv[i + 1]};
    if (config_read(argv[1], &config, &err) < 0 ||
        peers_fetch(&config, wants, count, budget, &options, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    for (size_t i = 0; i < count; i++)
        printf("%d %llu %s\n", wants[i].result, (unsigned long long)wants[i].bytes_read,
               wants[i].error.text);
    config_release(&config);
    return 0;
}

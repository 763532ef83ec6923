/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Numbers in a few columns, for people. Pure. Unknown (NaN) is "-". */
#ifndef SETMOV_CLI_HUMAN_H
#define SETMOV_CLI_HUMAN_H

#include <stdint.h>

#define HUMAN_BYTES 16

struct human {
    char text[HUMAN_BYTES];
};

struct human human_percent(double percent); /* "12.3" */
struct human human_rate(double value);      /* at most 5 columns, steps of 1000: "1.23M" */
struct human human_memory(uint64_t bytes);  /* at most 5 columns, steps of 1024: "15.6G" */
struct human human_latency(double seconds); /* at most 6 columns: "85us", "1.25ms", "2.50s" */

#endif

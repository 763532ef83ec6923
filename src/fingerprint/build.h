/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the threads that make fingerprints of one image share. Private to fingerprint/. */
#ifndef SETMOV_FINGERPRINT_BUILD_H
#define SETMOV_FINGERPRINT_BUILD_H

#include "fingerprint/scan.h"
#include "fingerprint/writer.h"

/* Blocks that are digested at once: some whole groups. */
#define BUILD_BATCH ((size_t)512)

struct build_zeroes {
    uint64_t count;
    uint64_t first; /* the lowest, where there is one */
};

/* One fingerprint in the making. */
struct build_wish {
    struct digest_plan plan;
    struct fingerprint_writer *writer;
    struct build_zeroes zeroes; /* all threads'; under the scan's lock */
};

struct build {
    struct scan scan;
    struct build_wish *wishes;
    size_t count;
    bool whole;                    /* the content as a whole is digested as well */
    struct digest_content content; /* of everything up to `content_end`; whose turn it is owns it */
    uint64_t content_end;
};

/* One thread. */
struct build_worker {
    struct build *build;
    unsigned number;
    pthread_t thread;
};

/* A thread's start routine; `argument` is its struct build_worker. */
void *build_work(void *argument);

#endif

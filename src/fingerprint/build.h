/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the threads that make fingerprints of one image share. Private to fingerprint/. */
#ifndef SETMOV_FINGERPRINT_BUILD_H
#define SETMOV_FINGERPRINT_BUILD_H

#include "fingerprint/scan.h"
#include "fingerprint/writer.h"

/*
 * While workers digest, so many others wait for what qemu-nbd reads: with fewer
 * it has nothing to do at times. They take memory, but no processor.
 */
#define BUILD_READERS 2U

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

/*
 * As many workers digest at once as there are places; others read meanwhile. A
 * place's number is that of a worker of the writers.
 */
struct build_places {
    pthread_mutex_t lock;
    pthread_cond_t freed;
    unsigned free[FINGERPRINT_MAX_THREADS];
    unsigned count;
};

void build_places_init(struct build_places *places, unsigned count);
void build_places_destroy(struct build_places *places);
/* Waits for a place; it comes free without anybody waiting for an image or a turn. */
unsigned build_places_take(struct build_places *places);
void build_places_give(struct build_places *places, unsigned place);

struct build {
    struct scan scan;
    struct build_wish *wishes;
    size_t count;
    struct build_places places;
    bool whole;                    /* the content as a whole is digested as well */
    struct digest_content content; /* of everything up to `content_end`; whose turn it is owns it */
    uint64_t content_end;
};

/* One thread. */
struct build_worker {
    struct build *build;
    pthread_t thread;
};

/* A thread's start routine; `argument` is its struct build_worker. */
void *build_work(void *argument);

#endif

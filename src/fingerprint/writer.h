/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One fingerprint file in the making: takes digests in any order from several
 * threads, sorts them in runs that go to disk when memory is short, and merges
 * the runs into the file. Private to fingerprint/.
 */
#ifndef SETMOV_FINGERPRINT_WRITER_H
#define SETMOV_FINGERPRINT_WRITER_H

#include "setmov/fingerprint_file.h"

#include "fingerprint/writer_crew.h"

/* At most so many entries are asked for at once. */
#define FINGERPRINT_WRITER_BATCH 4096

struct fingerprint_writer;

struct fingerprint_writer_settings {
    enum digest_kind kind;
    uint32_t block_size;
    uint8_t key_id[8];
    struct digest zero_digest;
    const char *path;          /* as in struct fingerprint_wish */
    const char *temporary;     /* a directory, never NULL */
    unsigned workers;          /* threads that add, numbered from 0 */
    size_t memory_bytes;       /* for entries of all workers and what sorting needs */
    uint64_t blocks_expected;  /* a guess of how many entries come, 0: none; saves memory */
    bool sync;                 /* as in struct fingerprint_build_options */
    struct crew_caller caller; /* called now and then while finishing */
};

/* What only the reader of the image knows. */
struct fingerprint_writer_end {
    struct fingerprint_identity identity;
    uint64_t zero_blocks;      /* counted apart, never added as entries */
    uint64_t first_zero_block; /* number of the lowest, where zero_blocks > 0 */
};

/* Makes the file beside its name; nothing of the settings but `caller` is kept by reference. */
int fingerprint_writer_new(const struct fingerprint_writer_settings *settings,
                           struct fingerprint_writer **ret_writer, struct error *err);

/*
 * Room for `count` entries of one worker, valid until its next call; sorts and
 * spills before where there is none left. Different workers may call at once.
 */
int fingerprint_writer_room(struct fingerprint_writer *writer, unsigned worker, size_t count,
                            struct fingerprint_entry **ret_entries, struct error *err);

/* The first `count` entries of that room were filled in, unsaturated. */
void fingerprint_writer_commit(struct fingerprint_writer *writer, unsigned worker, size_t count);

/*
 * Sorts and merges (with as many threads as there were workers), and writes
 * everything. The file has its final content but not its name yet. Returns
 * -ECANCELED when stopped.
 */
int fingerprint_writer_finish(struct fingerprint_writer *writer,
                              const struct fingerprint_writer_end *end, struct error *err);

/* May it have its name? Somebody may have made a directory or a device there meanwhile. */
int fingerprint_writer_check_name(const struct fingerprint_writer *writer, struct error *err);

/* Gives it its name. So several writers can first all finish, then all publish. */
int fingerprint_writer_publish(struct fingerprint_writer *writer, struct error *err);

/* The finished file, mapped with all its parts. */
int fingerprint_writer_open(struct fingerprint_writer *writer, struct fingerprint_file **ret_file,
                            struct error *err);

/* Removes what was not published. NULL is fine. */
void fingerprint_writer_free(struct fingerprint_writer *writer);

#endif

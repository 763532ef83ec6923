/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the commands about disk images share: their options, stopping at a
 * signal, a progress bar, and images and fingerprints under one name.
 */
#ifndef SETMOV_CLI_BLOCKS_H
#define SETMOV_CLI_BLOCKS_H

#include "command.h"
#include "setmov/fingerprint_file.h"
#include "setmov/similarity.h"

#define BLOCKS_MAX_WISHES 8

/* What `fingerprint` and `index` make unless told otherwise, so that theirs compare. */
#define BLOCKS_DEFAULT_KIND       DIGEST_SHA256
#define BLOCKS_DEFAULT_BLOCK_SIZE 4096

/* How images are read and digested; from the command line. */
struct blocks_settings {
    enum digest_kind kind;
    uint32_t block_sizes[BLOCKS_MAX_WISHES]; /* the first is the one that counts but for `index` */
    size_t block_size_count;
    bool kind_given, block_size_given; /* by option, not by default */
    uint8_t key[DIGEST_KEY_BYTES];
    bool has_key;
    struct image_options image;
    char **allowed; /* what image.allowed points to */
    size_t allowed_count, allowed_capacity;
    struct fingerprint_build_options build;
    bool low_priority; /* --low-priority: idle class of I/O, nice 19 */
    bool quiet;        /* no progress bar */
};

/*
 * Rows of options that several commands have, for their tables, so that they
 * read alike. Keys from 512 on belong to these.
 */
enum {
    BLOCKS_OPTION_BLOCK_SIZE = 512,
    BLOCKS_OPTION_DIGEST,
    BLOCKS_OPTION_KEY_FILE,
    BLOCKS_OPTION_THREADS,
    BLOCKS_OPTION_RATE,
    BLOCKS_OPTION_MEMORY,
    BLOCKS_OPTION_FORMAT,
    BLOCKS_OPTION_LOW_PRIORITY,
    BLOCKS_OPTION_KEEP_CACHE,
    BLOCKS_OPTION_BACKING,
    BLOCKS_OPTION_TEMPORARY,
    BLOCKS_OPTION_QUIET,
};
#define BLOCKS_OPTION_ROWS_READING                                                                 \
    {BLOCKS_OPTION_THREADS, "threads", "N",                                                        \
     "read and digest with N threads\n(default: one a processor, at most 8)"},                     \
        {BLOCKS_OPTION_RATE, "rate", "BYTES",                                                      \
         "read at most so many bytes a second; K, M, G or T\nbehind the number is a step of 1024 " \
         "each"},                                                                                  \
        {BLOCKS_OPTION_MEMORY, "memory", "BYTES",                                                  \
         "memory for digests before they go to disk (default: 512M)"},                             \
        {BLOCKS_OPTION_TEMPORARY, "temporary", "DIR",                                              \
         "directory of temporary files (default: $TMPDIR or /var/tmp)"},                           \
        {BLOCKS_OPTION_LOW_PRIORITY, "low-priority", NULL,                                         \
         "read only when nobody else does (idle I/O class, nice 19)"},                             \
        {BLOCKS_OPTION_KEEP_CACHE, "keep-cache", NULL, "leave what was read in the page cache"},   \
        {BLOCKS_OPTION_BACKING, "allow-backing", "DIR",                                            \
         "follow backing files that lie below DIR too;\nby default only those in the image's own " \
         "directory"},                                                                             \
    {                                                                                              \
        BLOCKS_OPTION_QUIET, "quiet", NULL, "no progress on the terminal"                          \
    }

/* Single rows: what goes with the digest, and what the images are. */
#define BLOCKS_OPTION_ROW_KEY_FILE                                                                 \
    {                                                                                              \
        BLOCKS_OPTION_KEY_FILE, "key-file", "FILE",                                                \
            "keyed SHA-256; FILE has 32 bytes, or 64 hexadecimal digits.\nOnly fingerprints of "   \
            "one key compare"                                                                      \
    }
#define BLOCKS_OPTION_ROW_FORMAT                                                                   \
    {                                                                                              \
        BLOCKS_OPTION_FORMAT, "format", "FORMAT",                                                  \
            "of the images: raw, qcow2, vmdk ... (default: raw for\nblock devices, else probed)"   \
    }

/*
 * Takes one such option. Returns STATUS_OK, or the status after the error was
 * printed. --block-size may be given several times; a command that makes one
 * kind of fingerprint calls blocks_check_single() behind the options.
 */
int blocks_option(const struct command_syntax *syntax, int key, const char *argument,
                  struct blocks_settings *settings);

int blocks_check_single(const char *command, const struct blocks_settings *settings);

/*
 * All of a command's options, one by one: `take` gets a key of its table with
 * the argument, and returns STATUS_OK or the status after the error was
 * printed. Returns an exit status, or -1 to go on: optind is the first operand.
 */
int blocks_parse_options(const struct command_syntax *syntax, int argc, char **argv,
                         int (*take)(void *options, int key, const char *argument), void *options);

/* Bytes as a user writes them: "4096", "64K", "1.5G" is none. -EINVAL, -ERANGE. */
int blocks_parse_bytes(const char *text, uint64_t *ret_bytes);

/* As --allow-backing; keeps a copy. -ENOMEM. */
int blocks_allow_backing(struct blocks_settings *settings, const char *directory);

/* Sets defaults: the digest and block size given here, nothing else. */
void blocks_settings_init(struct blocks_settings *settings, enum digest_kind kind,
                          uint32_t block_size);
void blocks_settings_release(struct blocks_settings *settings);

/*
 * After the options, before the first file is opened: checks them against one
 * another, reads nothing of images yet; sets the priority, and the process up
 * for its work: fingerprint_file_guard_install(), SIGPIPE and SIGXFSZ ignored,
 * characters in UTF-8. Returns an exit status, or -1 to go on.
 */
int blocks_prepare(const char *command, struct blocks_settings *settings);

/*
 * SIGINT, SIGTERM and SIGHUP from here on only make blocks_stopped() true (the
 * second kills as ever), so that what is unfinished is removed. They are
 * blocked in the calling thread and those that come after: no call is
 * interrupted. SIGHUP stays ignored where it was. Before any other thread.
 */
int blocks_stop_watch(struct error *err);
bool blocks_stopped(void *unused);
/* After a stop, with everything cleaned up: the process ends by the signal that came. */
int blocks_stop_exit(const char *command);

/* Progress of one image, on stderr where that is a terminal: bytes, rate, time left. */
struct blocks_bar;
struct blocks_bar *blocks_bar_new(const char *label, bool quiet); /* NULL: nothing to show */
/* `context` is a struct blocks_bar or NULL; for struct fingerprint_build_options. */
void blocks_bar_update(void *context, const struct fingerprint_progress *progress);
void blocks_bar_free(struct blocks_bar *bar); /* clears its line */

/*
 * Reads an image into one fingerprint of the settings' kind and first block
 * size, with progress and stopping: the file `output`, or NULL: a nameless
 * one. -ECANCELED: the user stopped it. The error names the path as it was given.
 */
int blocks_read(const char *path, const struct blocks_settings *settings, const char *output,
                struct fingerprint_file **ret_file, struct error *err);

/*
 * Is it to be taken for a fingerprint? By its first bytes; where --format says
 * what images are, by its name (".fingerprint") as well.
 */
bool blocks_is_fingerprint(const char *path, const struct blocks_settings *settings);

/*
 * Opens what `path` is: a fingerprint (with the parts asked for; it must be of
 * the settings' kind and block size), or an image, which blocks_read() makes
 * into a nameless one.
 */
int blocks_open(const char *path, const struct blocks_settings *settings, unsigned parts,
                struct fingerprint_file **ret_file, struct error *err);

/*
 * If one of the paths is a fingerprint: takes its digest and block size into
 * the settings where no option gave them; -EINVAL where an option or another
 * one of the paths says otherwise, naming both.
 */
int blocks_adopt(const char *const *paths, size_t count, struct blocks_settings *settings,
                 struct error *err);

/*
 * What makes a fingerprint provisional, behind the image's name; said alike by
 * all commands. Whether anything was written nobody knows.
 */
#define BLOCKS_PROVISIONAL                                                                         \
    "was held for writing by another process (a running VM?) while it was read"
/* The note on stderr for an image, or for its fingerprint; nothing where it is not provisional. */
void blocks_note_provisional(const char *command, const char *path,
                             const struct fingerprint_file *file);

/* "md5", "sha256", "keyed" */
const char *blocks_digest_name(enum digest_kind kind);

/* A path as it is shown in a message or table: one line, valid UTF-8, cut if very long. */
struct blocks_shown {
    char text[4096];
};
struct blocks_shown blocks_show(const char *path);

/* "3,819,652", as the paper prints counts. */
struct blocks_count {
    char text[32];
};
struct blocks_count blocks_count(uint64_t count);

#endif

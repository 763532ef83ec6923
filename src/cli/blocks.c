/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Options of the commands that read images, and what a path stands for (see blocks.h). */
#include "blocks.h"
#include "setmov/catalog.h"

#include <errno.h>
#include <locale.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LEAST_MEMORY (UINT64_C(16) << 20)

/* From the kernel's include/uapi/linux/ioprio.h, which libc does not bring. */
#define IOPRIO_WHO_PROCESS 1
#define IOPRIO_CLASS_IDLE  3
#define IOPRIO_CLASS_SHIFT 13

/* ---- values ------------------------------------------------------------------- */

int blocks_parse_bytes(const char *text, uint64_t *ret_bytes)
{
    static const char suffixes[] = "KMGT";
    size_t length = strlen(text);
    unsigned shift = 0;
    char digits[24];
    uint64_t value;
    int rc;

    for (unsigned i = 0; length > 1 && suffixes[i] != '\0'; i++) {
        /* The small letter, too. */
        if ((text[length - 1] & ~0x20) == suffixes[i])
            shift = 10 * (i + 1);
    }
    if (!text_copy(text_of(text, length - (shift > 0)), digits, sizeof(digits)))
        return -EINVAL;
    rc = parse_u64(digits, &value);
    if (rc < 0)
        return rc;
    if (value > UINT64_MAX >> shift)
        return -ERANGE;
    *ret_bytes = value << shift;
    return 0;
}

const char *blocks_digest_name(enum digest_kind kind)
{
    switch (kind) {
    case DIGEST_MD5:
        return "md5";
    case DIGEST_SHA256:
        return "sha256";
    case DIGEST_KEYED_SHA256:
        return "keyed";
    }
    return "unknown";
}

/* ---- options ------------------------------------------------------------------ */

void blocks_settings_init(struct blocks_settings *settings, enum digest_kind kind,
                          uint32_t block_size)
{
    *settings = (struct blocks_settings){
        .kind = kind,
        .block_sizes = {block_size},
        .block_size_count = 1,
    };
}

void blocks_settings_release(struct blocks_settings *settings)
{
    for (size_t i = 0; i < settings->allowed_count; i++)
        free(settings->allowed[i]);
    free(settings->allowed);
    settings->allowed = NULL;
    settings->allowed_count = 0;
    settings->image.allowed = NULL;
    explicit_bzero(settings->key, sizeof(settings->key));
}

static int take_block_size(const char *command, const char *argument,
                           struct blocks_settings *settings)
{
    uint64_t size = 0;

    if (blocks_parse_bytes(argument, &size) < 0 || size < DIGEST_BLOCK_MIN ||
        size > DIGEST_BLOCK_MAX || (size & (size - 1)) != 0)
        return command_usage_error(command,
                                   "--block-size: '%s' is not a power of two from %d to %d",
                                   argument, DIGEST_BLOCK_MIN, DIGEST_BLOCK_MAX);
    if (!settings->block_size_given)
        settings->block_size_count = 0;
    settings->block_size_given = true;
    for (size_t i = 0; i < settings->block_size_count; i++) {
        if (settings->block_sizes[i] == size)
            return STATUS_OK;
    }
    /* There are eight such powers, and no more are kept. */
    settings->block_sizes[settings->block_size_count++] = (uint32_t)size;
    return STATUS_OK;
}

static int take_digest(const char *command, const char *argument, struct blocks_settings *settings)
{
    static const enum digest_kind kinds[] = {DIGEST_MD5, DIGEST_SHA256, DIGEST_KEYED_SHA256};

    for (size_t i = 0; i < ARRAY_LENGTH(kinds); i++) {
        if (strcmp(argument, blocks_digest_name(kinds[i])) == 0) {
            settings->kind = kinds[i];
            settings->kind_given = true;
            return STATUS_OK;
        }
    }
    return command_usage_error(command, "--digest: '%s' is none of md5, sha256 and keyed",
                               argument);
}

static int take_key_file(const char *command, const char *argument,
                         struct blocks_settings *settings)
{
    struct error err = {""};

    if (fingerprint_key_read(argument, settings->key, &err) < 0)
        return command_error(command, "%s", err.text);
    settings->has_key = true;
    return STATUS_OK;
}

static int take_threads(const char *command, const char *argument, struct blocks_settings *settings)
{
    uint64_t count = 0;

    if (parse_u64(argument, &count) < 0 || count < 1 || count > FINGERPRINT_MAX_THREADS)
        return command_usage_error(command, "--threads: '%s' is not a whole number from 1 to %d",
                                   argument, FINGERPRINT_MAX_THREADS);
    settings->build.threads = (unsigned)count;
    return STATUS_OK;
}

static int take_rate(const char *command, const char *argument, struct blocks_settings *settings)
{
    if (blocks_parse_bytes(argument, &settings->image.rate_bytes_per_s) < 0 ||
        settings->image.rate_bytes_per_s == 0)
        return command_usage_error(command, "--rate: '%s' is not a number of bytes", argument);
    return STATUS_OK;
}

static int take_memory(const char *command, const char *argument, struct blocks_settings *settings)
{
    uint64_t bytes = 0;

    if (blocks_parse_bytes(argument, &bytes) < 0 || bytes < LEAST_MEMORY || bytes > SIZE_MAX / 2)
        return command_usage_error(command, "--memory: '%s' is not a number of bytes from 16M",
                                   argument);
    settings->build.memory_bytes = (size_t)bytes;
    return STATUS_OK;
}

int blocks_allow_backing(struct blocks_settings *settings, const char *directory)
{
    char *copy;

    /* One more for the NULL at the end. */
    if (array_reserve(&settings->allowed, &settings->allowed_capacity, settings->allowed_count + 2,
                      sizeof(*settings->allowed)) < 0)
        return -ENOMEM;
    copy = strdup(directory);
    if (!copy)
        return -ENOMEM;
    settings->allowed[settings->allowed_count++] = copy;
    settings->allowed[settings->allowed_count] = NULL;
    settings->image.allowed = (const char *const *)settings->allowed;
    return 0;
}

static int take_backing(const char *command, const char *argument, struct blocks_settings *settings)
{
    return blocks_allow_backing(settings, argument) < 0 ? command_error(command, "out of memory")
                                                        : STATUS_OK;
}

int blocks_option(const struct command_syntax *syntax, int key, const char *argument,
                  struct blocks_settings *settings)
{
    switch (key) {
    case BLOCKS_OPTION_BLOCK_SIZE:
        return take_block_size(syntax->name, argument, settings);
    case BLOCKS_OPTION_DIGEST:
        return take_digest(syntax->name, argument, settings);
    case BLOCKS_OPTION_KEY_FILE:
        return take_key_file(syntax->name, argument, settings);
    case BLOCKS_OPTION_THREADS:
        return take_threads(syntax->name, argument, settings);
    case BLOCKS_OPTION_RATE:
        return take_rate(syntax->name, argument, settings);
    case BLOCKS_OPTION_MEMORY:
        return take_memory(syntax->name, argument, settings);
    case BLOCKS_OPTION_FORMAT:
        settings->image.format = argument;
        return STATUS_OK;
    case BLOCKS_OPTION_LOW_PRIORITY:
        settings->low_priority = true;
        return STATUS_OK;
    case BLOCKS_OPTION_KEEP_CACHE:
        settings->image.keep_cache = true;
        return STATUS_OK;
    case BLOCKS_OPTION_BACKING:
        return take_backing(syntax->name, argument, settings);
    case BLOCKS_OPTION_TEMPORARY:
        settings->build.temporary = argument;
        return STATUS_OK;
    case BLOCKS_OPTION_QUIET:
        settings->quiet = true;
        return STATUS_OK;
    default:
        return command_usage_error(syntax->name, "option %d has no meaning here", key);
    }
}

int blocks_check_single(const char *command, const struct blocks_settings *settings)
{
    if (settings->block_size_count > 1)
        return command_usage_error(command, "more than one --block-size");
    return STATUS_OK;
}

int blocks_parse_options(const struct command_syntax *syntax, int argc, char **argv,
                         int (*take)(void *options, int key, const char *argument), void *options)
{
    const char *argument = NULL;
    int key = 0;

    while ((key = options_next(syntax, argc, argv, &argument)) >= 0) {
        int status = take(options, key, argument);

        if (status != STATUS_OK)
            return status;
    }
    if (key == OPTIONS_HELP)
        return STATUS_OK;
    return key == OPTIONS_ERROR ? STATUS_USAGE : -1;
}

/* ---- before the work ---------------------------------------------------------- */

/* Threads and processes that are started later inherit both. */
static int lower_priority(struct error *err)
{
    if (syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_CLASS_IDLE << IOPRIO_CLASS_SHIFT) < 0)
        return error_set(err, -errno, "cannot lower the priority of I/O: %s", strerror(errno));
    if (setpriority(PRIO_PROCESS, 0, 19) < 0)
        return error_set(err, -errno, "cannot lower the priority: %s", strerror(errno));
    return 0;
}

int blocks_prepare(const char *command, struct blocks_settings *settings)
{
    struct error err = {""};

    if (settings->has_key) {
        if (settings->kind_given && settings->kind == DIGEST_MD5)
            return command_usage_error(command,
                                       "--key-file goes with SHA-256, not with --digest md5");
        settings->kind = DIGEST_KEYED_SHA256;
        settings->kind_given = true;
    }
    setlocale(LC_CTYPE, "C.UTF-8"); /* widths of names; numbers stay as in "C" */
    signal(SIGPIPE, SIG_IGN);       /* a qemu-nbd that dies is an error like others, */
    signal(SIGXFSZ, SIG_IGN);       /* and so is a file that may not grow */
    if (settings->low_priority && lower_priority(&err) < 0)
        return command_error(command, "%s", err.text);
    if (fingerprint_file_guard_install(&err) < 0)
        return command_error(command, "%s", err.text);
    return -1;
}

/* ---- images and fingerprints -------------------------------------------------- */

static int open_fingerprint(const char *path, const struct blocks_settings *settings,
                            unsigned parts, struct fingerprint_file **ret_file, struct error *err)
{
    struct fingerprint_file *file = NULL;
    int rc = fingerprint_file_open(path, parts, false, &file, err);

    if (rc < 0)
        return rc;
    if (file->view.kind != settings->kind || file->view.block_size != settings->block_sizes[0]) {
        rc = error_set(err, -EINVAL, "%s has %s digests of %u bytes, not %s digests of %u", path,
                       blocks_digest_name(file->view.kind), file->view.block_size,
                       blocks_digest_name(settings->kind), settings->block_sizes[0]);
        fingerprint_file_close(file);
        return rc;
    }
    *ret_file = file;
    return 0;
}

void blocks_note_provisional(const char *command, const char *path,
                             const struct fingerprint_file *file)
{
    if (file->view.identity.provisional)
        command_error(command, "note: %s " BLOCKS_PROVISIONAL ": its fingerprint is provisional",
                      path);
}

/* An open image is called by its resolved path: messages have the one that was given. */
static void name_as_given(struct error *err, const struct image *image, const char *path)
{
    size_t count, length;
    const char *resolved = image_layers(image, &count)[0].path;
    struct error named = {""};

    length = strlen(resolved);
    if (strncmp(err->text, resolved, length) != 0 ||
        !strchr(": ", err->text[length])) /* another one, or cut off */
        return;
    string_format(named.text, sizeof(named.text), "%s%s", path, err->text + length);
    *err = named;
}

int blocks_read(const char *path, const struct blocks_settings *settings, const char *output,
                struct fingerprint_file **ret_file, struct error *err)
{
    const char *slash = strrchr(path, '/');
    struct fingerprint_wish wish = {
        .kind = settings->kind,
        .block_size = settings->block_sizes[0],
        .key = settings->kind == DIGEST_KEYED_SHA256 ? settings->key : NULL,
        .path = output,
    };
    struct fingerprint_build_options build = settings->build;
    struct image_options options = settings->image;
    struct image *image = NULL;
    struct blocks_bar *bar = NULL;
    int rc;

    if (settings->kind == DIGEST_KEYED_SHA256 && !settings->has_key)
        return error_set(err, -EINVAL, "%s: keyed digests of an image need --key-file", path);
    options.stopped = blocks_stopped;
    rc = image_open(path, &options, &image, err);
    if (rc == 0) {
        bar = blocks_bar_new(slash && slash[1] ? slash + 1 : path, settings->quiet);
        build.progress = bar ? blocks_bar_update : NULL;
        build.stopped = blocks_stopped;
        build.context = bar;
        rc = fingerprint_build(image, &wish, 1, &build, ret_file, err);
        if (rc < 0)
            name_as_given(err, image, path);
    }
    blocks_bar_free(bar);
    image_close(image);
    /* Whatever failed when the user wanted to end: that is the reason. */
    return rc < 0 && blocks_stopped(NULL) ? -ECANCELED : rc;
}

/*
 * A guest writes what it wants to the beginning of its disk, but does not give
 * names: where the format of images is told, only the name makes a fingerprint.
 */
bool blocks_is_fingerprint(const char *path, const struct blocks_settings *settings)
{
    if (settings->image.format && !string_ends_with(path, CATALOG_SUFFIX))
        return false;
    return fingerprint_file_is(path);
}

int blocks_open(const char *path, const struct blocks_settings *settings, unsigned parts,
                struct fingerprint_file **ret_file, struct error *err)
{
    if (blocks_stopped(NULL))
        return error_set(err, -ECANCELED, "%s: stopped", path);
    if (blocks_is_fingerprint(path, settings))
        return open_fingerprint(path, settings, parts, ret_file, err);
    return blocks_read(path, settings, NULL, ret_file, err);
}

/* What the settings say against what a fingerprint is; `said_by`: who gave them. */
static int adopt_one(const char *path, const char *said_by, struct blocks_settings *settings,
                     struct error *err)
{
    struct fingerprint_file *file = NULL;
    int rc = fingerprint_file_open(path, FINGERPRINT_PART_HEAD, false, &file, err);

    if (rc < 0)
        return rc;
    if (!settings->kind_given && !said_by)
        settings->kind = file->view.kind;
    if (!settings->block_size_given && !said_by)
        settings->block_sizes[0] = file->view.block_size;
    if (file->view.kind != settings->kind)
        rc = error_set(err, -EINVAL, "%s has %s digests, but %s says %s: they do not compare", path,
                       blocks_digest_name(file->view.kind),
                       settings->kind_given ? settings->has_key ? "--key-file" : "--digest"
                                            : said_by,
                       blocks_digest_name(settings->kind));
    else if (file->view.block_size != settings->block_sizes[0])
        rc = error_set(err, -EINVAL,
                       "%s has blocks of %u bytes, but %s says %u: they do not compare", path,
                       file->view.block_size, settings->block_size_given ? "--block-size" : said_by,
                       settings->block_sizes[0]);
    fingerprint_file_close(file);
    return rc;
}

int blocks_adopt(const char *const *paths, size_t count, struct blocks_settings *settings,
                 struct error *err)
{
    const char *said_by = NULL;

    for (size_t i = 0; i < count; i++) {
        if (!blocks_is_fingerprint(paths[i], settings))
            continue;
        int rc = adopt_one(paths[i], said_by, settings, err);
        if (rc < 0)
            return rc;
        if (!said_by)
            said_by = paths[i];
    }
    for (size_t i = 0; i < count && settings->kind == DIGEST_KEYED_SHA256 && !settings->has_key;
         i++) {
        if (!blocks_is_fingerprint(paths[i], settings))
            return error_set(err, -EINVAL, "%s: keyed digests of an image need --key-file",
                             paths[i]);
    }
    return 0;
}

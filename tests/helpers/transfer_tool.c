/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Makes plans and parts of images as a source does, and carries them out as the
 * hook does, in directories of this host.
 *
 *   transfer_tool make --out DIRECTORY [--name NAME] [--index DIRECTORY] [--kind md5|sha256]
 *                 [--block BYTES] [--level N] [--bandwidth BITS] [--part BYTES]
 *                 IMAGE[,KEY[=VALUE]]...
 *       path=PATH      at the destination; the image's own
 *       format=FORMAT  of the image, there and here; raw
 *       settings=TEXT  of the format; the image's own; semicolons stand for commas
 *       backing=PATH   at the destination, with backing-format=FORMAT; only the top layer is read
 *       may-exist
 *     DIRECTORY/NAME.plan and DIRECTORY/part-... ; one line of JSON on standard output
 *
 *   transfer_tool show PLAN
 *     a line an extent: image, number, offset, length, kind, source, from
 *
 *   transfer_tool apply PLAN --index DIRECTORY --state DIRECTORY --directory DIRECTORY...
 *                 [--reserve BYTES] [--lease SECONDS] [--threads N] [--stop-at BYTES] [--progress]
 *                 [--moves] [--lock-patience SECONDS]
 *     parts lie beside the plan, leases and locks below `state`; one line of JSON on standard
 *     output; --progress: "progress DONE TOTAL" on standard error, --moves: "moved"; exit 1
 *     where it fails
 */
#include "setmov/base_new_file.h"
#include "setmov/catalog.h"
#include "setmov/transfer_apply.h"
#include "setmov/transfer_make.h"
#include "setmov/transfer_pack.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <unistd.h>

#define MOST 64

static int complain(int rc, const struct error *err)
{
    if (rc < 0)
        fprintf(stderr, "transfer_tool: %s\n", err->text);
    return rc;
}

static void print_string(const char *text)
{
    putchar('"');
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\')
            putchar('\\');
        putchar((unsigned char)*text < ' ' ? ' ' : *text);
    }
    putchar('"');
}

static char *join(const char *directory, const char *name, const char *suffix)
{
    char *path;

    return asprintf(&path, "%s/%s%s", directory, name, suffix) < 0 ? NULL : path;
}

/* ---- make ------------------------------------------------------------------------------- */

struct making {
    const char *out, *name, *index;
    enum digest_kind kind;
    uint64_t block, level, bandwidth, part;
    struct transfer_plan plan;
    struct image *images[MOST];
    struct fingerprint_file *own[MOST];
    const struct fingerprint_view *views[MOST];
    size_t count;
    struct catalog *catalog;
    struct transfer_figures sum;
};

static int parse_image(char *text, char **ret_file, struct transfer_image *ret_image)
{
    static char raw[] = "raw";

    *ret_file = strsep(&text, ",");
    *ret_image = (struct transfer_image){.path = *ret_file, .format = raw};
    while (text != NULL) {
        char *value = strsep(&text, ","), *key = strsep(&value, "=");

        if (strcmp(key, "may-exist") == 0)
            ret_image->may_exist = true;
        else if (value == NULL)
            return -EINVAL;
        else if (strcmp(key, "path") == 0)
            ret_image->path = value;
        else if (strcmp(key, "format") == 0)
            ret_image->format = value;
        else if (strcmp(key, "backing") == 0)
            ret_image->backing = value;
        else if (strcmp(key, "backing-format") == 0)
            ret_image->backing_format = value;
        else if (strcmp(key, "settings") == 0)
            ret_image->settings = value;
        else
            return -EINVAL;
        for (char *at = value; at != NULL && *at != '\0' && strcmp(key, "settings") == 0; at++)
            *at = *at == ';' ? ',' : *at;
    }
    return 0;
}

static void add_figures(struct transfer_figures *sum, const struct transfer_figures *figures)
{
    sum->data += figures->data;
    sum->zero += figures->zero;
    sum->local += figures->local;
    sum->replicated += figures->replicated;
    sum->reused += figures->reused;
    sum->sent += figures->sent;
}

static int make_image(struct making *making, const char *file, const struct transfer_image *image,
                      struct error *err)
{
    const struct image_options options = {.format = image->format,
                                          .follow_backing_outside = true,
                                          .only_top = image->backing != NULL};
    const struct fingerprint_wish wish = {.kind = making->kind,
                                          .block_size = (uint32_t)making->block};
    size_t donor_count = making->catalog != NULL ? making->catalog->count : 0, at = making->count;
    const struct fingerprint_view **donors = calloc(donor_count + 1, sizeof(*donors));
    char(*ids)[33] = calloc(donor_count + 1, sizeof(*ids));
    struct transfer_sources sources = {.donors = donors,
                                       .donor_ids = (const char(*)[33])ids,
                                       .donor_count = donor_count,
                                       .earlier = making->views,
                                       .earlier_count = at};
    const struct transfer_make_options make_options = {.threads = 2};
    struct transfer_image described = *image;
    struct transfer_figures figures;
    int rc = image_open(file, &options, &making->images[at], err);

    for (size_t i = 0; i < donor_count; i++) {
        donors[i] = &making->catalog->files[i]->view;
        catalog_hash(donors[i]->identity.layers[0].path, ids[i]);
    }
    if (rc == 0)
        rc = fingerprint_build(making->images[at], &wish, 1, NULL, &making->own[at], err);
    if (rc == 0) {
        described.virtual_size = image_size(making->images[at]);
        if (described.settings == NULL && image_settings(making->images[at])[0] != '\0')
            described.settings = (char *)image_settings(making->images[at]);
        making->views[at] = &making->own[at]->view;
        making->count++;
        rc = transfer_make(making->images[at], making->views[at], &sources, &described,
                           &make_options, &making->plan, &figures, err);
    }
    if (rc == 0)
        add_figures(&making->sum, &figures);
    free(donors);
    free(ids);
    return rc;
}

static int sink(void *context, const struct transfer_packed *packed, struct error *err)
{
    const struct making *making = context;
    char name[TRANSFER_PART_NAME_BYTES];
    CLEANUP(cleanup_free) char *path = NULL;

    transfer_part_name(packed->part.sha256, name);
    path = join(making->out, name, "");
    return new_file_replace(path, packed->bytes, (size_t)packed->part.length, false, err);
}

static int write_plan(struct making *making, struct error *err)
{
    const struct transfer_pack_options options = {.level = (int)making->level,
                                                  .bandwidth_bits_per_s = making->bandwidth,
                                                  .part_bytes = making->part,
                                                  .sink = sink,
                                                  .context = making};
    struct transfer_pack_result packed = {0};
    CLEANUP(cleanup_free) char *path = join(making->out, making->name, TRANSFER_PLAN_SUFFIX);
    CLEANUP(cleanup_free) uint8_t *bytes = NULL;
    uint8_t sha256[TRANSFER_HASH_BYTES];
    size_t length = 0, extents = 0;
    int rc = transfer_pack(&making->plan, making->images, &options, &packed, err);

    if (rc == 0)
        rc = transfer_plan_encode(&making->plan, &bytes, &length, err);
    if (rc == 0)
        rc = new_file_replace(path, bytes, length, false, err);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < making->plan.image_count; i++)
        extents += making->plan.images[i].extent_count;
    transfer_sha256(bytes, length, sha256);
    printf("{\"data\":%" PRIu64 ",\"zero\":%" PRIu64 ",\"local\":%" PRIu64
           ",\"replicated\":%" PRIu64 ",\"sent\":%" PRIu64 ",\"packed\":%" PRIu64
           ",\"parts\":%zu,\"extents\":%zu"
           ",\"plan\":%zu,\"sha256\":\"",
           making->sum.data, making->sum.zero, making->sum.local, making->sum.replicated,
           making->sum.sent, packed.packed_bytes, packed.parts, extents, length);
    for (size_t i = 0; i < sizeof(sha256); i++)
        printf("%02x", sha256[i]);
    printf("\"}\n");
    return 0;
}

static int make_all(struct making *making, char **images, size_t count, struct error *err)
{
    const struct catalog_kind kind = {.kind = making->kind, .block_size = (uint32_t)making->block};
    int rc = 0;

    making->plan = (struct transfer_plan){.vm_name = strdup("vm"),
                                          .made_s = 1700000000,
                                          .kind = making->kind,
                                          .block_size = (uint32_t)making->block};
    making->plan.vm.bytes[0] = 1;
    if (making->index != NULL)
        rc = catalog_open(making->index, &kind, FINGERPRINT_PART_ALL, &making->catalog, err);
    for (size_t i = 0; i < count && rc == 0; i++) {
        struct transfer_image image;
        char *file;

        rc = parse_image(images[i], &file, &image);
        rc = rc < 0 ? error_set(err, rc, "bad image: %s", file)
                    : make_image(making, file, &image, err);
    }
    return rc == 0 ? write_plan(making, err) : rc;
}

static int command_make(int argc, char **argv)
{
    static const struct option table[] = {{"out", required_argument, NULL, 'o'},
                                          {"name", required_argument, NULL, 'n'},
                                          {"index", required_argument, NULL, 'i'},
                                          {"kind", required_argument, NULL, 'k'},
                                          {"block", required_argument, NULL, 'b'},
                                          {"level", required_argument, NULL, 'l'},
                                          {"part", required_argument, NULL, 'p'},
                                          {"bandwidth", required_argument, NULL, 'B'},
                                          {NULL, 0, NULL, 0}};
    struct making making = {
        .name = "vm", .kind = DIGEST_SHA256, .block = 4096, .level = 3, .out = "."};
    struct error err = {""};
    bool good = true;
    int option, rc;

    while ((option = getopt_long(argc, argv, "", table, NULL)) != -1) {
        if (option == 'o')
            making.out = optarg;
        else if (option == 'n')
            making.name = optarg;
        else if (option == 'i')
            making.index = optarg;
        else if (option == 'k')
            making.kind = strcmp(optarg, "md5") == 0 ? DIGEST_MD5 : DIGEST_SHA256;
        else if (option == 'b')
            good = good && parse_u64(optarg, &making.block) == 0;
        else if (option == 'l')
            good = good && parse_u64(optarg, &making.level) == 0;
        else if (option == 'p')
            good = good && parse_u64(optarg, &making.part) == 0;
        else if (option == 'B')
            good = good && parse_u64(optarg, &making.bandwidth) == 0;
        else
            good = false;
    }
    if (!good || optind == argc || argc - optind > MOST)
        return 2;
    rc = make_all(&making, argv + optind, (size_t)(argc - optind), &err);
    for (size_t i = 0; i < making.count; i++)
        fingerprint_file_close(making.own[i]);
    for (size_t i = 0; i < MOST; i++)
        image_close(making.images[i]);
    catalog_close(making.catalog);
    transfer_plan_release(&making.plan);
    return complain(rc, &err) < 0;
}

/* ---- show and apply ------------------------------------------------------------------------ */

static int read_plan(const char *path, struct transfer_plan *ret_plan, struct error *err)
{
    CLEANUP(file_buffer_release) struct file_buffer buffer = {0};
    int rc = file_read(AT_FDCWD, path, &buffer);

    if (rc < 0)
        return error_set(err, rc, "%s: %s", path, strerror(-rc));
    return transfer_plan_decode(buffer.bytes, buffer.length, path, ret_plan, err);
}

static int command_show(const char *path)
{
    static const char *const kinds[] = {"zero", "copy", "replicate", "sent"};
    struct transfer_plan plan = {.vm_name = NULL};
    struct error err = {""};

    if (complain(read_plan(path, &plan, &err), &err) < 0)
        return 1;
    for (size_t i = 0; i < plan.image_count; i++) {
        for (size_t j = 0; j < plan.images[i].extent_count; j++) {
            const struct transfer_extent *extent = &plan.images[i].extents[j];

            printf("%zu %zu %" PRIu64 " %" PRIu32 " %s %" PRIu32 " %" PRIu64 "\n", i, j,
                   extent->offset, extent->length, kinds[extent->kind], extent->source,
                   extent->from);
        }
    }
    transfer_plan_release(&plan);
    return 0;
}

struct applying {
    uint64_t stop_at, done;
    bool show, show_moves;
};

static void progress(void *context, uint64_t done, uint64_t total)
{
    struct applying *applying = context;

    applying->done = done;
    if (applying->show)
        fprintf(stderr, "progress %" PRIu64 " %" PRIu64 "\n", done, total);
}

static void moved(void *context)
{
    const struct applying *applying = context;

    if (applying->show_moves)
        fprintf(stderr, "moved\n");
}

static bool stopped(void *context)
{
    const struct applying *applying = context;

    return applying->done >= applying->stop_at;
}

static void print_result(const struct transfer_plan *plan,
                         const struct transfer_apply_result *result, int rc,
                         const struct error *err)
{
    const struct transfer_failed *failed = &result->failed;

    printf("{\"rc\":%d,\"error\":", -rc);
    print_string(rc < 0 ? err->text : "");
    printf(",\"failed\":[");
    for (size_t i = 0; i < failed->count; i++)
        printf("%s[%" PRIu32 ",%" PRIu32 "]", i > 0 ? "," : "", failed->extents[i].image,
               failed->extents[i].extent);
    printf("],\"parts\":[");
    for (size_t i = 0; i < failed->part_count; i++)
        printf("%s%" PRIu32, i > 0 ? "," : "", failed->parts[i]);
    printf("],\"made\":[");
    for (size_t i = 0; i < result->made_count; i++) {
        printf("%s", i > 0 ? "," : "");
        print_string(plan->images[result->made[i].image].path);
    }
    printf("],\"local\":%" PRIu64 ",\"replicated\":%" PRIu64 ",\"sent\":%" PRIu64 "}\n",
           result->bytes_local, result->bytes_replicated, result->bytes_sent);
}

static int apply_plan(const char *path, struct transfer_apply_options *options, const char *state)
{
    CLEANUP(cleanup_free) char *incoming = strdup(path), *leases = NULL, *locks = NULL;
    struct transfer_apply_result result;
    struct transfer_plan plan = {.vm_name = NULL};
    struct error err = {""};
    int rc;

    if (complain(read_plan(path, &plan, &err), &err) < 0)
        return 1;
    if (strrchr(incoming, '/') != NULL)
        *strrchr(incoming, '/') = '\0';
    else
        string_copy(incoming, strlen(incoming) + 1, ".");
    leases = join(state, "leases", "");
    locks = join(state, "locks", "");
    options->incoming = incoming;
    options->leases = leases;
    options->locks = locks;
    rc = transfer_apply(&plan, options, &result, &err);
    print_result(&plan, &result, rc, &err);
    transfer_apply_result_release(&result);
    transfer_plan_release(&plan);
    return rc < 0;
}

static int command_apply(int argc, char **argv)
{
    static const struct option table[] = {{"index", required_argument, NULL, 'i'},
                                          {"state", required_argument, NULL, 's'},
                                          {"directory", required_argument, NULL, 'd'},
                                          {"reserve", required_argument, NULL, 'r'},
                                          {"lease", required_argument, NULL, 'l'},
                                          {"threads", required_argument, NULL, 't'},
                                          {"stop-at", required_argument, NULL, 'a'},
                                          {"progress", no_argument, NULL, 'p'},
                                          {"moves", no_argument, NULL, 'm'},
                                          {"lock-patience", required_argument, NULL, 'L'},
                                          {NULL, 0, NULL, 0}};
    struct applying applying = {.stop_at = UINT64_MAX};
    const char *directories[MOST], *state = ".";
    struct transfer_apply_options options = {.index = ".",
                                             .directories = directories,
                                             .lease_s = 3600,
                                             .progress = progress,
                                             .moved = moved,
                                             .stopped = stopped,
                                             .context = &applying};
    uint64_t threads = 0, patience = 0;
    bool good = true;
    int option;

    while ((option = getopt_long(argc, argv, "", table, NULL)) != -1) {
        if (option == 'i')
            options.index = optarg;
        else if (option == 's')
            state = optarg;
        else if (option == 'd' && options.directory_count < MOST)
            directories[options.directory_count++] = optarg;
        else if (option == 'r')
            good = good && parse_u64(optarg, &options.space_reserve_bytes) == 0;
        else if (option == 'l')
            good = good && parse_u64(optarg, &options.lease_s) == 0;
        else if (option == 't')
            good = good && parse_u64(optarg, &threads) == 0;
        else if (option == 'L')
            good = good && parse_u64(optarg, &patience) == 0;
        else if (option == 'a')
            good = good && parse_u64(optarg, &applying.stop_at) == 0;
        else if (option == 'p')
            applying.show = true;
        else if (option == 'm')
            applying.show_moves = true;
        else
            good = false;
    }
    options.threads = (unsigned)threads;
    options.lock_patience_s = (unsigned)patience;
    if (!good || optind != argc - 1)
        return 2;
    return apply_plan(argv[optind], &options, state);
}

int main(int argc, char **argv)
{
    struct error err = {""};

    if (complain(fingerprint_file_guard_install(&err), &err) < 0)
        return 1;
    if (argc > 2 && strcmp(argv[1], "make") == 0)
        return command_make(argc - 1, argv + 1);
    if (argc == 3 && strcmp(argv[1], "show") == 0)
        return command_show(argv[2]);
    if (argc > 2 && strcmp(argv[1], "apply") == 0)
        return command_apply(argc - 1, argv + 1);
    fprintf(stderr, "usage: transfer_tool make|show|apply ...\n");
    return 2;
}

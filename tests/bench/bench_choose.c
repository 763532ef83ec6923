/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What `setmov choose VM` takes to compare a VM with all that its cache holds of
 * 100 hosts with 100 images each (or as many as the arguments say: HOSTS IMAGES;
 * 1000 hosts take 4.3 GB and a quarter of an hour), by sketches: out of the
 * merged index, and out of every fingerprint of every host, which it does where
 * there is no such index. The cache is made up (made_hosts.h), its fingerprints
 * are sparse files as `setmov sync` leaves them.
 */

#define MADE_SMALLER    2
#define MADE_KIND       DIGEST_SHA256
#define MADE_BLOCK_SIZE 4096
#include "made_hosts.h"

#include "cli/choose_vm.h"
#include "setmov/catalog_merged_file.h"

#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define RUNS       21
#define FEW_RUNS   3 /* of what takes long */
#define LARGE      13
#define SETTLE_S   3 /* until directories count as unchanged */
#define PATH_BYTES 256

static char directory[] = "/var/tmp/bench_choose.XXXXXX";
static const struct catalog_kind kind = {.kind = MADE_KIND, .block_size = MADE_BLOCK_SIZE};

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "bench_choose: %s\n", what);
    exit(1);
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)status;
    (void)type;
    (void)place;
    return remove(path);
}

static void remove_directory(void)
{
    nftw(directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static double now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* ---- the cache --------------------------------------------------------------------- */

static void put(int fd, struct fingerprint_head *head, enum fingerprint_section_kind section,
                const void *bytes, size_t length)
{
    for (size_t i = 0; i < head->section_count; i++) {
        struct fingerprint_section *one = &head->sections[i];

        if (one->kind != section)
            continue;
        one->checksum = fingerprint_checksum(bytes, length);
        if (pwrite(fd, bytes, length, (off_t)one->offset) != (ssize_t)length) {
            puts("there is no room for the cache in /var/tmp");
            exit(77);
        }
    }
}

/* Head, layers and sketch; what else belongs into it are holes. */
static void write_fingerprint(const char *path, const struct fingerprint_view *view)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, S_IRUSR | S_IWUSR);
    uint8_t bytes[FINGERPRINT_HEAD_MAX], *layers;
    struct fingerprint_head head;
    size_t length;

    if (fd < 0 || fingerprint_layers_encode(&view->identity, &layers, &length, NULL) < 0 ||
        fingerprint_layout(view, length, &head) < 0 || ftruncate(fd, (off_t)head.file_length) < 0)
        fail(path);
    put(fd, &head, FINGERPRINT_LAYERS, layers, length);
    put(fd, &head, FINGERPRINT_FREQUENT_DIGESTS, view->frequent,
        view->frequent_count * sizeof(*view->frequent));
    put(fd, &head, FINGERPRINT_FREQUENT_MULTIPLICITY, view->frequent_multiplicity,
        view->frequent_count * sizeof(*view->frequent_multiplicity));
    put(fd, &head, FINGERPRINT_SKETCH_DIGESTS, view->digests,
        view->sketch_count * sizeof(*view->digests));
    put(fd, &head, FINGERPRINT_SKETCH_PLACES, view->places, view->sketch_count * sizeof(uint64_t));
    length = fingerprint_head_encode(&head, bytes);
    if (pwrite(fd, bytes, length, 0) != (ssize_t)length)
        fail(path);
    close(fd);
    free(layers);
}

static void make_image_file(uint64_t *state, const char *path)
{
    struct image image = make_query(state, 1);

    image.view.identity.virtual_size = UINT64_C(40) << 30;
    write_fingerprint(path, &image.view);
    free((void *)image.view.places);
    free((void *)image.view.frequent_multiplicity);
    free(image.digests);
    free(image.frequent);
}

static void make_host(uint64_t *state, struct catalog_merged_source *source,
                      struct config_host *host, size_t number, size_t images)
{
    char path[PATH_BYTES], hash[CATALOG_HASH_BYTES], name[CATALOG_NAME_BYTES];

    if (asprintf(&host->name, "host-%zu", number) < 0)
        fail("no memory");
    string_format(path, sizeof(path), "%s/hosts/%s", directory, host->name);
    source->name = host->name;
    source->directory = strdup(path);
    if (source->directory == NULL || mkdir(path, S_IRWXU) < 0)
        fail(path);
    for (size_t i = 0; i < images; i++) {
        string_format(path, sizeof(path), "/images/%zu", i);
        catalog_hash(path, hash);
        catalog_name_make(hash, &kind, name);
        string_format(path, sizeof(path), "%s/%s", source->directory, name);
        make_image_file(state, path);
    }
}

static void merged_path(char *path, size_t size)
{
    char name[CATALOG_NAME_BYTES];

    catalog_merged_name(&kind, name);
    string_format(path, size, "%s/%s", directory, name);
}

static void make_merged(const struct catalog_merged_source *sources, size_t count)
{
    const struct catalog_merged_options options = {.temporary = directory};
    struct catalog_merged_file *file;
    char path[PATH_BYTES];
    struct error err;

    sleep(SETTLE_S);
    merged_path(path, sizeof(path));
    if (catalog_merged_file_open(path, sources, count, &kind, &options, &file, &err) < 0)
        fail(err.text);
    catalog_merged_file_close(file);
}

/* ---- what is measured ---------------------------------------------------------------- */

/* One choice's figures; `merged`: of all hosts out of the merged index, or of none. */
static double run(const struct config *config, const struct image *image, bool merged)
{
    static struct blocks_settings settings = {.block_sizes = {MADE_BLOCK_SIZE}};
    struct fingerprint_file file = {.view = image->view};
    struct choose_vm_disk disk = {.fingerprint = &file};
    struct choose_vm_shared shared = {.is_vm = true};
    struct choose_vm vm = {.config = config,
                           .settings = &settings,
                           .shared = &shared,
                           .disks = &disk,
                           .disk_count = 1};
    struct choose_vm_host *hosts = calloc(config->host_count, sizeof(*hosts));
    struct error err = {""};
    double started, taken;

    if (hosts == NULL)
        fail("no memory");
    vm.hosts = hosts;
    vm.host_count = config->host_count;
    for (size_t i = 0; i < vm.host_count; i++)
        hosts[i] = (struct choose_vm_host){.config = &config->hosts[i], .is_known = true};
    started = now_s();
    if (choose_vm_figures(&vm, &err) < 0)
        fail(err.text);
    taken = now_s() - started;
    for (size_t i = 0; i < vm.host_count; i++) {
        if (hosts[i].figures == NULL || hosts[i].is_merged != merged)
            fail(hosts[i].unusable != NULL ? hosts[i].unusable : "figures from elsewhere");
        free(hosts[i].figures);
    }
    free(hosts);
    return taken;
}

static int by_value(const void *left, const void *right)
{
    const double *a = left, *b = right;

    return (*a > *b) - (*a < *b);
}

static void drop_merged(void)
{
    char path[PATH_BYTES];
    int fd;

    merged_path(path, sizeof(path));
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) < 0 || posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) != 0)
        puts("  (the page cache could not be dropped)");
    close(fd);
}

static void measure(const char *what, const struct config *config, const struct image *image,
                    bool merged)
{
    size_t runs = merged ? RUNS : FEW_RUNS;
    double times[RUNS], cold = 0;

    if (merged) { /* the other way it would take minutes */
        drop_merged();
        cold = run(config, image, merged);
    }
    run(config, image, merged);
    for (size_t i = 0; i < runs; i++)
        times[i] = run(config, image, merged);
    qsort(times, runs, sizeof(*times), by_value);
    printf("  %-18s %9.1f ms   (worst of %zu: %.1f)\n", what, 1e3 * times[runs / 2], runs,
           1e3 * times[runs - 1]);
    if (merged)
        printf("  with nothing of it in the page cache: %.0f ms\n", 1e3 * cold);
}

int main(int count, char **arguments)
{
    uint64_t state = 1, hosts = 100, images = 100;
    struct catalog_merged_source *sources;
    struct config config = {.sync.cache = directory};
    char path[PATH_BYTES], away[PATH_BYTES], own[] = "here";
    struct image queries[2];
    struct stat status;

    if ((count > 1 && (parse_u64(arguments[1], &hosts) < 0 || hosts < 1)) ||
        (count > 2 && parse_u64(arguments[2], &images) < 0))
        return 2;
    config.setmov.name = own;
    config.host_count = hosts;
    config.hosts = calloc(hosts, sizeof(*config.hosts));
    sources = calloc(hosts, sizeof(*sources));
    if (config.hosts == NULL || sources == NULL || mkdtemp(directory) == NULL)
        fail("no memory, or no directory in /var/tmp");
    atexit(remove_directory);
    string_format(path, sizeof(path), "%s/hosts", directory);
    if (mkdir(path, S_IRWXU) < 0)
        fail(path);
    make_pools(&state);
    queries[0] = make_query(&state, 1);
    queries[1] = make_query(&state, LARGE);
    for (size_t i = 0; i < hosts; i++)
        make_host(&state, &sources[i], &config.hosts[i], i, images);
    make_merged(sources, hosts);
    merged_path(path, sizeof(path));
    string_format(away, sizeof(away), "%s.away", path);
    if (stat(path, &status) < 0)
        fail(path);
    printf("%zu hosts with %zu images each; merged index %.1f MB\n", (size_t)hosts, (size_t)images,
           1e-6 * (double)status.st_size);
    for (size_t i = 0; i < 2; i++) {
        printf("a VM with %s in its disk\n", i == 0 ? "1.1 GB" : "14 GB");
        measure("merged index", &config, &queries[i], true);
        if (rename(path, away) < 0)
            fail(path);
        measure("each fingerprint", &config, &queries[i], false);
        if (rename(away, path) < 0)
            fail(path);
    }
    return 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the qemu hook takes, as a whole program: an operation that is none of its
 * own, beside a program that does nothing at all; and a migration that arrives
 * at one of 1000 known hosts with 100 images and VMs each (or as many as the
 * arguments say: HOSTS IMAGES), warm and with nothing of the catalog in the page
 * cache. The catalog is made up (made_hosts.h).
 */

#define MADE_SMALLER    2
#define MADE_KIND       DIGEST_SHA256
#define MADE_BLOCK_SIZE 4096
#include "made_hosts.h"

#include "setmov/catalog.h"
#include "setmov/catalog_known.h"

#include <fcntl.h>
#include <math.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define RUNS       51
#define COLD_RUNS  5
#define LARGE      13 /* times as much as a small image */
#define DIRECTORY  "/var/tmp/bench_hook.XXXXXX"
#define PATH_BYTES 256

static char directory[] = DIRECTORY, hook[4096];

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "bench_hook: %s\n", what);
    exit(1);
}

static const char *in_directory(const char *name)
{
    static char path[PATH_BYTES];

    string_format(path, sizeof(path), "%s/%s", directory, name);
    return path;
}

static void write_file(const char *name, const void *bytes, size_t length)
{
    FILE *file = fopen(in_directory(name), "we");

    if (file == NULL || fwrite(bytes, 1, length, file) != length || fclose(file) != 0) {
        puts("there is no room for the catalog in /var/tmp");
        exit(77);
    }
}

/* ---- the catalog ---- */

static void uuid_of(size_t host, size_t vm, struct uuid *ret_uuid)
{
    uint64_t numbers[2] = {host + 1, vm + 1};

    memcpy(ret_uuid->bytes, numbers, sizeof(numbers));
}

/* Of the VM's only disk. */
static const char *disk_path(size_t host, size_t vm)
{
    static char path[PATH_BYTES];

    string_format(path, sizeof(path), "/var/lib/libvirt/images/vm-%zu-%zu.qcow2", host, vm);
    return path;
}

static struct catalog_manifest *make_manifests(const struct park *park)
{
    struct catalog_manifest *manifests = calloc(park->hosts, sizeof(*manifests));
    struct catalog_manifest_vm *vms = calloc(park->hosts * park->images + 1, sizeof(*vms));
    struct catalog_manifest_disk *disks = calloc(park->hosts * park->images + 1, sizeof(*disks));

    if (manifests == NULL || vms == NULL || disks == NULL)
        fail("no memory");
    for (size_t i = 0; i < park->hosts; i++) {
        manifests[i].host = park->names[i];
        manifests[i].made_s = time(NULL);
        manifests[i].vms = vms + i * park->images;
        manifests[i].vm_count = park->images;
        for (size_t j = 0; j < park->images; j++) {
            struct catalog_manifest_vm *vm = &manifests[i].vms[j];
            char name[32];

            string_format(name, sizeof(name), "vm-%zu-%zu", i, j);
            uuid_of(i, j, &vm->uuid);
            vm->name = strdup(name);
            vm->active = true;
            vm->disks = &disks[i * park->images + j];
            vm->disk_count = 1;
            vm->disks->target = strdup("vda");
            vm->disks->path = strdup(disk_path(i, j));
            vm->disks->capacity_bytes = UINT64_C(10) << 30;
            catalog_hash(vm->disks->path, vm->disks->image);
        }
    }
    return manifests;
}

/* The first of the hosts is this one. Returns the file's bytes. */
static size_t make_known(const struct park *park)
{
    struct catalog_known_source *sources = calloc(park->hosts, sizeof(*sources));
    const struct catalog_manifest *manifests = make_manifests(park);
    uint8_t *bytes;
    size_t length;
    struct error err;

    if (sources == NULL)
        fail("no memory");
    for (size_t i = 0; i < park->hosts; i++) {
        char path[PATH_BYTES];

        string_format(path, sizeof(path), "%s/hosts/%s", directory, park->names[i]);
        sources[i].manifest = &manifests[i];
        sources[i].host = (struct catalog_known_host){
            .name = park->names[i],
            .directory = strdup(path),
            .is_self = i == 0,
            .read_s = time(NULL),
            .made_s = time(NULL),
            .cpu_percent = (double)(i % 60),
            .cpus = 16,
            .memory_free_bytes = UINT64_C(1) << 36,
            .memory_bytes = UINT64_C(1) << 37,
            .pool_free_bytes = UINT64_C(1) << 40,
        };
    }
    if (catalog_known_encode(sources, park->hosts, time(NULL), &bytes, &length, &err) < 0)
        fail(err.text);
    write_file(CATALOG_KNOWN_NAME, bytes, length);
    free(bytes);
    return length;
}

static size_t make_merged(const struct park *park)
{
    uint8_t *bytes;
    size_t length;
    struct error err;

    if (catalog_merged_encode(park->list, park->hosts, &bytes, &length, &err) < 0)
        fail(err.text);
    write_file("sha256-4096.merged", bytes, length);
    free(bytes);
    return length;
}

/* The fingerprint of a VM's disk, with all of its digests, not the sampled ones only. */
static void make_fingerprint(uint64_t *state, size_t host, size_t families)
{
    struct catalog_kind kind = {.kind = DIGEST_SHA256, .block_size = MADE_BLOCK_SIZE};
    struct image image = make_query(state, families);
    struct fingerprint_view view = image.view;
    size_t distinct = view.totals.distinct, length;
    struct digest *digests = memory(distinct * sizeof(*digests));
    uint8_t *places = memory(distinct * 8), *bytes;
    char name[CATALOG_NAME_BYTES], hash[CATALOG_HASH_BYTES], path[PATH_BYTES];
    struct error err;

    for (size_t i = 0; i < distinct; i++) {
        uint64_t place = htole64(fingerprint_place_make(i, 1));

        digests[i] = i < view.sketch_count ? view.digests[i]
                                           : strewn(state, i - view.sketch_count,
                                                    distinct - view.sketch_count, false);
        memcpy(places + i * 8, &place, 8);
    }
    view.digests = digests;
    view.places = places;
    view.identity.virtual_size = UINT64_C(40) << 30;
    view.totals.blocks = distinct + view.frequent_count * 31;
    if (fingerprint_encode(&view, &bytes, &length, &err) < 0)
        fail(err.text);
    catalog_hash(disk_path(host, 0), hash);
    catalog_name_make(hash, &kind, name);
    string_format(path, sizeof(path), "hosts/host-%zu", host);
    if (mkdir(in_directory(path), S_IRWXU) < 0)
        fail("a directory");
    string_format(path, sizeof(path), "hosts/host-%zu/%s", host, name);
    write_file(path, bytes, length);
    free(bytes);
    free(digests);
    free(places);
}

static void make_config(size_t hosts)
{
    FILE *file = fopen(in_directory("setmov.conf"), "we");

    if (file == NULL)
        fail("setmov.conf");
    fprintf(file,
            "[setmov]\nname = host-0\n[sync]\ncache = %s\n[hook]\npolicy = advise\nlog = %s/log\n",
            directory, directory);
    for (size_t i = 1; i < hosts; i++)
        fprintf(file, "[host host-%zu]\nuri = qemu+tls://host-%zu.example.org/system\n", i, i);
    fclose(file);
}

static void make_xml(size_t host)
{
    char text[2048], uuid_text[UUID_TEXT_BYTES], name[32];
    struct uuid uuid;

    uuid_of(host, 0, &uuid);
    uuid_format(&uuid, uuid_text);
    string_format(text, sizeof(text),
                  "<domain type='kvm'><name>vm-%zu-0</name><uuid>%s</uuid><memory "
                  "unit='KiB'>2097152</memory><vcpu>2</vcpu><devices><disk type='file' "
                  "device='disk'><driver name='qemu' type='qcow2'/><source file='%s'/><target "
                  "dev='vda' bus='virtio'/></disk></devices></domain>\n",
                  host, uuid_text, disk_path(host, 0));
    string_format(name, sizeof(name), "vm-%zu.xml", host);
    write_file(name, text, strlen(text));
}

/* ---- what is measured ---- */

static double now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static double run(const char *const words[], const char *input)
{
    posix_spawn_file_actions_t actions;
    double started = now_s();
    char *no_environment[] = {NULL};
    int status;
    pid_t child;

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, input, O_RDONLY, 0);
    if (posix_spawn(&child, words[0], &actions, NULL, (char *const *)words, no_environment) != 0 ||
        waitpid(child, &status, 0) != child || status != 0)
        fail(words[0]);
    posix_spawn_file_actions_destroy(&actions);
    return now_s() - started;
}

static int by_value(const void *left, const void *right)
{
    const double *a = left, *b = right;

    return (*a > *b) - (*a < *b);
}

struct times {
    double median, worst;
};

static struct times repeat(const char *const words[], const char *input, size_t runs)
{
    double times[RUNS];

    for (size_t i = 0; i < runs; i++)
        times[i] = run(words, input);
    qsort(times, runs, sizeof(*times), by_value);
    return (struct times){1e3 * times[runs / 2], 1e3 * times[runs - 1]};
}

static void drop_file(const char *name)
{
    int fd = open(in_directory(name), O_RDONLY | O_CLOEXEC);

    if (fd < 0 || fsync(fd) < 0 || posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) != 0)
        puts("  (the page cache could not be dropped)");
    close(fd);
}

static void measure_foreign(void)
{
    const char *ours[] = {hook, "vm", "start", "begin", "-", NULL};
    const char *nothing[] = {"/bin/true", NULL};
    struct times hooked, empty;

    repeat(nothing, "/dev/null", RUNS);
    hooked = repeat(ours, "/dev/null", RUNS);
    empty = repeat(nothing, "/dev/null", RUNS);
    printf("an operation that is none of its own   %9.2f ms   %.1f times /bin/true\n",
           hooked.median, hooked.median / empty.median);
}

/* The log's last line says on what figures: it really was ranked. */
static void show_log(void)
{
    FILE *file = fopen(in_directory("log"), "re");
    char line[4096] = "", *text;

    while (file != NULL && fgets(line, sizeof(line), file) != NULL)
        continue;
    if (file != NULL)
        fclose(file);
    text = strstr(line, "passed");
    if (text == NULL || strstr(text, "to send") == NULL)
        fail(line[0] != '\0' ? line : "nothing in the log");
    printf("  %s", text);
}

static void measure(const char *what, size_t host)
{
    char config[PATH_BYTES], xml[PATH_BYTES], name[32];
    const char *words[] = {hook, "vm", "migrate", "begin", "-", "--config", config, NULL};
    double cold[COLD_RUNS];
    struct times warm;

    string_copy(config, sizeof(config), in_directory("setmov.conf"));
    string_format(name, sizeof(name), "vm-%zu.xml", host);
    string_copy(xml, sizeof(xml), in_directory(name));
    run(words, xml);
    printf("%s\n", what);
    show_log();
    warm = repeat(words, xml, RUNS);
    for (size_t i = 0; i < COLD_RUNS; i++) {
        drop_file("sha256-4096.merged");
        drop_file(CATALOG_KNOWN_NAME);
        drop_file("setmov.conf");
        cold[i] = 1e3 * run(words, xml);
    }
    qsort(cold, COLD_RUNS, sizeof(*cold), by_value);
    printf("  warm                                 %9.2f ms   (worst of %d: %.2f)\n", warm.median,
           RUNS, warm.worst);
    printf("  cold: nothing of the catalog cached  %9.2f ms   (worst of %d: %.2f)\n",
           cold[COLD_RUNS / 2], COLD_RUNS, cold[COLD_RUNS - 1]);
}

static void remove_directory(void)
{
    const char *words[] = {"/bin/rm", "-rf", directory, NULL};

    run(words, "/dev/null");
}

int main(int count, char **arguments)
{
    uint64_t state = 1, hosts = 1000, images = 100;
    const char *build = getenv("SETMOV_BUILD");
    double started = now_s();
    size_t known, merged;
    struct park park;

    if ((count > 1 && (parse_u64(arguments[1], &hosts) < 0 || hosts < 3)) ||
        (count > 2 && parse_u64(arguments[2], &images) < 0))
        return 2;
    string_format(hook, sizeof(hook), "%s/hooks/setmov", build != NULL ? build : "build");
    if (access(hook, X_OK) < 0)
        fail("the hook is not built");
    need_memory(hosts * images);
    if (mkdtemp(directory) == NULL || mkdir(in_directory("hosts"), S_IRWXU) < 0)
        fail("no directory in /var/tmp");
    atexit(remove_directory);
    make_pools(&state);
    park = make_park(&state, hosts, images);
    make_fingerprint(&state, 1, 1);
    make_fingerprint(&state, 2, LARGE);
    make_config(hosts);
    make_xml(1);
    make_xml(2);
    known = make_known(&park);
    merged = make_merged(&park);
    printf(
        "%zu hosts with %zu images and VMs each; known hosts %.1f MB, merged index %.1f MB (made "
        "in %.1f s)\n",
        park.hosts, park.images, 1e-6 * (double)known, 1e-6 * (double)merged, now_s() - started);
    measure_foreign();
    measure("a migration of a VM with 1.1 GB in its disk", 1);
    measure("one with 14 GB", 2);
    return 0;
}

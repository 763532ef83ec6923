/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A VM among all that are known: 1000 hosts with 100 VMs of two disks each (or
 * as many as the arguments say: HOSTS VMS). Prints what the file is, what it
 * takes to make it, to open it (warm, and with a page cache that was dropped),
 * and to find a VM in it by UUID and by name. Checks that each VM is found
 * where it is.
 */

#include "made_numbers.h"
#include "setmov/catalog_known.h"
#include "setmov/fingerprint_file.h"

#include <fcntl.h>
#include <math.h>
#include <unistd.h>

#define RUNS  21
#define DISKS 2

struct park {
    size_t hosts, vms; /* VMs of each host */
    struct catalog_known_source *sources;
    struct catalog_manifest *manifests;
};

static double now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void *memory(size_t bytes)
{
    void *block = calloc(1, bytes + 1);

    if (block == NULL) {
        puts("there is no memory for that many VMs");
        exit(77);
    }
    return block;
}

static char *text(const char *format, size_t a, size_t b)
{
    char buffer[128];

    if (!string_format(buffer, sizeof(buffer), format, a, b))
        exit(1);
    return strdup(buffer);
}

static void make_vm(uint64_t *state, size_t host, size_t i, struct catalog_manifest_vm *vm)
{
    uint64_t words[2] = {random_u64(state), random_u64(state)};

    memcpy(vm->uuid.bytes, words, sizeof(words));
    vm->name = text("vm-%04zu-%03zu.example", host, i);
    vm->active = i % 4 != 0;
    vm->memory_bytes = UINT64_C(4) << 30;
    vm->vcpus = 4;
    vm->disks = memory(DISKS * sizeof(*vm->disks));
    vm->disk_count = DISKS;
    for (size_t j = 0; j < DISKS; j++) {
        struct catalog_manifest_disk *disk = &vm->disks[j];

        disk->target = text(j == 0 ? "vda" : "vdb", 0, 0);
        disk->path = text(j == 0 ? "/var/lib/libvirt/images/vm-%04zu-%03zu.qcow2"
                                 : "/var/lib/libvirt/images/vm-%04zu-%03zu-data.qcow2",
                          host, i);
        string_format(disk->image, sizeof(disk->image), "%016llx%016llx",
                      (unsigned long long)random_u64(state), (unsigned long long)random_u64(state));
        disk->capacity_bytes = UINT64_C(20) << 30;
    }
}

static struct park make_park(size_t hosts, size_t vms)
{
    struct park park = {.hosts = hosts, .vms = vms};
    uint64_t state = 4;

    park.sources = memory(hosts * sizeof(*park.sources));
    park.manifests = memory(hosts * sizeof(*park.manifests));
    for (size_t host = 0; host < hosts; host++) {
        struct catalog_manifest *manifest = &park.manifests[host];

        manifest->vms = memory(vms * sizeof(*manifest->vms));
        manifest->vm_count = vms;
        for (size_t i = 0; i < vms; i++)
            make_vm(&state, host, i, &manifest->vms[i]);
        park.sources[host] = (struct catalog_known_source){
            .host = {.name = text("host-%04zu", host, 0),
                     .directory = text("/var/cache/setmov/hosts/host-%04zu", host, 0),
                     .cpu_percent = NAN,
                     .cpus = 64,
                     .memory_bytes = UINT64_C(512) << 30,
                     .memory_free_bytes = UINT64_C(100) << 30,
                     .pool_free_bytes = UINT64_C(1) << 40},
            .manifest = manifest};
    }
    return park;
}

static int by_value(const void *left, const void *right)
{
    const double *a = left, *b = right;

    return (*a > *b) - (*a < *b);
}

static double median_of(double *values)
{
    qsort(values, RUNS, sizeof(*values), by_value);
    return values[RUNS / 2];
}

static struct catalog_known *open_known(const char *cache)
{
    struct catalog_known *known = NULL;
    struct error err;

    if (catalog_known_open(cache, &known, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
    return known;
}

/* Opens, asks once, closes: what a hook does. */
static double ask_fresh(const char *cache, const struct catalog_manifest_vm *vm)
{
    double started = now_s(), took;
    struct catalog_known *known = open_known(cache);
    struct catalog_known_vm *vms;
    size_t count;

    if (catalog_known_find(known, &vm->uuid, &vms, &count, NULL) < 0 || count != 1 ||
        strcmp(vms[0].name, vm->name) != 0)
        exit(1);
    took = now_s() - started;
    catalog_known_vms_free(vms, count);
    catalog_known_close(known);
    return took;
}

/* Seconds for one of all VMs, by UUID. */
static double find_all(const struct park *park, const struct catalog_known *known)
{
    double started = now_s();

    for (size_t i = 0; i < park->hosts * park->vms; i++) {
        const struct catalog_manifest_vm *vm = &park->manifests[i / park->vms].vms[i % park->vms];
        struct catalog_known_vm *vms;
        size_t count;

        if (catalog_known_find(known, &vm->uuid, &vms, &count, NULL) < 0 || count != 1 ||
            vms[0].host != i / park->vms || strcmp(vms[0].name, vm->name) != 0) {
            fprintf(stderr, "%s is not found where it is\n", vm->name);
            exit(1);
        }
        catalog_known_vms_free(vms, count);
    }
    return (now_s() - started) / (double)(park->hosts * park->vms);
}

static double find_name(const struct catalog_known *known, const char *name)
{
    double started = now_s();
    struct catalog_known_vm *vms;
    size_t count;

    if (catalog_known_find_text(known, name, &vms, &count, NULL) < 0 || count != 1)
        exit(1);
    catalog_known_vms_free(vms, count);
    return now_s() - started;
}

static void drop(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0 || fsync(fd) < 0 || posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) != 0)
        puts("  (the page cache could not be dropped)");
    if (fd >= 0)
        close(fd);
}

static void measure(const struct park *park, const char *cache, const char *path)
{
    const struct catalog_manifest *last = &park->manifests[park->hosts - 1];
    double warm[RUNS], cold[RUNS], name[RUNS], uuid;
    struct catalog_known *known;

    ask_fresh(cache, &last->vms[0]);
    for (size_t i = 0; i < RUNS; i++)
        warm[i] = ask_fresh(cache, &park->manifests[i % park->hosts].vms[i % park->vms]);
    for (size_t i = 0; i < RUNS; i++) {
        drop(path);
        cold[i] = ask_fresh(cache, &park->manifests[i % park->hosts].vms[i % park->vms]);
    }
    known = open_known(cache);
    find_all(park, known);
    uuid = find_all(park, known);
    for (size_t i = 0; i < RUNS; i++)
        name[i] = find_name(known, last->vms[park->vms - 1].name);
    catalog_known_close(known);
    printf("  open, find, close   %8.3f ms warm, %.3f ms with a cold page cache\n",
           1e3 * median_of(warm), 1e3 * median_of(cold));
    printf("  find by UUID alone  %8.3f us\n", 1e6 * uuid);
    printf("  find by name alone  %8.3f ms\n", 1e3 * median_of(name));
}

static void write_all(const char *path, const uint8_t *bytes, size_t length)
{
    FILE *file = fopen(path, "we");

    if (file == NULL || fwrite(bytes, 1, length, file) != length || fclose(file) != 0) {
        puts("there is no room for the file in /var/tmp");
        exit(77);
    }
}

int main(int argc, char **argv)
{
    uint64_t hosts = 1000, vms = 100;
    char cache[] = "/var/tmp/bench_known.XXXXXX", path[64];
    struct error err;
    struct park park;
    double started;
    uint8_t *bytes;
    size_t length;

    if ((argc > 1 && parse_u64(argv[1], &hosts) < 0) ||
        (argc > 2 && parse_u64(argv[2], &vms) < 0) || hosts == 0 || vms == 0) {
        fputs("usage: bench_known [HOSTS [VMS]]\n", stderr);
        return 1;
    }
    park = make_park(hosts, vms);
    started = now_s();
    if (catalog_known_encode(park.sources, hosts, 1, &bytes, &length, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    printf("%zu hosts with %zu VMs of %d disks: %.1f MB, made in %.0f ms\n", (size_t)hosts,
           (size_t)vms, DISKS, 1e-6 * (double)length, 1e3 * (now_s() - started));
    if (mkdtemp(cache) == NULL)
        return 1;
    string_format(path, sizeof(path), "%s/%s", cache, CATALOG_KNOWN_NAME);
    write_all(path, bytes, length);
    measure(&park, cache, path);
    unlink(path);
    rmdir(cache);
    return 0;
}

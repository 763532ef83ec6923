/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Makes what `setmov sync` keeps of a park of hosts in a cache directory, out of
 * a description on stdin, a word or a KEY=VALUE at a time:
 *
 *   made SECONDS
 *   host NAME DIRECTORY [self=1] [read=S] [made=S] [cpu=PERCENT] [free=BYTES] [pool=BYTES] [problem=WORD]
 *   vm UUID NAME [active=1] [memory=BYTES]           of the host before
 *   disk TARGET PATH [image=no]                      of the VM before
 *   merged BLOCK_SIZE                                 an index of SHA-256 digests, once for each
 */

#include "setmov/catalog_known.h"
#include "setmov/catalog_merged_file.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>

#define MOST_HOSTS 64
#define MOST_VMS   64
#define MOST_DISKS 16

struct host {
    struct catalog_manifest manifest;
    struct catalog_manifest_vm vms[MOST_VMS];
    struct catalog_manifest_disk disks[MOST_VMS][MOST_DISKS];
};

static struct host hosts[MOST_HOSTS];
static struct catalog_known_source sources[MOST_HOSTS];
static size_t count;
static uint64_t made_s;
static const char *cache;

static _Noreturn void fail(const char *what, const char *why)
{
    fprintf(stderr, "made_catalog: %s: %s\n", what, why);
    exit(1);
}

static char *next(char **line)
{
    char *word = strtok_r(NULL, " \n", line);

    if (word == NULL)
        fail("a line", "a word is missing");
    return word;
}

/* The value of KEY=VALUE among the words, or NULL; until the next call. */
static const char *option(const char *rest, const char *key)
{
    static char value[256];
    size_t length = strlen(key);

    for (const char *at = rest; (at = strstr(at, key)) != NULL; at += length) {
        if ((at == rest || at[-1] == ' ') && at[length] == '=') {
            at += length + 1;
            text_copy(text_of(at, strcspn(at, " \n")), value, sizeof(value));
            return value;
        }
    }
    return NULL;
}

static uint64_t number(const char *rest, const char *key, uint64_t otherwise)
{
    const char *text = option(rest, key);
    uint64_t value = otherwise;

    if (text != NULL && parse_u64(text, &value) < 0)
        fail(key, text);
    return value;
}

static void add_host(char **line)
{
    struct catalog_known_host *host = &sources[count].host;
    struct catalog_manifest *manifest = &hosts[count].manifest;
    const char *rest;

    if (count == MOST_HOSTS)
        fail("hosts", "too many");
    host->name = strdup(next(line));
    host->directory = strdup(next(line));
    rest = *line;
    host->is_self = number(rest, "self", 0) != 0;
    host->read_s = (int64_t)number(rest, "read", made_s);
    host->made_s = (int64_t)number(rest, "made", made_s);
    host->cpu_percent = NAN;
    if (option(rest, "cpu") != NULL && parse_double(option(rest, "cpu"), &host->cpu_percent) < 0)
        fail("cpu", rest);
    host->memory_free_bytes = host->memory_bytes = number(rest, "free", UNKNOWN_U64);
    host->pool_free_bytes = number(rest, "pool", UNKNOWN_U64);
    if (option(rest, "problem") != NULL)
        host->problem = strdup(option(rest, "problem"));
    manifest->host = (char *)host->name;
    manifest->made_s = host->made_s;
    manifest->vms = hosts[count].vms;
    sources[count].manifest = manifest;
    count++;
}

static void add_vm(char **line)
{
    struct host *host = &hosts[count - 1];
    struct catalog_manifest_vm *vm = &host->vms[host->manifest.vm_count];
    const char *uuid = next(line);

    if (host->manifest.vm_count == MOST_VMS || uuid_parse(uuid, &vm->uuid) < 0)
        fail("a VM", uuid);
    vm->name = strdup(next(line));
    vm->active = number(*line, "active", 0) != 0;
    vm->memory_bytes = number(*line, "memory", 1 << 20);
    vm->vcpus = 1;
    vm->disks = host->disks[host->manifest.vm_count++];
}

static void add_disk(char **line)
{
    struct catalog_manifest *manifest = &hosts[count - 1].manifest;
    struct catalog_manifest_vm *vm = &manifest->vms[manifest->vm_count - 1];
    struct catalog_manifest_disk *disk = &vm->disks[vm->disk_count++];

    if (vm->disk_count > MOST_DISKS)
        fail("disks", "too many");
    disk->target = strdup(next(line));
    disk->path = strdup(next(line));
    disk->capacity_bytes = UNKNOWN_U64;
    if (option(*line, "image") == NULL)
        catalog_hash(disk->path, disk->image);
}

static void make_merged(char **line)
{
    struct catalog_kind kind = {.kind = DIGEST_SHA256};
    struct catalog_merged_options options = {.temporary = NULL};
    struct catalog_merged_source from[MOST_HOSTS];
    struct catalog_merged_file *file;
    char name[CATALOG_NAME_BYTES], path[4096];
    const char *size = next(line);
    struct error err;
    uint64_t value;

    if (parse_u64(size, &value) < 0)
        fail("block size", size);
    kind.block_size = (uint32_t)value;
    for (size_t i = 0; i < count; i++)
        from[i] = (struct catalog_merged_source){sources[i].host.name, sources[i].host.directory};
    catalog_merged_name(&kind, name);
    string_format(path, sizeof(path), "%s/%s", cache, name);
    if (catalog_merged_file_open(path, from, count, &kind, &options, &file, &err) < 0)
        fail(path, err.text);
    catalog_merged_file_close(file);
}

static void make_known(void)
{
    uint8_t *bytes;
    size_t length;
    struct error err;
    char path[4096];
    FILE *file;

    if (catalog_known_encode(sources, count, (int64_t)made_s, &bytes, &length, &err) < 0)
        fail("known", err.text);
    string_format(path, sizeof(path), "%s/" CATALOG_KNOWN_NAME, cache);
    file = fopen(path, "we");
    if (file == NULL || fwrite(bytes, 1, length, file) != length || fclose(file) != 0)
        fail(path, strerror(errno));
    free(bytes);
}

static void take(char *line)
{
    char *rest = NULL, *word = strtok_r(line, " \n", &rest);

    if (word == NULL)
        return;
    if (strcmp(word, "made") == 0 && parse_u64(next(&rest), &made_s) == 0)
        return;
    if (strcmp(word, "host") == 0)
        add_host(&rest);
    else if (strcmp(word, "vm") == 0 && count > 0)
        add_vm(&rest);
    else if (strcmp(word, "disk") == 0 && count > 0 && hosts[count - 1].manifest.vm_count > 0)
        add_disk(&rest);
    else if (strcmp(word, "merged") == 0)
        make_merged(&rest);
    else
        fail(word, "does not belong here");
}

int main(int words, char **arguments)
{
    char line[4096];

    if (words != 2)
        fail("arguments", "one is wanted, the cache directory");
    cache = arguments[1];
    while (fgets(line, sizeof(line), stdin) != NULL)
        take(line);
    make_known();
    return 0;
}

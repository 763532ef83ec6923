/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads /proc and /sys into a host sample (effects: open, read, clock). */

#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <unistd.h>

#define IDENTITY_REFRESH_S   60
#define NO_ADDRESS_REFRESH_S 5 /* the network may still be coming up */

struct host_reader {
    char *proc_root;
    int proc_directory;
    int sys_directory; /* -1: there is none */
    bool own;          /* this process's own /proc: its host name, its sockets */
    const char *net;   /* folder of the network files in proc_root */
    struct file_buffer buffer;
    struct name_cache disk_names, interface_names;
    char host_name[HOST_NAME_MAX_BYTES];
    char address[64];
    double look_up_identity_s;
};

static int open_roots(struct host_reader *reader, const char *sys_root, struct error *err)
{
    const char *proc_root = reader->proc_root;
    int fd;

    reader->proc_directory = open(proc_root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (reader->proc_directory < 0)
        return error_set(err, -errno, "cannot open %s: %s", proc_root, strerror(errno));
    fd = openat(reader->proc_directory, "stat", O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return error_set(err, -errno, "cannot open %s/stat: %s", proc_root, strerror(errno));
    close(fd);
    /* Without /sys there are no MACs and kinds come from names: no reason to fail. */
    reader->sys_directory = open(sys_root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    /*
     * In a host's /proc mounted in a container, net/ shows the container's
     * interfaces; those of its first process are the host's.
     */
    reader->net = "net";
    if (!reader->own && faccessat(reader->proc_directory, "1/net/dev", R_OK, 0) == 0)
        reader->net = "1/net";
    return 0;
}

int host_reader_new(const char *proc_root, const char *sys_root, struct host_reader **ret_reader,
                    struct error *err)
{
    struct host_reader *reader = calloc(1, sizeof(*reader));
    int rc;

    if (reader == NULL)
        return error_set(err, -ENOMEM, "no memory for the host reader");
    reader->proc_directory = reader->sys_directory = -1;
    reader->proc_root = strdup(proc_root != NULL ? proc_root : "/proc");
    if (reader->proc_root == NULL) {
        host_reader_free(reader);
        return error_set(err, -ENOMEM, "no memory for the host reader");
    }
    for (size_t n = strlen(reader->proc_root); n > 1 && reader->proc_root[n - 1] == '/'; n--)
        reader->proc_root[n - 1] = '\0';
    reader->own = strcmp(reader->proc_root, "/proc") == 0;
    rc = open_roots(reader, sys_root != NULL ? sys_root : "/sys", err);
    if (rc < 0) {
        host_reader_free(reader);
        return rc;
    }
    *ret_reader = reader;
    return 0;
}

void host_reader_free(struct host_reader *reader)
{
    if (reader == NULL)
        return;
    cleanup_close(&reader->proc_directory);
    cleanup_close(&reader->sys_directory);
    file_buffer_release(&reader->buffer);
    name_cache_release(&reader->disk_names);
    name_cache_release(&reader->interface_names);
    free(reader->proc_root);
    free(reader);
}

/* Reads a file of /proc and says when. */
static int read_proc(struct host_reader *reader, const char *path, double *ret_time_s,
                     struct text *ret_text, struct error *err)
{
    double time_s = clock_monotonic_s();
    int rc = file_read(reader->proc_directory, path, &reader->buffer);

    if (rc < 0) {
        error_set(err, rc, "cannot read %s/%s: %s", reader->proc_root, path, strerror(-rc));
        return rc;
    }
    *ret_time_s = time_s;
    *ret_text = text_of(reader->buffer.bytes, reader->buffer.length);
    return 0;
}

static int read_cpu(struct host_reader *reader, struct host_cpu *cpu, struct error *err)
{
    struct text text;
    int rc = read_proc(reader, "stat", &cpu->time_s, &text, err);

    if (rc == 0)
        rc = host_parse_stat(text, cpu, err);
    if (rc < 0) {
        cpu->time_s = NAN;
        cpu->all = (struct cpu_times){0};
        cpu->cpu_count = 0;
    }
    return rc;
}

static int read_memory(struct host_reader *reader, struct host_memory *memory, struct error *err)
{
    struct text text;
    int rc = read_proc(reader, "meminfo", &memory->time_s, &text, err);

    if (rc == 0)
        rc = host_parse_meminfo(text, memory, err);
    if (rc < 0) {
        memset(memory, 0xff, sizeof(*memory)); /* UNKNOWN_U64 */
        memory->time_s = NAN;
    }
    return rc;
}

static int read_disks(struct host_reader *reader, struct host_disks *disks, struct error *err)
{
    struct text text;
    int rc = read_proc(reader, "diskstats", &disks->time_s, &text, err);

    if (rc == 0)
        rc = host_parse_diskstats(text, disks, err);
    if (rc < 0) {
        disks->time_s = NAN;
        disks->count = 0;
        return rc;
    }
    if (file_read(reader->proc_directory, "partitions", &reader->buffer) == 0)
        host_keep_partitions(disks, text_of(reader->buffer.bytes, reader->buffer.length));
    sysfs_refine_disks(reader->sys_directory, &reader->disk_names, disks->time_s, disks);
    return 0;
}

static int read_interfaces(struct host_reader *reader, struct host_interfaces *interfaces,
                           struct error *err)
{
    char path[32];
    struct text text;
    int rc;

    string_format(path, sizeof(path), "%s/dev", reader->net);
    rc = read_proc(reader, path, &interfaces->time_s, &text, err);
    if (rc == 0)
        rc = host_parse_net_dev(text, interfaces, err);
    if (rc < 0) {
        interfaces->time_s = NAN;
        interfaces->count = 0;
        return rc;
    }
    sysfs_fill_macs(reader->sys_directory, &reader->interface_names, interfaces->time_s,
                    &reader->buffer, interfaces);
    return 0;
}

static void read_identity(struct host_reader *reader, struct host_sample *sample)
{
    double now_s = clock_monotonic_s();

    if (now_s >= reader->look_up_identity_s) {
        identity_host_name(reader->proc_directory, reader->own, &reader->buffer, reader->host_name,
                           sizeof(reader->host_name));
        identity_address(reader->proc_directory, reader->net, reader->own, reader->address,
                         sizeof(reader->address));
        reader->look_up_identity_s =
            now_s + (reader->address[0] != '\0' ? IDENTITY_REFRESH_S : NO_ADDRESS_REFRESH_S);
    }
    string_copy(sample->host_name, sizeof(sample->host_name), reader->host_name);
    string_copy(sample->address, sizeof(sample->address), reader->address);
}

/* Adds the failure of a group to the others'. */
static void add_failure(struct error *err, const struct error *failure)
{
    if (err == NULL)
        return;
    if (err->text[0] == '\0')
        *err = *failure;
    else
        error_set(err, 0, "%s; %s", err->text, failure->text);
}

int host_reader_read(struct host_reader *reader, struct host_sample *sample, struct error *err)
{
    struct error failures[4] = {{{0}}};
    int results[ARRAY_LENGTH(failures)];
    bool any = false;

    results[0] = read_cpu(reader, &sample->cpu, &failures[0]);
    results[1] = read_memory(reader, &sample->memory, &failures[1]);
    results[2] = read_disks(reader, &sample->disks, &failures[2]);
    results[3] = read_interfaces(reader, &sample->interfaces, &failures[3]);
    if (err != NULL)
        err->text[0] = '\0';
    for (size_t i = 0; i < ARRAY_LENGTH(results); i++) {
        any = any || results[i] == 0;
        /* The parsers know no roots; their messages begin with the usual one. */
        if (results[i] < 0 && strcmp(reader->proc_root, "/proc") != 0 &&
            strncmp(failures[i].text, "/proc/", 6) == 0)
            error_prefix(&failures[i], 0, "below %s", reader->proc_root);
        if (results[i] < 0)
            add_failure(err, &failures[i]);
    }
    read_identity(reader, sample);
    return any ? 0 : results[0];
}

void host_sample_release(struct host_sample *sample)
{
    if (sample == NULL)
        return;
    free(sample->cpu.cpus);
    free(sample->disks.disks);
    free(sample->interfaces.interfaces);
    memset(sample, 0, sizeof(*sample));
}

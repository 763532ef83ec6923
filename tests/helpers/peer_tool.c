/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The calls of vm_peer.h from a command line, for tests:
 *
 *   peer_tool [-t SECONDS] URI COMMAND ...
 *   read POOL VOLUME OFFSET SIZE   the bytes to stdout
 *   write POOL VOLUME              the bytes from stdin
 *   refresh POOL
 *   ensure POOL DIRECTORY
 *   facts POOL                     a line "name value" each
 *
 * In a task of its own, like all who use it. On failure "errno name: message"
 * on stderr, status 1.
 */
#include "setmov/vm_peer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MAX_BYTES ((size_t)256 << 20)

struct call {
    const char *uri;
    char **words;
    int count;
};

static int read_volume(struct vm_peer *peer, char **words, struct error *err)
{
    CLEANUP(cleanup_free) char *bytes = NULL;
    uint64_t offset, size;
    size_t length = 0;
    int r;

    if (parse_u64(words[2], &offset) < 0 || parse_u64(words[3], &size) < 0 || size > MAX_BYTES)
        return error_set(err, -EINVAL, "bad number");
    bytes = malloc(size + 1);
    if (!bytes)
        return error_set(err, -ENOMEM, "out of memory");
    r = vm_peer_read(peer, words[0], words[1], offset, bytes, size, &length, err);
    if (r == 0)
        fwrite(bytes, 1, length, stdout);
    return r;
}

static int write_volume(struct vm_peer *peer, char **words, struct error *err)
{
    CLEANUP(cleanup_free) char *bytes = malloc(MAX_BYTES);

    if (!bytes)
        return error_set(err, -ENOMEM, "out of memory");
    return vm_peer_write(peer, words[0], words[1], bytes, fread(bytes, 1, MAX_BYTES, stdin), err);
}

static int refresh(struct vm_peer *peer, char **words, struct error *err)
{
    return vm_peer_refresh(peer, words[0], err);
}

static int ensure(struct vm_peer *peer, char **words, struct error *err)
{
    return vm_peer_pool_ensure(peer, words[0], words[1], err);
}

static void print(const char *name, uint64_t value)
{
    if (value == UNKNOWN_U64)
        printf("%s unknown\n", name);
    else
        printf("%s %" PRIu64 "\n", name, value);
}

static int facts(struct vm_peer *peer, char **words, struct error *err)
{
    struct vm_peer_facts facts;
    int r = vm_peer_facts(peer, words[0], &facts, err);

    if (r < 0)
        return r;
    printf("uuid %s\n", facts.uuid);
    print("cpus", facts.cpus);
    print("busy_ns", facts.busy_ns);
    print("total_ns", facts.total_ns);
    print("memory_bytes", facts.memory_bytes);
    print("memory_free_bytes", facts.memory_free_bytes);
    print("pool_free_bytes", facts.pool_free_bytes);
    printf("pool_problem %s\n", facts.pool_problem);
    return 0;
}

static const struct command {
    const char *name;
    int arguments;
    int (*run)(struct vm_peer *peer, char **words, struct error *err);
} commands[] = {
    {"read", 4, read_volume}, {"write", 2, write_volume}, {"refresh", 1, refresh},
    {"ensure", 2, ensure},    {"facts", 1, facts},
};

static int run(void *context, struct error *err)
{
    const struct call *call = context;
    struct vm_peer *peer = NULL;
    int r;

    for (size_t i = 0; i < ARRAY_LENGTH(commands); i++) {
        if (strcmp(commands[i].name, call->words[0]) != 0 ||
            commands[i].arguments != call->count - 1)
            continue;
        r = vm_peer_open(call->uri, &peer, err);
        if (r == 0)
            r = commands[i].run(peer, call->words + 1, err);
        vm_peer_close(peer);
        return r;
    }
    return error_set(err, -EINVAL, "no such command, or not its number of arguments");
}

static void keep(void *context)
{
    (void)context; /* lies in main() until the process ends */
}

int main(int argc, char **argv)
{
    static struct call call;
    struct vm_task task = {.run = run, .release = keep, .context = &call};
    struct error error = {""};
    double timeout_s = 60;
    bool threads_left, failed;

    vm_peer_prepare();
    if (argc > 2 && strcmp(argv[1], "-t") == 0) {
        parse_double(argv[2], &timeout_s);
        argc -= 2;
        argv += 2;
    }
    if (argc < 3)
        return 2;
    call = (struct call){argv[1], argv + 2, argc - 2};
    if (vm_tasks_run(&task, 1, 1, timeout_s, NULL, NULL, &error) < 0) {
        task.result = -ENOMEM;
        task.error = error;
    }
    threads_left = vm_peer_leave();
    failed = task.result != 0 || fflush(stdout) != 0;
    if (task.result != 0)
        fprintf(stderr, "%s: %s\n", strerrorname_np(-task.result), task.error.text);
    if (threads_left)
        _exit(failed);
    return failed;
}

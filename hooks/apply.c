/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * setmov-apply: builds the disks of a VM that arrives with a plan. The hook starts
 * it (src/gate/start.c) with the domain's XML on stdin, counts a byte on stdout as a
 * sign that it gets on, and hands its line on stderr to who migrates.
 */
#include "setmov/gate_apply.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#define XML_MAX_BYTES ((size_t)4 << 20) /* who parses it refuses more */
#define STOP_S        20                /* for what hangs, once it is told to stop */

static volatile sig_atomic_t stop_asked;

static void ask_to_stop(int number)
{
    (void)number;
    stop_asked = 1;
    alarm(STOP_S);
}

static bool is_stopped(void *context)
{
    (void)context;
    return stop_asked != 0;
}

static void beat(void *context)
{
    (void)context;
    if (write(STDOUT_FILENO, ".", 1) < 0)
        return; /* nobody counts */
}

/* To its end, or to more than is taken. */
static int read_xml(char **ret_bytes, size_t *ret_length, struct error *err)
{
    size_t capacity = 0, length = 0;
    CLEANUP(cleanup_free) char *bytes = NULL;
    ssize_t got = 1;

    while (got != 0 && length <= XML_MAX_BYTES) {
        if (array_reserve(&bytes, &capacity, length + 65536, 1) < 0)
            return error_set(err, -ENOMEM, "out of memory");
        got = read(STDIN_FILENO, bytes + length, capacity - length);
        if (got < 0 && errno != EINTR)
            return error_set(err, -errno, "cannot read the domain's XML: %s", strerror(errno));
        if (got > 0)
            length += (size_t)got;
    }
    *ret_bytes = bytes;
    *ret_length = length;
    bytes = NULL;
    return 0;
}

static int apply(const char *config, struct error *err)
{
    const struct gate_apply_options options = {
        .config = config, .stopped = is_stopped, .beat = beat};
    CLEANUP(cleanup_free) char *xml = NULL;
    size_t length = 0;
    int rc = read_xml(&xml, &length, err);

    return rc == 0 ? gate_apply(text_of(xml, length), &options, err) : rc;
}

/* No blocks of disks in a file of the crash, and no death by what can be answered with an error. */
static void prepare(void)
{
    const struct rlimit none = {0, 0};
    struct sigaction action = {.sa_handler = ask_to_stop, .sa_flags = SA_RESTART};

    (void)setrlimit(RLIMIT_CORE, &none);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGINT, &action, NULL);
}

int main(int count, char **words)
{
    const char *config = NULL;
    struct error err = {""};

    if (count == 3 && strcmp(words[1], "--config") == 0) {
        config = words[2];
    } else if (count != 1) {
        fprintf(stderr, "usage: %s [--config FILE] <XML\n", words[0]);
        return 2;
    }
    prepare();
    if (apply(config, &err) == 0)
        return EXIT_SUCCESS;
    fprintf(stderr, "%s\n", err.text);
    return EXIT_FAILURE;
}

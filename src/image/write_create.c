/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Has qemu-img make an empty image in a file that it gets as a descriptor. */
#include "image/write.h"

#include "image/program.h"
#include "image/server.h"

#include <errno.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#define CREATE_S 60.0 /* with preallocation=off it writes little */

/* It opens nothing but the descriptor: with -u not even the backing image. */
static int start(const struct write_place *place, const struct image_write_options *options,
                 struct program *program, struct error *err)
{
    const char *arguments[16] = {"qemu-img", "create", "-q", "-f", options->format};
    const struct program_order order = {
        .arguments = arguments, .fds = &place->fd, .fd_count = 1, .listener = -1};
    char file[32], size[24];
    size_t count = 5;

    if (options->backing != NULL) {
        arguments[count++] = "-u";
        arguments[count++] = "-b";
        arguments[count++] = options->backing;
        arguments[count++] = "-F";
        arguments[count++] = options->backing_format;
    }
    if (options->settings != NULL && options->settings[0] != '\0') {
        arguments[count++] = "-o";
        arguments[count++] = options->settings;
    }
    string_format(file, sizeof(file), "/proc/self/fd/%d", place->fd);
    string_format(size, sizeof(size), "%llu", (unsigned long long)options->virtual_size);
    arguments[count++] = "--";
    arguments[count++] = file;
    arguments[count++] = size;
    return program_start(&order, program, err);
}

static int wait_for_end(struct program *program, struct error *err)
{
    double until_s = clock_monotonic_s() + CREATE_S;
    int status = 0;

    while (!program_has_ended(program, &status)) {
        if (clock_monotonic_s() >= until_s)
            return error_set(err, -ETIMEDOUT, "qemu-img did not make it in time");
        (void)poll(NULL, 0, 1);
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    error_set(err, -EIO, "qemu-img cannot make it");
    return server_explain(program, -EIO, err);
}

int write_create(const struct write_place *place, const struct image_write_options *options,
                 struct error *err)
{
    struct program program = {.messages = -1, .output = -1};
    int rc = start(place, options, &program, err);

    if (rc == 0)
        rc = wait_for_end(&program, err);
    program_stop(&program);
    return rc < 0 ? error_prefix(err, rc, "%s", place->path) : 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * setmov-apply: builds the disks of a VM that arrives with a plan. The hook starts
 * it, with the domain's XML on stdin: hooks/qemu.c, setmov-hook(8).
 */
#include "setmov/gate_apply.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

#define XML_MAX_BYTES ((size_t)4 << 20)

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

int main(int count, char **words)
{
    const char *config = NULL;
    CLEANUP(cleanup_free) char *xml = NULL;
    struct error err = {""};
    size_t length = 0;

    if (count == 3 && strcmp(words[1], "--config") == 0)
        config = words[2];
    else if (count != 1) {
        fprintf(stderr, "usage: %s [--config FILE] <XML\n", words[0]);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    if (read_xml(&xml, &length, &err) < 0 || gate_apply(text_of(xml, length), config, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}

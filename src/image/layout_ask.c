/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Has qemu-img tell where the parts of an image lie. */
#include "image/layout.h"

#include "image/backend.h"
#include "image/program.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#define PIECE_BYTES ((size_t)64 << 10)

struct asking {
    const struct image_chain *chain;
    struct program program;
    struct image_layout layout;
    double until_s;
    char *bytes; /* read, and not taken yet */
    size_t length;
};

static int start(struct asking *asking)
{
    CLEANUP(cleanup_free) char *description = NULL;
    const struct image_chain *chain = asking->chain;
    const char *arguments[] = {"qemu-img", "map", "--output=json", "--", NULL, NULL};
    const struct program_order order = {.arguments = arguments,
                                        .fds = chain->fds,
                                        .fd_count = chain->count,
                                        .listener = -1,
                                        .has_output = true};
    int rc = image_chain_describe(chain, &description);

    arguments[4] = description;
    return rc < 0 ? rc : program_start(&order, &asking->program, NULL);
}

/* Until there is more to read, or the end. */
static int wait_for_more(const struct asking *asking)
{
    struct pollfd output = {.fd = asking->program.output, .events = POLLIN};

    for (;;) {
        double left_s = asking->until_s - clock_monotonic_s();
        int got;

        if (image_stop_is_set(asking->chain->stop))
            return -ECANCELED;
        if (left_s <= 0)
            return -ETIMEDOUT;
        got = poll(&output, 1, (int)ceil(image_stop_slice_s(left_s) * 1000));
        if (got < 0 && errno != EINTR)
            return -errno;
        if (got > 0)
            return 0;
    }
}

/* Takes the lines that are there as a whole. */
static int take_lines(struct asking *asking)
{
    const char *at = asking->bytes, *end = at + asking->length, *stop;

    while ((stop = memchr(at, '\n', (size_t)(end - at))) != NULL) {
        int rc = image_layout_add(&asking->layout, (struct text){at, stop});

        if (rc < 0)
            return rc;
        at = stop + 1;
    }
    asking->length = (size_t)(end - at);
    memmove(asking->bytes, at, asking->length);
    return asking->length < IMAGE_LAYOUT_LINE_ROOM ? 0 : -EBADMSG;
}

static int take_all(struct asking *asking)
{
    for (;;) {
        ssize_t got;
        int rc = wait_for_more(asking);

        if (rc < 0)
            return rc;
        got = read(asking->program.output, asking->bytes + asking->length,
                   PIECE_BYTES - asking->length);
        if (got < 0 && errno != EINTR)
            return -errno;
        if (got == 0)
            return asking->length == 0 && asking->layout.complete ? 0 : -EBADMSG;
        if (got > 0)
            asking->length += (size_t)got;
        rc = take_lines(asking);
        if (rc < 0)
            return rc;
    }
}

/* What it said counts only if all went well with it. */
static int wait_for_end(struct asking *asking)
{
    int status = 0;

    while (!program_has_ended(&asking->program, &status)) {
        if (image_stop_is_set(asking->chain->stop))
            return -ECANCELED;
        if (clock_monotonic_s() >= asking->until_s)
            return -ETIMEDOUT;
        (void)poll(NULL, 0, 1);
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EIO;
}

int image_layout_ask(const struct image_chain *chain, bool only_top, double patience_s,
                     struct image_layout *ret_layout)
{
    struct asking asking = {.chain = chain,
                            .program = {.messages = -1, .output = -1},
                            .layout = {.only_top = only_top},
                            .until_s = clock_monotonic_s() + patience_s};
    int rc;

    asking.bytes = malloc(PIECE_BYTES);
    if (asking.bytes == NULL)
        return -ENOMEM;
    rc = start(&asking);
    if (rc == 0)
        rc = take_all(&asking);
    if (rc == 0)
        rc = wait_for_end(&asking);
    if (rc == 0)
        rc = image_layout_settle(&asking.layout, chain);
    program_stop(&asking.program);
    free(asking.bytes);
    if (rc < 0)
        image_layout_release(&asking.layout);
    else
        *ret_layout = asking.layout;
    return rc;
}

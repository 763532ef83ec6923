/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libvirt's qemu hook: arguments and exit status; setmov-hook(8). The only
 * operation that it answers is `migrate begin`, where a migration arrives.
 */
#include "libxml2.h"

#include "setmov/gate.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

/* The four words of libvirt: NAME OPERATION SUBOPERATION EXTRA. */
#define WORDS 4

/* What may stand behind them, for people. */
struct options {
    const char *config;
    bool verbose;
};

static bool parse_options(char **words, struct options *options)
{
    for (; *words != NULL; words++) {
        if (strcmp(*words, "--config") == 0 && words[1] != NULL)
            options->config = *++words;
        else if (strcmp(*words, "--verbose") == 0)
            options->verbose = true;
        else
            return false;
    }
    return true;
}

static int answer(const char *name, const struct options *options)
{
    const struct gate_call call = {
        .name = name,
        .xml = STDIN_FILENO,
        .config = options->config,
        .prepare_xml = libxml2_load,
    };
    struct gate_answer given;

    gate_ask(&call, &given);
    if (options->verbose && given.log[0] != '\0')
        fprintf(stderr, "%s\n", given.log);
    if (given.refused)
        fprintf(stderr, "%s\n", given.refusal);
    return given.refused ? EXIT_FAILURE : EXIT_SUCCESS;
}

/*
 * A pipe opened later must not become what a closed stdin, stdout or stderr was,
 * and a line that nobody takes must not end what passes.
 */
static bool hold_standard_descriptors(void)
{
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF && open("/dev/null", O_WRONLY) < 0)
            return false;
    return true;
}

int main(int count, char **words)
{
    struct options options = {NULL, false};

    /* None of ours, and some of them would end a guest if they failed. */
    if (count <= WORDS || strcmp(words[2], "migrate") != 0 || strcmp(words[3], "begin") != 0)
        return EXIT_SUCCESS;
    if (!hold_standard_descriptors())
        return EXIT_SUCCESS;
    if (!parse_options(words + 1 + WORDS, &options)) {
        fprintf(stderr, "usage: %s NAME migrate begin - [--config FILE] [--verbose] <XML\n",
                words[0]);
        return EXIT_SUCCESS;
    }
    return answer(words[1], &options);
}

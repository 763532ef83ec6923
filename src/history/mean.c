/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The mean of a metric over a while. In a child process, as drawing is: a
 * damaged RRD file can crash librrd, and one that hangs is given up.
 */
#include "rrd_calls.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define LIMIT_S 5

/* What the child writes, at once: a pipe takes so much in one piece. */
struct answer {
    int code;
    double mean;
    struct error error;
};

static void ask(const char *path, time_t start, time_t end, struct answer *ret_answer)
{
    const char *const sources[] = {"value"};
    bool extremes, known[ARRAY_LENGTH(sources)];

    ret_answer->code = rrd_call_inspect(path, sources, 1, &extremes, &ret_answer->error);
    if (ret_answer->code == 0)
        ret_answer->code = rrd_call_survey(path, sources, 1, start, end, &ret_answer->mean, known,
                                           &ret_answer->error);
}

static void child_main(const char *path, time_t start, time_t end, int to)
{
    struct answer answer = {.mean = NAN};

    signal(SIGALRM, SIG_DFL);
    alarm(LIMIT_S);
    ask(path, start, end, &answer);
    _exit(write(to, &answer, sizeof(answer)) == (ssize_t)sizeof(answer) ? 0 : 1);
}

/* False: the child ended before it had an answer. */
static bool read_answer(int from, struct answer *ret_answer)
{
    struct answer answer = {.mean = NAN};
    ssize_t got;

    do
        got = read(from, &answer, sizeof(answer));
    while (got < 0 && errno == EINTR);
    if (got != (ssize_t)sizeof(answer))
        return false;
    answer.error.text[sizeof(answer.error.text) - 1] = '\0';
    *ret_answer = answer;
    return true;
}

int history_mean(const char *path, time_t start, time_t end, double *ret_mean, struct error *err)
{
    struct answer answer = {.mean = NAN};
    struct stat status;
    int ends[2];
    bool answered;
    pid_t child;

    if (stat(path, &status) < 0)
        return error_set(err, -errno, "%s: %s", path, strerror(errno));
    if (pipe2(ends, O_CLOEXEC) < 0)
        return error_set(err, -errno, "pipe: %s", strerror(errno));
    child = fork();
    if (child == 0)
        child_main(path, start, end, ends[1]);
    close(ends[1]);
    answered = child > 0 && read_answer(ends[0], &answer);
    close(ends[0]);
    while (child > 0 && waitpid(child, NULL, 0) < 0 && errno == EINTR)
        ;
    if (!answered)
        return error_set(err, -EIO, "%s: librrd cannot read it", path);
    if (answer.code < 0)
        return error_set(err, answer.code, "%s %s", path, answer.error.text);
    *ret_mean = answer.mean;
    return 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Work in a child process that may crash, hang or take too much: then there is
 * no answer, and nothing else happens. (Effects: forks, waits, kills its child.)
 *
 * libvirtd waits until all who have the hook's output have closed it, so the
 * child, which may hang where not even SIGKILL reaches it, has none of it.
 */
#include "gate/gate.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define LINGER_S 1 /* for what the child does behind its answer: to log it */

#if defined(__SANITIZE_ADDRESS__)
#define LIMITS_MEMORY false /* it takes terabytes of addresses */
#else
#define LIMITS_MEMORY true
#endif

static void limit(int resource, rlim_t most)
{
    const struct rlimit value = {most, most};

    if (setrlimit(resource, &value) < 0)
        return; /* a lower one is there already */
}

static void be_child(gate_work *work, void *context, int answer_fd, unsigned timeout_s)
{
    int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (nowhere < 0 || dup2(nowhere, STDOUT_FILENO) < 0 || dup2(nowhere, STDERR_FILENO) < 0)
        _exit(1);
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_CPU, timeout_s + 1);
    if (LIMITS_MEMORY)
        limit(RLIMIT_DATA, GATE_MEMORY_BYTES);
    work(context, answer_fd);
    _exit(0);
}

/* ---- the parent -------------------------------------------------------------------- */

static int milliseconds_until(double end_s)
{
    double left = end_s - clock_monotonic_s();

    return left > 0 ? (int)(left * 1000) + 1 : 0;
}

/* What the pipe brings up to its end or `end_s`, into `buffer`; returns how much of it is full. */
static size_t read_answer(int fd, char *buffer, size_t size, double end_s, bool *ret_ended)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    size_t have = 0;
    char more;

    *ret_ended = false;
    for (;;) {
        int ready = poll(&poll_fd, 1, milliseconds_until(end_s));
        ssize_t got;

        if (ready < 0 && errno == EINTR)
            continue;
        if (ready <= 0)
            return have;
        got = read(fd, have < size ? buffer + have : &more, have < size ? size - have : 1);
        if (got < 0 && errno == EINTR)
            continue;
        *ret_ended = got == 0;
        if (got <= 0 || have == size)
            return have;
        have += (size_t)got;
        /* It has all that it needs; the child may still log it. */
        if (have == size && end_s > clock_monotonic_s() + LINGER_S)
            end_s = clock_monotonic_s() + LINGER_S;
    }
}

/* Of a child that has closed its end: how it ended, waited for until `end_s`. -1: it has not. */
static int reap(pid_t child, double end_s)
{
    const struct timespec pause = {.tv_nsec = 1000000};

    for (;;) {
        int status;
        pid_t reaped = waitpid(child, &status, WNOHANG);

        if (reaped == child)
            return status;
        if ((reaped < 0 && errno != EINTR) || clock_monotonic_s() > end_s)
            return -1;
        nanosleep(&pause, NULL);
    }
}

static bool is_line(const char line[GATE_LINE_BYTES])
{
    const char *end = memchr(line, '\0', GATE_LINE_BYTES);

    if (end == NULL)
        return false;
    for (const char *at = line; at < end; at++) {
        if ((unsigned char)*at < ' ')
            return false;
    }
    return true;
}

static bool makes_sense(const struct gate_answer *answer)
{
    uint8_t refused, builds;

    memcpy(&refused, &answer->refused, sizeof(refused));
    memcpy(&builds, &answer->builds, sizeof(builds));
    return refused + builds <= 1 && is_line(answer->refusal) && is_line(answer->log) &&
           (answer->refusal[0] != '\0') == (refused == 1);
}

/* Why there is none. */
static void explain(bool ended, int status, unsigned timeout_s, struct error *err)
{
    if (!ended)
        error_set(err, -ETIMEDOUT, "no decision within %u s", timeout_s);
    else if (status != -1 && WIFSIGNALED(status))
        error_set(err, -EPIPE, "the decision was ended by signal %d (%s)", WTERMSIG(status),
                  strsignal(WTERMSIG(status)));
    else
        error_set(err, -EPIPE, "the decision ended without a result");
}

static bool await(pid_t child, int fd, unsigned timeout_s, struct gate_answer *ret_answer,
                  struct error *err)
{
    double end_s = clock_monotonic_s() + timeout_s;
    struct gate_answer answer;
    bool ended;
    bool whole = read_answer(fd, (char *)&answer, sizeof(answer), end_s, &ended) == sizeof(answer);
    int status = -1;

    if (ended)
        status = reap(child, end_s + LINGER_S);
    if (status == -1) {
        kill(child, SIGKILL);
        /* Not waited for: there are waits that not even this ends. */
        waitpid(child, &status, WNOHANG);
    }
    if (!whole) {
        explain(ended, status, timeout_s, err);
        return false;
    }
    if (!makes_sense(&answer)) {
        error_set(err, -EBADMSG, "the decision makes no sense");
        return false;
    }
    *ret_answer = answer;
    return true;
}

bool gate_guard(gate_work *work, void *context, unsigned timeout_s, struct gate_answer *ret_answer,
                struct error *err)
{
    int ends[2];
    bool given;
    pid_t child;

    if (pipe2(ends, O_CLOEXEC) < 0) {
        error_set(err, -errno, "no pipe: %s", strerror(errno));
        return false;
    }
    child = fork();
    if (child == 0) {
        close(ends[0]);
        be_child(work, context, ends[1], timeout_s);
    }
    close(ends[1]);
    if (child < 0) {
        error_set(err, -errno, "no child process: %s", strerror(errno));
        given = false;
    } else {
        given = await(child, ends[0], timeout_s, ret_answer, err);
    }
    close(ends[0]);
    return given;
}

void gate_give(int answer_fd, const struct gate_answer *answer)
{
    const char *bytes = (const char *)answer;

    for (size_t at = 0; at < sizeof(*answer);) {
        ssize_t written = write(answer_fd, bytes + at, sizeof(*answer) - at);

        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return;
        at += (size_t)written;
    }
}

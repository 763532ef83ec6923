/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The program that builds disks, as the hook starts it: it says on its stdout that
 * it gets on, a byte each time, and on its stderr why it refuses. (Effects: forks,
 * executes, waits, ends its child.)
 */
#include "gate/gate.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define END_S 30 /* that it has to end by itself, once it is told to */

#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1U << 2)
#endif

/* The program while it runs. */
struct builder {
    pid_t pid;
    int beats, words; /* our ends of its stdout and stderr; -1: closed */
    char line[GATE_LINE_BYTES];
    size_t length;
};

/* ---- starting ---------------------------------------------------------------------------- */

/* Cuts the last name off. */
static bool go_up(char *path)
{
    char *slash = strrchr(path, '/');

    if (slash == NULL || slash == path)
        return false;
    *slash = '\0';
    return true;
}

/* Installed it lies above the directory of hooks: in that, libvirt would take it for one. */
static int find_program(char ret_path[PATH_MAX], struct error *err)
{
    char here[PATH_MAX], above[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", here, sizeof(here) - 1);

    if (length < 0)
        return error_set(err, -errno, "/proc/self/exe: %s", strerror(errno));
    here[length] = '\0';
    if (!go_up(here))
        return error_set(err, -ENOENT, GATE_APPLY " cannot be found");
    string_copy(above, sizeof(above), here);
    if (go_up(above) && string_format(ret_path, PATH_MAX, "%s/" GATE_APPLY, above) &&
        access(ret_path, X_OK) == 0)
        return 0;
    if (string_format(ret_path, PATH_MAX, "%s/" GATE_APPLY, here) && access(ret_path, X_OK) == 0)
        return 0;
    return error_set(err, -ENOENT, GATE_APPLY " is neither in %.200s nor above it", here);
}

/* Between fork and exec: only what is safe in a signal handler. */
static _Noreturn void be_program(const char *path, const char *config, int xml, int beats,
                                 int words, pid_t parent)
{
    static const char *const environment[] = {
        "LC_ALL=C", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", NULL};
    const char *const arguments[] = {GATE_APPLY, config != NULL ? "--config" : NULL, config, NULL};
    struct sigaction action = {.sa_handler = SIG_DFL};
    sigset_t none;

    for (int number = 1; number < SIGRTMIN; number++)
        (void)sigaction(number, &action, NULL);
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        _exit(127);
    if (dup2(xml, STDIN_FILENO) < 0 || dup2(beats, STDOUT_FILENO) < 0 ||
        dup2(words, STDERR_FILENO) < 0)
        _exit(127);
    (void)syscall(__NR_close_range, STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC);
    execve(path, (char *const *)arguments, (char *const *)environment);
    _exit(127);
}

static int start(const struct gate_call *call, int xml, struct builder *builder, struct error *err)
{
    int beats[2], words[2];
    char path[PATH_MAX];
    pid_t parent = getpid();
    int rc = 0;

    if (call->builder == NULL)
        rc = find_program(path, err);
    else if (!string_copy(path, sizeof(path), call->builder))
        rc = error_set(err, -ENAMETOOLONG, "%.200s...: too long", call->builder);
    if (rc < 0)
        return rc;
    if (lseek(xml, 0, SEEK_SET) < 0 || pipe2(beats, O_CLOEXEC | O_NONBLOCK) < 0)
        return error_set(err, -errno, "no pipe: %s", strerror(errno));
    if (pipe2(words, O_CLOEXEC) < 0) {
        rc = error_set(err, -errno, "no pipe: %s", strerror(errno));
        close(beats[0]);
        close(beats[1]);
        return rc;
    }
    builder->pid = fork();
    if (builder->pid == 0)
        be_program(path, call->config, xml, beats[1], words[1], parent);
    if (builder->pid < 0)
        rc = error_set(err, -errno, "no child process: %s", strerror(errno));
    close(beats[1]);
    close(words[1]);
    builder->beats = beats[0];
    builder->words = words[0];
    return rc;
}

/* ---- waiting -------------------------------------------------------------------------------- */

/* False: it is at its end, which is closed. */
static bool take_beat(int *fd)
{
    char bytes[256];
    ssize_t got = read(*fd, bytes, sizeof(bytes));

    if (got > 0 || (got < 0 && (errno == EINTR || errno == EAGAIN)))
        return true;
    close(*fd);
    *fd = -1;
    return false;
}

static void take_words(struct builder *builder)
{
    size_t room = sizeof(builder->line) - 1 - builder->length;
    char more[256];
    ssize_t got = read(builder->words, room > 0 ? builder->line + builder->length : more,
                       room > 0 ? room : sizeof(more));

    if (got < 0 && errno == EINTR)
        return;
    if (got > 0) {
        builder->length += room > 0 ? (size_t)got : 0;
        return;
    }
    close(builder->words);
    builder->words = -1;
}

/* Until it has closed both, as it does when it ends. False: it was silent for too long. */
static bool listen_to(struct builder *builder, unsigned silence_s)
{
    double end_s = clock_monotonic_s() + silence_s;

    while (builder->beats >= 0 || builder->words >= 0) {
        struct pollfd fds[2] = {{.fd = builder->beats, .events = POLLIN},
                                {.fd = builder->words, .events = POLLIN}};
        double left_s = end_s - clock_monotonic_s();
        int ready = poll(fds, 2, left_s > 0 ? (int)(left_s * 1000) + 1 : 0);

        if (ready < 0 && errno == EINTR)
            continue;
        if (ready <= 0)
            return false;
        if (fds[0].revents != 0 && take_beat(&builder->beats))
            end_s = clock_monotonic_s() + silence_s;
        if (fds[1].revents != 0)
            take_words(builder);
    }
    return true;
}

/* Its status, waited for so long; -1: it has not ended. */
static int reap(pid_t pid, double patience_s)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    double end_s = clock_monotonic_s() + patience_s;

    for (;;) {
        int status;
        pid_t reaped = waitpid(pid, &status, WNOHANG);

        if (reaped == pid)
            return status;
        if ((reaped < 0 && errno != EINTR) || clock_monotonic_s() > end_s)
            return -1;
        nanosleep(&pause, NULL);
    }
}

/* It may clean up; what hangs is not waited for. */
static void end(const struct builder *builder)
{
    kill(builder->pid, SIGTERM);
    if (reap(builder->pid, END_S) != -1)
        return;
    kill(builder->pid, SIGKILL);
    reap(builder->pid, 1);
}

/* ---- what it comes to ----------------------------------------------------------------------------- */

static int judge(struct builder *builder, int status, struct gate_answer *answer, struct error *err)
{
    struct text all = text_of(builder->line, builder->length), line;

    if (status != -1 && WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS) {
        *answer = (struct gate_answer){.refused = false};
        return 0;
    }
    if (status != -1 && WIFSIGNALED(status))
        return error_set(err, -EPIPE, GATE_APPLY " was ended by signal %d (%s)", WTERMSIG(status),
                         strsignal(WTERMSIG(status)));
    if (status == -1 || WEXITSTATUS(status) != EXIT_FAILURE || !text_next_line(&all, &line) ||
        text_length(line) == 0)
        return error_set(err, -EPIPE, GATE_APPLY " ended without a result (exit status %d)",
                         status == -1 ? -1 : WEXITSTATUS(status));
    *answer = (struct gate_answer){.refused = true};
    text_copy(line, answer->refusal, sizeof(answer->refusal));
    text_make_one_line(answer->refusal);
    return 0;
}

int gate_start(const struct gate_call *call, int xml, struct gate_answer *ret_answer,
               struct error *err)
{
    unsigned silence_s = call->silence_s != 0 ? call->silence_s : GATE_SILENCE_S;
    struct builder builder = {.beats = -1, .words = -1};
    pid_t parent = getppid();
    int rc;

    /* Without libvirtd nobody waits for the disks. (The child's end follows from ours.) */
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        return error_set(err, -ESRCH, "libvirtd has ended");
    rc = start(call, xml, &builder, err);
    if (rc == 0 && listen_to(&builder, silence_s)) {
        rc = judge(&builder, reap(builder.pid, END_S), ret_answer, err);
    } else if (rc == 0) {
        end(&builder);
        rc = error_set(err, -ETIMEDOUT, GATE_APPLY " did not get on for %u s", silence_s);
    }
    cleanup_close(&builder.beats);
    cleanup_close(&builder.words);
    return rc;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Starting and ending qemu-nbd and qemu-img. */
#include "image/program.h"

#include "image/chain.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define LISTEN_FD  3 /* where LISTEN_FDS begin */
#define STOP_MS    5000
#define PID_DIGITS 12

#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1U << 2)
#endif

extern char **environ;

/* ---- the child ------------------------------------------------------------------------------ */

/*
 * glibc's malloc gives the memory of a finished request back to the kernel,
 * which then has to clear it anew for the next: that halves the speed. Page
 * faults of reading 2.5 GB, in thousands: without these settings 42 to 48, with
 * the mmap threshold alone 120 to 147, the arena 28 to 64, trimming 45 to 54,
 * padding 5 to 74; all but the mmap threshold 5 to 81; all but the arena 5.5,
 * the padding 5.0, trimming 4.8; all 4.4. The threshold and the padding matter,
 * the other two make the last fifth.
 */
static const char *const own_environment[] = {
    "LC_ALL=C",
    "MALLOC_ARENA_MAX=1",
    "MALLOC_MMAP_THRESHOLD_=67108864",
    "MALLOC_TRIM_THRESHOLD_=268435456",
    "MALLOC_TOP_PAD_=33554432",
};

static bool is_own(const char *variable)
{
    static const char *const prefixes[] = {"LC_", "LANG", "LISTEN_", "MALLOC_", "GLIBC_TUNABLES="};

    for (size_t i = 0; i < ARRAY_LENGTH(prefixes); i++) {
        if (strncmp(variable, prefixes[i], strlen(prefixes[i])) == 0)
            return true;
    }
    return false;
}

/*
 * Ours, and of the caller's what does not disturb. For a listener `listen_pid`, which the child
 * fills in; else NULL.
 */
static const char **make_environment(const char *listen_pid)
{
    size_t count = 0, used = 0;
    const char **variables;

    while (environ != NULL && environ[count] != NULL)
        count++;
    variables = calloc(count + ARRAY_LENGTH(own_environment) + 3, sizeof(*variables));
    if (variables == NULL)
        return NULL;
    for (size_t i = 0; i < ARRAY_LENGTH(own_environment); i++)
        variables[used++] = own_environment[i];
    if (listen_pid != NULL) {
        variables[used++] = "LISTEN_FDS=1";
        variables[used++] = listen_pid;
    }
    for (size_t i = 0; i < count; i++) {
        if (!is_own(environ[i]))
            variables[used++] = environ[i];
    }
    return variables;
}

struct child {
    const struct program_order *order;
    const char *const *environment;
    char *listen_pid; /* where the digits go */
    int null, messages, output, status;
    pid_t parent;
};

/* Between fork and exec: only what is safe in a signal handler. */
static _Noreturn void run_child(const struct child *child)
{
    struct sigaction action = {.sa_handler = SIG_DFL};
    pid_t pid = getpid();
    sigset_t none;
    int code, listener = child->order->listener, lowest = listener >= 0 ? LISTEN_FD + 1 : LISTEN_FD;

    for (int i = PID_DIGITS - 1; i >= 0; i--, pid /= 10)
        child->listen_pid[i] = (char)('0' + pid % 10);
    for (int number = 1; number < SIGRTMIN; number++)
        (void)sigaction(number, &action, NULL);
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    /* A Ctrl-C is ours to handle. */
    (void)setsid();
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != child->parent)
        _exit(1);
    if (dup2(child->null, 0) < 0 || dup2(child->output, 1) < 0 || dup2(child->messages, 2) < 0 ||
        (listener >= 0 && dup2(listener, LISTEN_FD) < 0))
        _exit(1);
    /* What other parts of the program forgot to mark is none of its business. */
    (void)syscall(__NR_close_range, lowest, ~0U, CLOSE_RANGE_CLOEXEC);
    for (size_t i = 0; i < child->order->fd_count; i++) {
        if (fcntl(child->order->fds[i], F_SETFD, 0) < 0)
            _exit(1);
    }
    /* exec wants both without const and changes neither */
    execvpe(child->order->arguments[0], (char *const *)child->order->arguments,
            (char *const *)child->environment);
    code = errno;
    (void)!write(child->status, &code, sizeof(code));
    _exit(127);
}

static int raised_pipe(int *ends, int flags)
{
    if (pipe2(ends, O_CLOEXEC | flags) < 0) {
        ends[0] = ends[1] = -1;
        return -errno;
    }
    ends[0] = image_fd_raise(ends[0]);
    ends[1] = image_fd_raise(ends[1]);
    return ends[0] < 0 ? ends[0] : (ends[1] < 0 ? ends[1] : 0);
}

/* Waits for the exec: 0 or the error that it ended with. */
static int wait_for_exec(int status)
{
    int code = 0;
    ssize_t got;

    do {
        got = read(status, &code, sizeof(code));
    } while (got < 0 && errno == EINTR);
    return got == (ssize_t)sizeof(code) ? -code : 0;
}

static int spawn(struct child *child, struct program *program)
{
    CLEANUP(cleanup_close) int null = -1, status = -1, status_in = -1, messages_in = -1;
    CLEANUP(cleanup_close) int output_in = -1;
    int ends[2], rc;

    null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0)
        return -errno;
    null = image_fd_raise(null);
    /* It must not stand still because nobody reads its complaints. */
    rc = raised_pipe(ends, O_NONBLOCK);
    program->messages = ends[0];
    messages_in = ends[1];
    if (rc == 0 && child->order->has_output) {
        rc = raised_pipe(ends, 0);
        program->output = ends[0];
        output_in = ends[1];
    }
    if (rc == 0) {
        rc = raised_pipe(ends, 0);
        status = ends[0];
        status_in = ends[1];
    }
    if (rc < 0 || null < 0)
        return rc < 0 ? rc : null;
    child->null = null;
    child->messages = messages_in;
    child->output = output_in >= 0 ? output_in : null;
    child->status = status_in;
    child->parent = getpid();
    program->pid = fork();
    if (program->pid == 0)
        run_child(child);
    if (program->pid < 0) {
        program->pid = 0;
        return -errno;
    }
    cleanup_close(&status_in);
    status_in = -1;
    return wait_for_exec(status);
}

int program_start(const struct program_order *order, struct program *ret_program, struct error *err)
{
    char listen_pid[sizeof("LISTEN_PID=") + PID_DIGITS] = "LISTEN_PID=";
    CLEANUP(cleanup_free) const char **environment = NULL;
    struct child child = {.order = order, .listen_pid = listen_pid + strlen(listen_pid)};
    const char *name = order->arguments[0];
    int rc;

    *ret_program = (struct program){.messages = -1, .output = -1};
    environment = make_environment(order->listener >= 0 ? listen_pid : NULL);
    if (environment == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    child.environment = environment;
    rc = spawn(&child, ret_program);
    if (rc == -ENOENT)
        return error_set(err, rc, "%s is needed for this format and not installed", name);
    return rc < 0 ? error_set(err, rc, "%s cannot be started: %s", name, strerror(-rc)) : 0;
}

/* ---- the end ----------------------------------------------------------------------------------- */

bool program_has_ended(struct program *program, int *ret_status)
{
    pid_t pid;

    if (program->pid == 0)
        return false;
    do {
        pid = waitpid(program->pid, ret_status, WNOHANG);
    } while (pid < 0 && errno == EINTR);
    if (pid == 0)
        return false;
    if (pid < 0)
        *ret_status = 0; /* somebody else reaped it */
    program->pid = 0;
    return true;
}

void program_stop(struct program *program)
{
    int status;

    if (program == NULL)
        return;
    /* What it writes was flushed before, or is given up: nothing is waited for. A disk that hangs
       may hold it. */
    if (program->pid > 0)
        (void)kill(program->pid, SIGKILL);
    for (int waited = 0; waited < STOP_MS && program->pid > 0; waited++) {
        if (!program_has_ended(program, &status))
            (void)poll(NULL, 0, 1);
    }
    program->pid = 0;
    cleanup_close(&program->messages);
    cleanup_close(&program->output);
    program->messages = program->output = -1;
}
